// SPDX-License-Identifier: BSD-3-Clause
// conv_transpose2d: the gradient of conv2d with respect to its input, as an op of its own.
//   x (N, C, H, W), weight (C, O/groups, kH, kW), bias (O,) -> (N, O, OH, OW) with
//   OH = (H - 1) * stride - padding_top - padding_bottom + dilation * (kH - 1) + output_padding + 1
// As torch.nn.functional.conv_transpose2d; attributes stride, padding (4 numbers), output_padding, dilation, groups.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_conv_transpose2d(const Attributes& attributes);

}  // namespace convcore
