// SPDX-License-Identifier: BSD-3-Clause
// x again and again along each axis:  y[i, j, ...] = x[i mod n, j mod m, ...]
//
// Attributes: repeats, one integer of at least 0 per axis of x. Gradient: the sum over the repeats.
// Source: numpy.tile; ONNX Tile.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_tile(const Attributes& attributes);

}  // namespace convcore
