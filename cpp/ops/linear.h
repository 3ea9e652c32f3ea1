// SPDX-License-Identifier: BSD-3-Clause
// linear: y = x w^T + bias; x (N, I), weight (O, I), bias (O,) -> (N, O). A 1x1 convolution over N pixels.
// As torch.nn.functional.linear. Attribute: transposed (false): y = x w + bias, weight (I, O), as ONNX's MatMul has it.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_linear(const Attributes& attributes);

}  // namespace convcore
