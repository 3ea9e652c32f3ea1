// SPDX-License-Identifier: BSD-3-Clause
// Joins activations along channels (dim 1); all other dimensions must match.
//   y[n, :, h, w] = x0[n, :, h, w], x1[n, :, h, w], ...        dx_i = its channel slice of dy
// An input (or its gradient) that already is its slice of the output (gradient) costs nothing.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_concat(const Attributes&);

}  // namespace convcore
