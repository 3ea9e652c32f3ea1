// SPDX-License-Identifier: BSD-3-Clause
// The k largest (or smallest) elements of each line along an axis, best first, and where they were, as floats. Of
// equals the first comes first; NaN counts as the largest. Attributes: k; axis (-1); largest (true).
// Outputs: values, indices.  dx = the values' dy at the indices, 0 elsewhere.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_topk(const Attributes&);

}  // namespace convcore
