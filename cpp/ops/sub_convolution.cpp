// SPDX-License-Identifier: BSD-3-Clause
#include "ops/sub_convolution.h"

#include <algorithm>
#include <utility>

#include "ops/tiles.h"

namespace convcore {
namespace {

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

// y[oh][ow] reads x[oh*stride + kh*dilation - pad]: one part, whose inputs step by the stride.
DirectShape direct_forward(const Conv2dGeometry& g) {
  Axis vertical, horizontal;
  for (int64_t k = 0; k < g.kernel_h; ++k) vertical.emplace_back(k * g.dilation_h - g.pad_top, k);
  for (int64_t k = 0; k < g.kernel_w; ++k) horizontal.emplace_back(k * g.dilation_w - g.pad_left, k);
  const int64_t taps = g.taps(), per_group = g.c_per_group();
  DirectShape s{.n = g.n, .groups = g.groups,
                .in_h = g.h, .in_w = g.w, .in_c = per_group, .out_h = g.out_h, .out_w = g.out_w, .out_c = g.o_per_group(),
                .in_step_h = g.stride_h, .in_step_w = g.stride_w, .out_step_h = 1, .out_step_w = 1,
                .w_in = taps, .w_out = per_group * taps, .w_group = g.o_per_group() * per_group * taps,
                .taps = taps, .parts = {}, .cold = g.cold, .prepared = g.prepared};
  if (g.is_pointwise() && !g.prepared) {  // all pixels of the batch are rows of one matrix
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
                .w_in = per_group * taps, .w_out = taps, .w_group = g.o_per_group() * per_group * taps,
                .taps = taps, .parts = {}, .cold = g.cold};
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

}  // namespace convcore
