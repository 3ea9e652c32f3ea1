// SPDX-License-Identifier: BSD-3-Clause
// Softmax over channels (dim 1) of each pixel; x has rank 2 to 4. Backward reads the output alone.
//   softmax:      y_c = e^x_c / sum_k e^x_k          dx_c = y_c (dy_c - sum_k dy_k y_k)
//   log_softmax:  y_c = x_c - log sum_k e^x_k        dx_c = dy_c - e^y_c sum_k dy_k
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_softmax(const Attributes&);
std::unique_ptr<Op> make_log_softmax(const Attributes&);

}  // namespace convcore
