// SPDX-License-Identifier: BSD-3-Clause
// Part of x, every step-th index of each axis:  y[i, j, ...] = x[starts[0] + i steps[0], starts[1] + j steps[1], ...]
//
// Attributes: starts, steps, sizes (of y), one integer per axis of x, already counted from the front. Steps may be
// negative. x: any rank. Gradient: dy in these places, 0 in all others.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_slice(const Attributes& attributes);

}  // namespace convcore
