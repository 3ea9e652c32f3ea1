// SPDX-License-Identifier: BSD-3-Clause
// Softmax along an axis of x, of any rank. Attribute: axis (1, the channels of each pixel). Backward reads the output
// alone. Lines that are not rows in memory are gathered first.
//   softmax:      y_c = e^x_c / sum_k e^x_k          dx_c = y_c (dy_c - sum_k dy_k y_k)
//   log_softmax:  y_c = x_c - log sum_k e^x_k        dx_c = dy_c - e^y_c sum_k dy_k
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_softmax(const Attributes&);
std::unique_ptr<Op> make_log_softmax(const Attributes&);

}  // namespace convcore
