// SPDX-License-Identifier: BSD-3-Clause
// Functions of two operands a and b. They have the same rank; each of their dimensions must match or be 1 in one of
// them, which is then repeated, as in NumPy. The gradient of a repeated operand is the sum over the dimensions in which
// it was repeated. Only operands of the result's shape may share its memory.
//   add         y = a + b                    da = dy                      db = dy
//   subtract    y = a - b                    da = dy                      db = -dy
//   multiply    y = a b                      da = dy b                    db = dy a
//   divide      y = a / b                    da = dy / b                  db = -dy a / b^2
//   power       y = a^b                      da = dy b a^(b - 1)          db = dy a^b ln a
//   maximum     NaN where one is             da = dy where a > b, half of it where a == b; db likewise
//   minimum     likewise
//   remainder   y = a - b floor(a / b)       da = dy                      db = -dy floor(a / b)
//   fmod        y = a - b trunc(a / b)       da = dy                      db = -dy trunc(a / b)
//   prelu       y = a where a > 0, else a b  da = dy where a > 0, else dy b;  db = 0 where a > 0, else dy a
// Without gradient, 1 or 0: equal, less, less_equal, greater, greater_equal; logical_and, logical_or, logical_xor of
// a != 0 and b != 0.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_add(const Attributes&);
std::unique_ptr<Op> make_subtract(const Attributes&);
std::unique_ptr<Op> make_multiply(const Attributes&);
std::unique_ptr<Op> make_divide(const Attributes&);
std::unique_ptr<Op> make_power(const Attributes&);
std::unique_ptr<Op> make_minimum(const Attributes&);
std::unique_ptr<Op> make_maximum(const Attributes&);
std::unique_ptr<Op> make_remainder(const Attributes&);
std::unique_ptr<Op> make_fmod(const Attributes&);
std::unique_ptr<Op> make_prelu(const Attributes&);
std::unique_ptr<Op> make_equal(const Attributes&);
std::unique_ptr<Op> make_less(const Attributes&);
std::unique_ptr<Op> make_less_equal(const Attributes&);
std::unique_ptr<Op> make_greater(const Attributes&);
std::unique_ptr<Op> make_greater_equal(const Attributes&);
std::unique_ptr<Op> make_logical_and(const Attributes&);
std::unique_ptr<Op> make_logical_or(const Attributes&);
std::unique_ptr<Op> make_logical_xor(const Attributes&);

}  // namespace convcore
