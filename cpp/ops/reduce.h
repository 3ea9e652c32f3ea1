// SPDX-License-Identifier: BSD-3-Clause
// Folds x over some of its axes. Attributes: function; axes (all); keepdims (false): they stay, of size 1. Of a result
// without axes the shape is (1,).
//   sum          sum x              dx = dy
//   mean         sum x / n          dx = dy / n
//   max, min     NaN where one is   dx = dy / (how many are the extreme) where x is
//   prod         product of x       dx = dy times the product of the others
//   l1           sum |x|            dx = dy sign x
//   l2           sqrt sum x^2       dx = dy x / y, 0 where y is 0
//   sum_square   sum x^2            dx = 2 dy x
//   log_sum      ln sum x           dx = dy e^-y
//   log_sum_exp  ln sum e^x         dx = dy e^(x - y)
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_reduce(const Attributes&);

}  // namespace convcore
