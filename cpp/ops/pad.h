// SPDX-License-Identifier: BSD-3-Clause
// x with values before and behind it in each axis, or, where a pad is negative, without its outer ones.
//
// Attributes: pads: those before each axis of x, then those behind each; mode and, outside of x,
//   constant   value (default 0)
//   edge       the nearest element of x
//   reflect    x mirrored at its outermost elements, which are not repeated: 3 2 | 1 2 3 | 2 1
//   wrap       x again and again: 2 3 | 1 2 3 | 1 2
// x: any rank; an axis of size 0 can only be padded by a constant. Gradient: each element sums those of its copies.
// Source: numpy.pad; ONNX Pad.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_pad(const Attributes& attributes);

}  // namespace convcore
