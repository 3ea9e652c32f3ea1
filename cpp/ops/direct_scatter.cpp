// SPDX-License-Identifier: BSD-3-Clause
#include "ops/direct_scatter.h"

#include <algorithm>
#include <cstring>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/tiles.h"

namespace convcore {
namespace {

constexpr int64_t kTasksPerThread = 4;

}  // namespace

bool ScatterConvolution::accepts(const Conv2dGeometry& g) {
  return g.groups == 1 && g.kernel_w > 1 && g.dilation_w == 1;
}

double ScatterConvolution::cycles(const Conv2dGeometry& g) {
  constexpr double kTile = 60, kAdd = 4;  // to begin a tile; to add a vector to what is there
  const TileShape& tile = choose_tile(g.kernel_w * g.c, g.o * g.kernel_h);
  const double vectors = static_cast<double>(tile.nr) / table().tile.lanes;
  const double rows = static_cast<double>(std::clamp<int64_t>(g.n, 1, tile.mr));
  const double product = std::max(rows * vectors / 2 / tile.efficiency, 4.0);  // of a tile; the latency of an addition
  // Those of a row of dx are summed in registers: about kH / stride rows of the kernel.
  const double merged = std::max(1.0, static_cast<double>(g.kernel_h) / static_cast<double>(g.stride_h));
  const double pixels = static_cast<double>(std::max<int64_t>(g.n, 1) * g.out_h * g.out_w) / rows;
  const double panels = static_cast<double>(ceil_div(g.kernel_w * g.c, tile.nr));
  const double image = static_cast<double>(g.n * g.h * g.w * g.c) / table().tile.lanes * 4;  // to clear and to copy
  return pixels * panels * static_cast<double>(g.kernel_h) *
             (static_cast<double>(g.o) * product + (rows * vectors * kAdd + kTile) / merged) + image;
}

ScatterConvolution::ScatterConvolution(const Conv2dGeometry& g)
    : g_(g), columns_(g.kernel_w * g.c), tile_(choose_tile(columns_, g.o * g.kernel_h)),
      panels_(ceil_div(columns_, tile_.nr)) {
  for (int64_t kh = 0; kh < g.kernel_h; ++kh) rows_.push_back(kh);
  std::stable_sort(rows_.begin(), rows_.end(), [&](int64_t a, int64_t b) {
    return a * g.dilation_h % g.stride_h < b * g.dilation_h % g.stride_h;
  });
  halo_w_ = (g.out_w - 1) * g.stride_w + g.kernel_w;
  groups_ = ceil_div(g.n, tile_.mr);
  const int64_t wanted = num_threads() > 1 ? num_threads() * kTasksPerThread : 1;
  shares_ = std::clamp<int64_t>(wanted / std::max<int64_t>(groups_, 1), 1, g.h);
  slots_ = std::clamp<int64_t>(num_threads(), 1, std::max<int64_t>(groups_ * shares_, 1));
  sums_bytes_ = align_up(tile_.mr * halo_w_ * g.c * 4);
  offsets_bytes_ = align_up(g.kernel_h * sizeof(int64_t));
}

size_t ScatterConvolution::packed_bytes() const { return g_.kernel_h * panels_ * g_.o * tile_.nr * 4; }
size_t ScatterConvolution::workspace_bytes() const { return slots_ * (sums_bytes_ + offsets_bytes_); }

// packed: [panel][kh in the order of rows_][o][NR], column kw * C + c
void ScatterConvolution::pack(const float* weight, std::byte* packed) const {
  const int64_t nr = tile_.nr;
  float* row = reinterpret_cast<float*>(packed);
  for (int64_t panel = 0; panel < panels_; ++panel)
    for (int64_t kh : rows_)
      for (int64_t o = 0; o < g_.o; ++o, row += nr)
        for (int64_t j = 0; j < nr; ++j) {
          const int64_t column = panel * nr + j, kw = column / g_.c, c = column % g_.c;
          row[j] = column < columns_ ? weight[((o * g_.c + c) * g_.kernel_h + kh) * g_.kernel_w + kw] : 0.0f;
        }
}

void ScatterConvolution::run(const Tensor& dy, const std::byte* packed, const Epilogue& epilogue, const Tensor& dx,
                             std::byte* workspace) const {
  const int64_t tasks = groups_ * shares_;
  parallel_tasks(tasks, slots_, g_.flops() / std::max<int64_t>(tasks, 1), [&](int64_t slot, int64_t task) {
    std::byte* own = workspace + slot * (sums_bytes_ + offsets_bytes_);
    float* sums = reinterpret_cast<float*>(own);
    int64_t* offsets = reinterpret_cast<int64_t*>(own + sums_bytes_);
    const int64_t group = task / shares_, share = task % shares_, n = g_.n * group / groups_;
    const int64_t count = g_.n * (group + 1) / groups_ - n;
    for (int64_t row = g_.h * share / shares_; row < g_.h * (share + 1) / shares_; ++row) {
      sum_row(n, count, row, dy, reinterpret_cast<const float*>(packed), sums, offsets);
      for (int64_t k = 0; k < count; ++k) store_row(sums + k * halo_w_ * g_.c, n + k, row, epilogue, dx);
    }
  });
}

void ScatterConvolution::sum_row(int64_t n, int64_t count, int64_t row, const Tensor& dy, const float* packed,
                                 float* sums, int64_t* offsets) const {
  const int64_t nr = tile_.nr, row_floats = g_.out_w * dy.pitch, sums_floats = halo_w_ * g_.c;
  std::memset(sums, 0, count * sums_floats * 4);
  // The rows of the kernel that reach this row from within dy lie side by side.
  int64_t first = 0, segments = 0;
  for (size_t i = 0; i < rows_.size(); ++i) {
    const int64_t distance = row + g_.pad_top - rows_[i] * g_.dilation_h;
    if (distance < 0 || distance % g_.stride_h || distance / g_.stride_h >= g_.out_h) continue;
    if (segments == 0) first = static_cast<int64_t>(i);
    offsets[segments++] = distance / g_.stride_h * row_floats;
  }
  if (segments == 0) return;
  const float* x[kMaxTileRows];
  float* y[kMaxTileRows];
  for (int64_t panel = 0; panel < panels_; ++panel) {
    const float* w = packed + (panel * g_.kernel_h + first) * g_.o * nr;
    const int columns = static_cast<int>(std::min(nr, columns_ - panel * nr));
    for (int64_t k = 0; k < count; ++k) {
      x[k] = dy.f32() + (n + k) * g_.out_h * row_floats;
      y[k] = sums + k * sums_floats + panel * nr;
    }
    for (int64_t ow = 0; ow < g_.out_w; ++ow) {
      tile_.gather(static_cast<int>(count), columns, x, offsets, segments, g_.o, w, y, {.add = y}, 0);
      for (int64_t k = 0; k < count; ++k) x[k] += dy.pitch, y[k] += g_.stride_w * g_.c;
    }
  }
}

// The part of the buffer that is dx; columns that dy does not reach are zero.
void ScatterConvolution::store_row(const float* sums, int64_t n, int64_t row, const Epilogue& epilogue,
                                   const Tensor& dx) const {
  const int64_t pixel = (n * g_.h + row) * g_.w, columns = std::clamp<int64_t>(halo_w_ - g_.pad_left, 0, g_.w);
  const float* from = sums + g_.pad_left * g_.c;
  float* to = dx.f32() + pixel * dx.pitch;
  if (!epilogue.bias && !epilogue.clamps() && dx.pitch == g_.c) {
    const float* residual = epilogue.residual_at(pixel);
    const int64_t step = epilogue.residual_pitch;
    if (residual) {
      table().arithmetic.of(Binary::add)(columns, g_.c, {from, g_.c}, {residual, step}, {to, g_.c});
      if (to != residual)
        table().pack.store_rows(residual + columns * step, step, g_.w - columns, g_.c, to + columns * g_.c, g_.c,
                                false);
      return;
    }
    if (columns > 0) std::memcpy(to, from, columns * g_.c * 4);
    std::memset(to + columns * g_.c, 0, (g_.w - columns) * g_.c * 4);
    return;
  }
  for (int64_t iw = 0; iw < g_.w; ++iw, to += dx.pitch) {
    const float* residual = epilogue.residual_at(pixel + iw);
    for (int64_t c = 0; c < g_.c; ++c)
      to[c] = finished(iw < columns ? from[iw * g_.c + c] : 0.0f, c, residual, epilogue);
  }
}

}  // namespace convcore
