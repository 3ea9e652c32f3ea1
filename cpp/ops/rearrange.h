// SPDX-License-Identifier: BSD-3-Clause
// One op for all that changes nothing but places: reshape, transpose, squeeze, depth-to-space, channel shuffle.
//
//   y = x.reshape(view).transpose(perm).reshape(shape)
//
// Attributes: view (default: x's shape), perm (default: as they are), shape (default: the transposed view's), all lists.
// No -1 or 0 with a meaning: whoever makes the op knows x's shape.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_rearrange(const Attributes& attributes);

}  // namespace convcore
