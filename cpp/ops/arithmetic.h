// SPDX-License-Identifier: BSD-3-Clause
// add: y = a + b; multiply: y = a b. Operands have the same rank (2 to 4); each of their dimensions must match or be 1
// in one of them, which is then repeated, as in NumPy.
//   add:       da = sum dy,    db = sum dy        the sums over the dimensions in which the operand was repeated
//   multiply:  da = sum dy b,  db = sum dy a
// Sums are cut by shape and added in order. Only operands of the result's shape may share its memory.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_add(const Attributes&);
std::unique_ptr<Op> make_multiply(const Attributes&);

}  // namespace convcore
