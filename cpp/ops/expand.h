// SPDX-License-Identifier: BSD-3-Clause
// x repeated along its axes of size 1, and along new axes in front, as NumPy broadcasts it.
//
// Attributes: shape: an axis of x of another size than 1 has it there too, or 1, which means the same.
// Gradient: the sum over what was repeated. Source: ONNX Expand.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_expand(const Attributes& attributes);

}  // namespace convcore
