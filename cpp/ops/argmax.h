// SPDX-License-Identifier: BSD-3-Clause
// Where the largest (argmax) or smallest (argmin) element of each line along an axis is, as a float; NaN is beyond all.
// Attributes: axis (-1); keepdims (false): it stays, of size 1; select_last_index (false): of equals the last, not the
// first. hardmax: 1 at the first largest element of each line, 0 elsewhere; axis (-1). None has a gradient.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_argmax(const Attributes&);
std::unique_ptr<Op> make_argmin(const Attributes&);
std::unique_ptr<Op> make_hardmax(const Attributes&);

}  // namespace convcore
