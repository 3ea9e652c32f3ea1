// SPDX-License-Identifier: BSD-3-Clause
#include "ops/grouped_weight.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/tiles.h"

namespace convcore {
namespace {

constexpr int64_t kFewVectors = 4, kManyVectors = 16;  // of a share: a pixel is read in long runs, of lines at least
constexpr int64_t kPartPixels = 512;      // of a part, which costs a pass over its sums
constexpr int64_t kManyTasks = 16;        // enough to share among threads
constexpr int64_t kRingTaps = 4;          // rows are read by so many taps that copying them pays

// A pointwise convolution is one long row.
Conv2dGeometry one_row(Conv2dGeometry g) {
  if (g.is_pointwise()) g.w = g.out_w = g.n * g.h * g.w, g.n = g.h = g.out_h = 1;
  return g;
}

}  // namespace

GroupedWeight::GroupedWeight(const Conv2dGeometry& geometry)
    : g_(one_row(geometry)), channels_({g_.groups, g_.c_per_group(), g_.o_per_group()}, true) {
  const int64_t vectors = static_cast<int64_t>(channels_.vectors().size()), lanes = table().grouped.lanes;
  rows_ = g_.n * g_.out_h;
  parts_ = std::max<int64_t>(std::min(rows_, rows_ * g_.out_w / kPartPixels), 1);
  splits_ = std::clamp(ceil_div(kManyTasks, parts_), ceil_div(vectors, kManyVectors), ceil_div(vectors, kFewVectors));
  parts_ = std::min(parts_, ceil_div(kManyTasks, splits_));
  const int64_t row_bytes = (g_.out_w + g_.w * g_.stride_h) * ceil_div(vectors, splits_) * lanes * 4;
  block_ = std::max<int64_t>(1, cpu_info().l2 / 4 / std::max<int64_t>(row_bytes, 1));
  block_ = std::min(block_, std::max<int64_t>(ceil_div(rows_, parts_), 1));
  slots_ = std::min<int64_t>(parts_ * splits_, num_threads());
  sums_floats_ = g_.taps() * g_.c_per_group() * lanes;  // of a vector
  zeros_bytes_ = align_up(g_.c * 4);
  sums_bytes_ = align_up(vectors * sums_floats_ * 4);
  rows_bytes_ = align_up(2 * block_ * sizeof(float*));
  x_rows_.pixels = g_.w, dy_rows_.pixels = g_.out_w;
  if (g_.taps() < kRingTaps) return;
  // Rows of x from a block's first to its last, images' unread last rows between them included.
  const int64_t images = (block_ + g_.out_h - 2) / g_.out_h;
  const int64_t unread = std::max<int64_t>(g_.h - g_.out_h * g_.stride_h, 0);
  x_rows_.rows = (block_ - 1) * g_.stride_h + (g_.kernel_h - 1) * g_.dilation_h + 1 + images * unread;
  x_rows_.pitch = channels_.most_inputs(splits_);
  dy_rows_.rows = block_;
  dy_rows_.pitch = (ceil_div(vectors, splits_) + 1) * lanes;
  if (static_cast<int64_t>(x_rows_.bytes() + dy_rows_.bytes()) > cpu_info().l2) x_rows_.rows = dy_rows_.rows = 0;
}

size_t GroupedWeight::workspace_bytes() const { return zeros_bytes_ + parts_ * sums_bytes_ + slots_ * slot_bytes(); }

void GroupedWeight::run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const {
  float *zeros = reinterpret_cast<float*>(workspace), *sums = reinterpret_cast<float*>(workspace + zeros_bytes_);
  std::byte* slots = workspace + zeros_bytes_ + parts_ * sums_bytes_;
  std::memset(zeros, 0, zeros_bytes_);
  std::atomic<int64_t> next{0};
  parallel_for(slots_, 1, g_.flops() / slots_, [&](int64_t begin, int64_t end) {
    for (int64_t slot = begin; slot < end; ++slot)
      for (int64_t t; (t = next.fetch_add(1, std::memory_order_relaxed)) < parts_ * splits_;)
        run_task(t, x, dy, zeros, sums, slots + slot * slot_bytes());
  });
  scatter(sums, dw);
}

// sums: [part][vector][kh][chunk of kw][input channel][tap][lanes]
void GroupedWeight::run_task(int64_t number, const Tensor& x, const Tensor& dy, const float* zeros, float* sums,
                             std::byte* scratch) const {
  const int64_t part = number / splits_, split = number % splits_, lanes = table().grouped.lanes;
  const int64_t vectors = static_cast<int64_t>(channels_.vectors().size());
  const int64_t first_vector = vectors * split / splits_, last_vector = vectors * (split + 1) / splits_;
  sums += part * static_cast<int64_t>(sums_bytes_) / 4;
  std::memset(sums + first_vector * sums_floats_, 0, (last_vector - first_vector) * sums_floats_ * 4);
  const int64_t begin = rows_ * part / parts_, end = rows_ * (part + 1) / parts_, depth = g_.c_per_group();
  const GroupedLanes &low = channels_.vectors()[first_vector], &high = channels_.vectors()[last_vector - 1];
  const GroupedChannels::Range inputs = channels_.inputs(first_vector, last_vector);
  RowRing x_rows = x_rows_, dy_rows = dy_rows_;
  if (!RowRing::helps(x, g_.c) && !RowRing::helps(dy, g_.o)) x_rows.rows = dy_rows.rows = 0;
  x_rows.open(x, inputs.begin, inputs.end, scratch + rows_bytes_);
  dy_rows.open(dy, low.channel / lanes * lanes, high.channel + lanes, scratch + rows_bytes_ + x_rows_.bytes());
  const float** rows = reinterpret_cast<const float**>(scratch);
  GroupedSums args{.x = rows, .dy = rows + block_, .rows = 0, .x_pitch = x_rows.step(), .dy_pitch = dy_rows.step(),
                   .width = g_.w, .out_width = g_.out_w, .stride = g_.stride_w, .dilation = g_.dilation_w,
                   .offset = 0, .taps = 0, .zeros = zeros};
  for (int64_t first = begin; first < end; first += block_) {
    const int64_t last = std::min(first + block_, end);
    for (int64_t kh = 0; kh < g_.kernel_h; ++kh) {
      args.rows = 0;  // those whose tap kh meets the image
      for (int64_t r = first; r < last; ++r) {
        const int64_t row = r % g_.out_h * g_.stride_h + kh * g_.dilation_h - g_.pad_top;
        if (row < 0 || row >= g_.h) continue;
        rows[args.rows] = x_rows.row(r / g_.out_h * g_.h + row);
        rows[block_ + args.rows++] = dy_rows.row(r);
      }
      if (args.rows == 0) continue;
      for (int64_t v = first_vector; v < last_vector; ++v)
        for (int64_t kw = 0; kw < g_.kernel_w; kw += kGroupedTaps) {
          args.taps = static_cast<int>(std::min<int64_t>(kGroupedTaps, g_.kernel_w - kw));
          args.offset = kw * g_.dilation_w - g_.pad_left;
          table().grouped.sums(args, channels_.vectors()[v],
                               sums + v * sums_floats_ + (kh * g_.kernel_w + kw) * depth * lanes);
        }
    }
  }
}

// dw[o][k][kh][kw] = sum over parts, in order
void GroupedWeight::scatter(float* sums, float* dw) const {
  const int64_t lanes = table().grouped.lanes, depth = g_.c_per_group(), taps = g_.taps();
  const int64_t part_floats = static_cast<int64_t>(sums_bytes_) / 4;
  parallel_for(static_cast<int64_t>(channels_.vectors().size()), 1, parts_ * sums_floats_,
               [&](int64_t begin, int64_t end) {
    for (int64_t v = begin; v < end; ++v) {
      float* row = sums + v * sums_floats_;
      for (int64_t part = 1; part < parts_; ++part)
        for (int64_t i = 0; i < sums_floats_; ++i) row[i] += row[part * part_floats + i];
      // A last vector that begins early does not write what is another's.
      const int64_t channel = channels_.vectors()[v].channel, first = v * lanes - channel;
      int64_t j = first;
      for (; j + 4 <= lanes; j += 4) scatter_lanes<4>(row + j, dw + (channel + j) * depth * taps);
      for (; j < lanes; ++j) scatter_lanes<1>(row + j, dw + (channel + j) * depth * taps);
    }
  });
}

// A transpose, some lanes at a time.
template <int N>
void GroupedWeight::scatter_lanes(const float* row, float* dw) const {
  const int64_t lanes = table().grouped.lanes, depth = g_.c_per_group(), width = g_.kernel_w, lane = depth * g_.taps();
  for (int64_t kh = 0; kh < g_.kernel_h; ++kh)
    for (int64_t chunk = 0; chunk < width; chunk += kGroupedTaps) {
      const int64_t taps = std::min<int64_t>(kGroupedTaps, width - chunk);
      for (int64_t k = 0; k < depth; ++k) {
        float* out = dw + (k * g_.kernel_h + kh) * width + chunk;
        for (int64_t t = 0; t < taps; ++t, row += lanes) {
          float v[N];
          for (int j = 0; j < N; ++j) v[j] = row[j];
          for (int j = 0; j < N; ++j) out[j * lane + t] = v[j];
        }
      }
    }
}

}  // namespace convcore
