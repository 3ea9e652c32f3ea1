// SPDX-License-Identifier: BSD-3-Clause
// y = a where the condition is not 0, else b. Inputs: condition, a, b; each is repeated where it has a dimension of 1,
// as in NumPy.  da = sum of dy where the condition is not 0, db = the sum elsewhere; the condition's gradient is 0.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_where(const Attributes&);

}  // namespace convcore
