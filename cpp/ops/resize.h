// SPDX-License-Identifier: BSD-3-Clause
// resize: interpolation along every axis whose size changes, as ONNX's Resize (opset 19); torch's interpolate is a part
// of it. x: any float32 tensor of 1 to 5 dimensions; y: of `sizes`.
//   y = (.. (x R_1) .. R_n),   dx = dy R^T;   R: ops/resize_taps.h
// sizes (integers) or scales (numbers), one for each dimension; or both: sizes are then the output's, and scales are
// what coordinates are computed with.
//   mode = "nearest" | "linear" | "cubic",  cubic_coeff_a = -0.75,  exclude_outside = false,  antialias = false
//   coordinate_transformation_mode = "half_pixel" | "half_pixel_symmetric" | "pytorch_half_pixel" | "align_corners" |
//     "asymmetric" | "tf_crop_and_resize", for which `roi` holds the begin of each dimension, then the end of each, in
//     parts of its last index, and outputs beyond the input are extrapolation_value = 0
//   nearest_mode = "round_prefer_floor" | "round_prefer_ceil" | "floor" | "ceil"
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_resize(const Attributes& attributes);

}  // namespace convcore
