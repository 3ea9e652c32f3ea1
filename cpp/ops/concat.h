// SPDX-License-Identifier: BSD-3-Clause
// Joins tensors of one rank along an axis; all other dimensions must match.
//   y = x0, x1, ... along the axis        dx_i = its part of dy
// Attribute: axis (default 1, the channels). An input (or its gradient) of up to 4 dimensions that already is its slice
// of the output's channels (of the gradient's) costs nothing.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_concat(const Attributes& attributes);

// Whether a concat joins what lies side by side in each pixel.
bool joins_channels(const Attributes& attributes, int rank);

}  // namespace convcore
