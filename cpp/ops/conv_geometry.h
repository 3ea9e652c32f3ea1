// SPDX-License-Identifier: BSD-3-Clause
// The one place that computes a convolution's output sizes and validates them.
#pragma once

#include <string_view>

#include "base/tensor.h"
#include "ops/attributes.h"

namespace convcore {

// y[n][o][oh][ow] = bias[o] + sum over c, kh, kw of
//     x[n][g*C/G + c][oh*stride_h + kh*dilation_h - pad_top][ow*stride_w + kw*dilation_w - pad_left] * w[o][c][kh][kw]
// (filtering, i.e. cross-correlation, zero outside x; g = o / (O/G) is the group of o).
struct Conv2dGeometry {
  int64_t n = 0, c = 0, h = 1, w = 1;     // input
  int64_t o = 0, out_h = 1, out_w = 1;    // output
  int64_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1, groups = 1;
  int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  bool cold = false;  // the packed weights come from memory: others use the caches between one run and the next
  bool prepared = false;  // the input is normalised on its way in (ops/convolution.h, Prologue)

  int64_t c_per_group() const { return c / groups; }
  int64_t o_per_group() const { return o / groups; }
  int64_t taps() const { return kernel_h * kernel_w; }
  int64_t flops() const { return 2 * n * out_h * out_w * o * c_per_group() * taps(); }
  // One channel row of a 1x1 kernel per pixel: the batch is one matrix.
  bool is_pointwise() const;
};

// The zeros around an image (padding, and what dilation reaches over) are not many more than the data, so that copies
// with a halo are affordable.
bool halo_is_moderate(const Conv2dGeometry& g);

// Settings as given: stride, dilation, groups, and padding as four numbers or "valid", "same", "full".
// "same": out = ceil(in / stride), the odd pixel of padding at the bottom and right (TensorFlow, ONNX SAME_UPPER; equals
// PyTorch's "same", which allows stride 1 only). "full": padding = dilation * (kernel - 1), every overlap.
struct ConvSettings {
  int64_t stride[2] = {1, 1}, dilation[2] = {1, 1}, padding[4] = {0, 0, 0, 0} /* top, bottom, left, right */, groups = 1;
  std::string padding_mode;  // "" when `padding` holds

  // Throws ValueError for stride, dilation or groups below 1, negative padding, lists of a wrong length.
  static ConvSettings parse(std::string_view op, const Attributes& attributes);
};

// Throws ShapeError. Ranks 4 and 3 (H = 1). bias may have rank 0 (absent).
Conv2dGeometry conv2d_geometry(std::string_view op, const ConvSettings& settings, const Shape& x, const Shape& weight,
                               const Shape& bias);

// The convolution whose backward-input is this transposed convolution: its x is our output, its y our input.
// weight: (C, O/groups, kH, kW). Throws ShapeError.
Conv2dGeometry conv_transpose2d_geometry(std::string_view op, const ConvSettings& settings,
                                         const int64_t (&output_padding)[2], const Shape& x, const Shape& weight,
                                         const Shape& bias);

// The rank of `like` decides: (N, C, L), or (N, C, H, W).
Shape image_shape(const Shape& like, int64_t n, int64_t c, int64_t h, int64_t w);

// dilation * (kernel - 1) + 1, checked for overflow.
int64_t window_extent(std::string_view op, int64_t kernel, int64_t dilation);

}  // namespace convcore
