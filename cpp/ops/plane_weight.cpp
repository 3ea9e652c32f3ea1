// SPDX-License-Identifier: BSD-3-Clause
#include "ops/plane_weight.h"

#include <algorithm>
#include <cstring>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/plane_convolution.h"
#include "ops/tiles.h"

namespace convcore {
namespace {

constexpr int64_t kMaxProducts = 1 << 12;
constexpr int64_t kParts = 8;

}  // namespace

bool PlaneWeight::accepts(const Conv2dGeometry& g) {
  return g.groups == 1 && g.stride_h == 1 && g.stride_w == 1 && g.o <= kMaxPlaneOutputs &&
         g.c * g.taps() <= kMaxProducts;
}

double PlaneWeight::cycles(const Conv2dGeometry& g) {
  const PlaneKernels& kernels = table().plane;
  const double rows = kernels.product_rows[g.o - 1], outputs = static_cast<double>(g.o), lanes = kernels.lanes;
  const double step = std::max({rows * outputs, 2 * rows + outputs, 8.0}) / 2 + 1;  // of a tile, for a vector of pixels
  const double width = static_cast<double>(g.out_w + (g.kernel_w - 1) * g.dilation_w);
  return static_cast<double>(g.n * g.out_h) * width *
         (static_cast<double>(g.c * g.taps()) * step / rows / lanes + plane_cycles(g.c) + plane_cycles(g.o));
}

PlaneWeight::PlaneWeight(const Conv2dGeometry& g) : g_(g), products_(g.c * g.taps()) {
  const int64_t lanes = table().plane.lanes, reach_h = (g.kernel_h - 1) * g.dilation_h;
  const int64_t reach_w = (g.kernel_w - 1) * g.dilation_w;
  row_ = g.out_w + reach_w;
  const int64_t most_rows = cpu_info().l2 / 8 / 4 / (row_ * (g.c + g.o));
  blocks_ = ceil_div(g.out_h, std::clamp<int64_t>(most_rows - reach_h, 1, g.out_h));
  block_rows_ = ceil_div(g.out_h, blocks_);
  blocks_ = ceil_div(g.out_h, block_rows_);
  halo_h_ = block_rows_ + reach_h;
  dy_plane_ = ceil_div(block_rows_ * row_, lanes) * lanes;
  x_plane_ = halo_h_ * row_ + reach_w + lanes;  // the last vector at the last tap
  for (int64_t c = 0; c < g.c; ++c)
    for (int64_t kh = 0; kh < g.kernel_h; ++kh)
      for (int64_t kw = 0; kw < g.kernel_w; ++kw)
        offsets_.push_back(c * x_plane_ + kh * g.dilation_h * row_ + kw * g.dilation_w);
  parts_ = std::clamp<int64_t>(g.n * blocks_, 1, kParts);
  slots_ = std::min<int64_t>(parts_, num_threads());
  sums_bytes_ = align_up(g.o * products_ * lanes * 4);
  x_bytes_ = align_up(g.c * x_plane_ * 4);
  dy_bytes_ = align_up(g.o * dy_plane_ * 4);
}

void PlaneWeight::run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const {
  const int64_t lanes = table().plane.lanes, all = g_.n * blocks_, sum_floats = static_cast<int64_t>(sums_bytes_) / 4;
  float* sums = reinterpret_cast<float*>(workspace);
  if (all == 0) std::memset(sums, 0, sums_bytes_);
  std::byte* slots = workspace + parts_ * sums_bytes_;
  const size_t slot_bytes = x_bytes_ + dy_bytes_;
  parallel_for(slots_, 1, static_cast<int64_t>(slot_bytes), [&](int64_t begin, int64_t end) {
    std::memset(slots + begin * slot_bytes, 0, (end - begin) * slot_bytes);  // what lies beyond the rows stays zero
  });
  parallel_tasks(parts_, slots_, g_.flops() / parts_, [&](int64_t slot, int64_t part) {
    float* x_planes = reinterpret_cast<float*>(slots + slot * slot_bytes);
    float* dy_planes = x_planes + x_bytes_ / 4;
    const int64_t first = all * part / parts_, last = all * (part + 1) / parts_;
    for (int64_t b = first; b < last; ++b)
      run_block(b, x, dy, x_planes, dy_planes, sums + part * sum_floats, b == first);
  });
  for (int64_t i = 0; i < g_.o * products_; ++i) {
    float total = 0;
    for (int64_t part = 0; part < parts_; ++part)
      for (int64_t l = 0; l < lanes; ++l) total += sums[part * sum_floats + i * lanes + l];
    dw[i] = total;
  }
}

void PlaneWeight::run_block(int64_t block, const Tensor& x, const Tensor& dy, float* x_planes, float* dy_planes,
                            float* sums, bool first) const {
  const PlaneKernels& kernels = table().plane;
  const int64_t n = block / blocks_, row = block % blocks_ * block_rows_;
  for (int64_t r = 0; r < block_rows_; ++r) {
    const bool inside = row + r < g_.out_h;
    const float* from = dy.f32() + ((n * g_.out_h + (inside ? row + r : 0)) * g_.out_w) * dy.pitch;
    kernels.to_planes(from, dy.pitch, inside ? g_.out_w : 0, g_.o, 0, row_, dy_planes + r * row_, dy_plane_);
  }
  const int64_t left = std::min(g_.pad_left, row_), columns = std::min(g_.w, row_ - left);
  for (int64_t r = 0; r < halo_h_; ++r) {
    const int64_t ih = row - g_.pad_top + r;
    const bool inside = ih >= 0 && ih < g_.h;
    const float* from = x.f32() + (n * g_.h + (inside ? ih : 0)) * g_.w * x.pitch;
    kernels.to_planes(from, x.pitch, inside ? columns : 0, g_.c, inside ? left : 0, row_, x_planes + r * row_,
                      x_plane_);
  }
  kernels.product(static_cast<int>(g_.o), {.x = x_planes, .dy = dy_planes, .plane = dy_plane_, .length = dy_plane_,
                                           .rows = products_, .offsets = offsets_.data(),
                                           .sums = sums, .accumulate = !first});
}

}  // namespace convcore
