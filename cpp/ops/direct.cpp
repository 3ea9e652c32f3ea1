// SPDX-License-Identifier: BSD-3-Clause
#include "ops/direct.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/gemm.h"

namespace convcore {
namespace {

constexpr int64_t kMaxBlockPixels = 1024;  // pointer tables of a block stay small
constexpr int64_t kTasksPerSlot = 4;       // enough to even out threads that are slowed by others

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Taps (dh, dw) in rising order from rows x columns of (offset, kernel index) pairs.
using Axis = std::vector<std::pair<int64_t, int64_t>>;

SubConvolution sub_convolution(int64_t row0, int64_t col0, int64_t rows, int64_t cols, Axis vertical, Axis horizontal,
                               int64_t kernel_w) {
  std::sort(vertical.begin(), vertical.end());
  std::sort(horizontal.begin(), horizontal.end());
  SubConvolution sub{row0, col0, rows, cols, {}, static_cast<int64_t>(horizontal.size())};
  for (auto [dh, kh] : vertical)
    for (auto [dw, kw] : horizontal) sub.taps.push_back({dh, dw, kh * kernel_w + kw});
  return sub;
}

// Taps that reach input positions of residue `phase` from outputs, one axis: o = i + (phase + pad - k * dilation) / stride.
Axis residue_taps(int64_t phase, int64_t pad, int64_t kernel, int64_t dilation, int64_t stride) {
  Axis axis;
  for (int64_t k = 0; k < kernel; ++k) {
    const int64_t distance = phase + pad - k * dilation;
    if (distance % stride == 0) axis.emplace_back(distance / stride, k);
  }
  return axis;
}

}  // namespace

const TileShape& choose_tile(int64_t channels, int64_t depth) {
  const TileKernels& kernels = table().tile;
  const int64_t l2 = cpu_info().l2;
  const TileShape* best = &kernels.shape[0];
  double best_cost = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kernels.shapes; ++i) {
    const TileShape& t = kernels.shape[i];
    double cost = static_cast<double>(ceil_div(channels, t.nr) * t.nr) / t.efficiency;
    // Wide tiles have few rows and read their weights more often: a panel beyond L2 is then the bottleneck.
    if (depth * t.nr * 4 > l2 / 2) cost *= 1.0 + 0.5 / t.mr;
    if (cost < best_cost) best_cost = cost, best = &t;
  }
  return *best;
}

// y[oh][ow] reads x[oh*stride + kh*dilation - pad]: one part, whose inputs step by the stride.
DirectShape direct_forward(const Conv2dGeometry& g) {
  Axis vertical, horizontal;
  for (int64_t k = 0; k < g.kernel_h; ++k) vertical.emplace_back(k * g.dilation_h - g.pad_top, k);
  for (int64_t k = 0; k < g.kernel_w; ++k) horizontal.emplace_back(k * g.dilation_w - g.pad_left, k);
  const int64_t taps = g.taps(), per_group = g.c_per_group();
  DirectShape s{.n = g.n, .groups = g.groups,
                .in_h = g.h, .in_w = g.w, .in_c = per_group, .out_h = g.out_h, .out_w = g.out_w, .out_c = g.o_per_group(),
                .in_step_h = g.stride_h, .in_step_w = g.stride_w, .out_step_h = 1, .out_step_w = 1,
                .w_in = taps, .w_out = per_group * taps, .w_group = g.o_per_group() * per_group * taps, .parts = {}};
  if (g.is_pointwise()) {  // all pixels of the batch are rows of one matrix
    s.n = 1, s.in_h = s.out_h = g.n * g.h * g.w, s.in_w = s.out_w = 1;
  }
  s.parts.push_back(sub_convolution(0, 0, s.out_h, s.out_w, vertical, horizontal, g.kernel_w));
  return s;
}

// dx[ih][iw] = sum over taps with ih = oh*stride + kh*dilation - pad of dy[oh][ow] * w[kh][kw]: one part per residue of
// (ih, iw) modulo the stride.
DirectShape direct_backward_input(const Conv2dGeometry& g) {
  const int64_t taps = g.taps(), per_group = g.c_per_group();
  DirectShape s{.n = g.n, .groups = g.groups,
                .in_h = g.out_h, .in_w = g.out_w, .in_c = g.o_per_group(), .out_h = g.h, .out_w = g.w, .out_c = per_group,
                .in_step_h = 1, .in_step_w = 1, .out_step_h = g.stride_h, .out_step_w = g.stride_w,
                .w_in = per_group * taps, .w_out = taps, .w_group = g.o_per_group() * per_group * taps, .parts = {}};
  if (g.is_pointwise()) {
    s.n = 1, s.in_h = s.out_h = g.n * g.h * g.w, s.in_w = s.out_w = 1;
  }
  for (int64_t ph = 0; ph < std::min(g.stride_h, s.out_h); ++ph)
    for (int64_t pw = 0; pw < std::min(g.stride_w, s.out_w); ++pw)
      s.parts.push_back(sub_convolution(ph, pw, ceil_div(s.out_h - ph, g.stride_h), ceil_div(s.out_w - pw, g.stride_w),
                                        residue_taps(ph, g.pad_top, g.kernel_h, g.dilation_h, g.stride_h),
                                        residue_taps(pw, g.pad_left, g.kernel_w, g.dilation_w, g.stride_w),
                                        g.kernel_w));
  return s;
}

DirectConvolution::DirectConvolution(DirectShape shape) : s_(std::move(shape)), slots_(num_threads()) {
  int64_t most_taps = 0, block_floats = 0, block_pixels = 0;
  for (const SubConvolution& sub : s_.parts) most_taps = std::max<int64_t>(most_taps, sub.taps.size());
  tile_ = choose_tile(s_.out_c, s_.in_c * most_taps);
  panels_ = ceil_div(s_.out_c, tile_.nr);
  for (const SubConvolution& sub : s_.parts) {
    const Part part = plan_part(sub, packed_floats_);
    packed_floats_ += s_.groups * panels_ * static_cast<int64_t>(sub.taps.size()) * s_.in_c * tile_.nr;
    if (part.padded) block_floats = std::max(block_floats, part.block_images * part.halo_h * part.halo_w * s_.in_c);
    block_pixels = std::max(block_pixels, part.block_images * part.block_rows * sub.cols);
    parts_.push_back(part);
  }
  block_bytes_ = align_up(block_floats * 4);
  offsets_bytes_ = align_up(most_taps * sizeof(int64_t));
  pixels_bytes_ = align_up(block_pixels * sizeof(float*));
  for (size_t i = 0; i < parts_.size(); ++i) add_tasks(static_cast<int>(i));
  slots_ = std::clamp<int64_t>(tasks_.size(), 1, slots_);
}

DirectConvolution::Part DirectConvolution::plan_part(const SubConvolution& sub, int64_t weights) const {
  int64_t dh0 = 0, dh1 = 0, dw0 = 0, dw1 = 0;
  if (!sub.taps.empty()) {
    dh0 = sub.taps.front().dh, dw0 = sub.taps.front().dw;
    dh1 = sub.taps.back().dh, dw1 = sub.taps.back().dw;
  }
  Part p{};
  p.dh0 = dh0, p.dw0 = dw0, p.weights = weights;
  p.halo_w = (sub.cols - 1) * s_.in_step_w + dw1 - dw0 + 1;
  p.padded = !sub.taps.empty() && (dh0 < 0 || dw0 < 0 || (sub.rows - 1) * s_.in_step_h + dh1 >= s_.in_h ||
                                   (sub.cols - 1) * s_.in_step_w + dw1 >= s_.in_w);
  p.mergeable = dw1 - dw0 + 1 == sub.taps_per_row;
  const auto halo_rows = [&](int64_t rows) { return (rows - 1) * s_.in_step_h + dh1 - dh0 + 1; };
  const int64_t budget = cpu_info().l2 / 3 / 4;  // floats
  const auto fits = [&](int64_t images, int64_t rows) {
    return images * halo_rows(rows) * p.halo_w * s_.in_c <= budget && images * rows * sub.cols <= kMaxBlockPixels;
  };
  p.block_images = p.block_rows = 1;
  if (fits(1, sub.rows)) {
    p.block_rows = std::max<int64_t>(sub.rows, 1);
    // Small maps: several images make whole tiles, but every thread should still get its share.
    const int64_t most = std::max<int64_t>(1, s_.n / (slots_ * kTasksPerSlot));
    while (p.block_images < most && p.block_images * sub.rows * sub.cols < 256 && fits(p.block_images + 1, sub.rows))
      ++p.block_images;
  } else {
    const int64_t row_floats = std::max<int64_t>(1, p.halo_w * s_.in_c * s_.in_step_h);
    int64_t rows = std::min(budget / row_floats, ceil_div(kMaxBlockPixels, sub.cols));
    while (rows > 1 && !fits(1, rows)) --rows;
    p.block_rows = std::clamp<int64_t>(rows, 1, sub.rows);
  }
  p.halo_h = halo_rows(p.block_rows);
  return p;
}

void DirectConvolution::add_tasks(int index) {
  const Part& p = parts_[index];
  const SubConvolution& sub = s_.parts[index];
  const int64_t blocks = ceil_div(s_.n, p.block_images) * ceil_div(sub.rows, p.block_rows) * s_.groups;
  if (blocks == 0) return;
  const int64_t wanted = slots_ > 1 ? slots_ * kTasksPerSlot : 1;
  const int64_t splits = std::min(panels_, ceil_div(wanted, blocks));
  for (int64_t n = 0; n < s_.n; n += p.block_images)
    for (int64_t row = 0; row < sub.rows; row += p.block_rows)
      for (int64_t group = 0; group < s_.groups; ++group)
        for (int64_t q = 0; q < splits; ++q) {
          const int64_t first = panels_ * q / splits, last = panels_ * (q + 1) / splits;
          tasks_.push_back({index, n, std::min(p.block_images, s_.n - n), row, std::min(p.block_rows, sub.rows - row),
                            group, first, last - first});
        }
}

size_t DirectConvolution::packed_bytes() const { return packed_floats_ * 4; }
size_t DirectConvolution::workspace_bytes() const {
  return slots_ * (block_bytes_ + offsets_bytes_ + 2 * pixels_bytes_);
}

DirectConvolution::Scratch DirectConvolution::scratch(std::byte* slot) const {
  std::byte* pixels = slot + block_bytes_ + offsets_bytes_;
  return {reinterpret_cast<float*>(slot), reinterpret_cast<int64_t*>(slot + block_bytes_),
          reinterpret_cast<const float**>(pixels), reinterpret_cast<float**>(pixels + pixels_bytes_)};
}

// packed: [part][group][panel][tap][input channel][NR], zero beyond the last channel.
void DirectConvolution::pack(const float* weight, std::byte* packed) const {
  for (size_t i = 0; i < parts_.size(); ++i) {
    const int64_t panel_floats = static_cast<int64_t>(s_.parts[i].taps.size()) * s_.in_c * tile_.nr;
    float* part = reinterpret_cast<float*>(packed) + parts_[i].weights;
    parallel_for(s_.groups * panels_, 1, panel_floats * 4, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        const int64_t group = p / panels_, first = p % panels_ * tile_.nr;
        pack_panel(s_.parts[i].taps, weight + group * s_.w_group + first * s_.w_out,
                   std::min<int64_t>(tile_.nr, s_.out_c - first), part + p * panel_floats);
      }
    });
  }
}

// A transpose in blocks of 16 input channels, reading along the shorter stride: both sides stay in L1.
void DirectConvolution::pack_panel(const std::vector<SubConvolution::Tap>& taps, const float* w, int64_t columns,
                                   float* panel) const {
  const int64_t nr = tile_.nr, count = static_cast<int64_t>(taps.size());
  if (count == 1) return pack_panels(w + taps[0].weight, s_.w_out, s_.w_in, columns, s_.in_c, nr, panel);
  if (columns < nr) std::fill_n(panel, count * s_.in_c * nr, 0.0f);
  const auto copy = [&](int64_t c, int64_t o) {
    const float* source = w + c * s_.w_in + o * s_.w_out;
    for (int64_t t = 0; t < count; ++t) panel[(t * s_.in_c + c) * nr + o] = source[taps[t].weight];
  };
  for (int64_t c0 = 0; c0 < s_.in_c; c0 += 16) {
    const int64_t c1 = std::min(s_.in_c, c0 + 16);
    if (s_.w_in < s_.w_out) {
      for (int64_t o = 0; o < columns; ++o)
        for (int64_t c = c0; c < c1; ++c) copy(c, o);
    } else {
      for (int64_t c = c0; c < c1; ++c)
        for (int64_t o = 0; o < columns; ++o) copy(c, o);
    }
  }
}

void DirectConvolution::run(const Tensor& in, const std::byte* packed, const float* bias, const Tensor& out,
                            std::byte* workspace) const {
  if (tasks_.empty()) return;
  const int64_t cost = std::max<int64_t>(1, 2 * s_.n * s_.out_h * s_.out_w * s_.out_c * s_.in_c / slots_);
  std::atomic<size_t> next{0};
  const size_t slot_bytes = block_bytes_ + offsets_bytes_ + 2 * pixels_bytes_;
  parallel_for(slots_, 1, cost, [&](int64_t begin, int64_t end) {
    for (int64_t slot = begin; slot < end; ++slot) {
      const Scratch own = scratch(workspace + slot * slot_bytes);
      for (size_t t; (t = next.fetch_add(1, std::memory_order_relaxed)) < tasks_.size();)
        run_task(tasks_[t], in, reinterpret_cast<const float*>(packed), bias, out, own);
    }
  });
}

// The input rows of a block, with zeros where taps leave the image.
void DirectConvolution::copy_block(const Task& task, const Tensor& in, float* block) const {
  const Part& p = parts_[task.part];
  const int64_t c = s_.in_c, left = std::clamp<int64_t>(-p.dw0, 0, p.halo_w), x0 = std::max<int64_t>(p.dw0, 0);
  const int64_t middle = std::clamp<int64_t>(s_.in_w - x0, 0, p.halo_w - left), right = p.halo_w - left - middle;
  for (int64_t n = task.n; n < task.n + task.images; ++n)
    for (int64_t r = 0; r < p.halo_h; ++r) {
      const int64_t row = task.row * s_.in_step_h + p.dh0 + r;
      if (row < 0 || row >= s_.in_h || middle == 0) {
        std::memset(block, 0, p.halo_w * c * 4);
        block += p.halo_w * c;
        continue;
      }
      const float* source = in.f32() + ((n * s_.in_h + row) * s_.in_w + x0) * in.pitch + task.group * c;
      std::memset(block, 0, left * c * 4);
      block += left * c;
      if (in.pitch == c) {
        std::memcpy(block, source, middle * c * 4);
      } else {
        for (int64_t x = 0; x < middle; ++x) std::memcpy(block + x * c, source + x * in.pitch, c * 4);
      }
      block += middle * c;
      std::memset(block, 0, right * c * 4);
      block += right * c;
    }
}

void DirectConvolution::run_task(const Task& task, const Tensor& in, const float* packed, const float* bias,
                                 const Tensor& out, const Scratch& scratch) const {
  const Part& p = parts_[task.part];
  const SubConvolution& sub = s_.parts[task.part];
  // Where the block's input is: in place, or copied into a halo.
  const float* source = in.f32() + task.group * s_.in_c;
  int64_t pitch = in.pitch, row_pixels = s_.in_w, image_pixels = s_.in_h * s_.in_w;
  int64_t dh0 = 0, dw0 = 0;
  if (p.padded) {
    copy_block(task, in, scratch.block);
    source = scratch.block;
    pitch = s_.in_c, row_pixels = p.halo_w, image_pixels = p.halo_h * p.halo_w;
    dh0 = p.dh0, dw0 = p.dw0;
  } else {
    source += (task.n * image_pixels + task.row * s_.in_step_h * row_pixels) * pitch;
  }

  const bool merge = p.mergeable && pitch == s_.in_c;
  const int64_t step = merge ? std::max<int64_t>(sub.taps_per_row, 1) : 1;
  const int64_t segments = static_cast<int64_t>(sub.taps.size()) / step, length = step * s_.in_c;
  for (int64_t i = 0; i < segments; ++i) {
    const SubConvolution::Tap& tap = sub.taps[i * step];
    scratch.offsets[i] = ((tap.dh - dh0) * row_pixels + tap.dw - dw0) * pitch;
  }

  const int64_t columns = tile_.nr, channel0 = task.group * s_.out_c + task.panel * columns;
  int64_t pixels = 0;
  for (int64_t n = 0; n < task.images; ++n)
    for (int64_t r = 0; r < task.rows; ++r) {
      const float* x = source + (n * image_pixels + r * s_.in_step_h * row_pixels) * pitch;
      const int64_t out_row = (task.n + n) * s_.out_h + sub.row0 + (task.row + r) * s_.out_step_h;
      float* y = out.f32() + (out_row * s_.out_w + sub.col0) * out.pitch + channel0;
      for (int64_t i = 0; i < sub.cols; ++i, ++pixels) {
        scratch.x[pixels] = x + i * s_.in_step_w * pitch;
        scratch.y[pixels] = y + i * s_.out_step_w * out.pitch;
      }
    }

  const int64_t tiles = ceil_div(pixels, tile_.mr), panel_floats = static_cast<int64_t>(sub.taps.size()) * s_.in_c * tile_.nr;
  const float* w = packed + p.weights + (task.group * panels_ + task.panel) * panel_floats;
  TileStore store{bias ? bias + channel0 : nullptr, false, -std::numeric_limits<float>::infinity(),
                  std::numeric_limits<float>::infinity()};
  for (int64_t q = 0; q < task.panels; ++q) {
    const int64_t width = std::min(columns, s_.out_c - (task.panel + q) * columns);
    for (int64_t t = 0; t < tiles; ++t) {  // rows are shared out evenly: no thin last tile
      const int64_t first = pixels * t / tiles, last = pixels * (t + 1) / tiles;
      tile_.gather(static_cast<int>(last - first), static_cast<int>(width), scratch.x + first, scratch.offsets,
                   segments, length, w, scratch.y + first, store);
    }
    w += panel_floats;
    if (store.bias) store.bias += columns;
    for (int64_t i = 0; i < pixels; ++i) scratch.y[i] += columns;
  }
}

}  // namespace convcore
