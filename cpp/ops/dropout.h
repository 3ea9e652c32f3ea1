// SPDX-License-Identifier: BSD-3-Clause
// Inverted dropout (Srivastava et al., JMLR 2014): attribute p = 0.5, x of rank 2 to 4.
//   training:  y_i = x_i m_i,  dx_i = dy_i m_i,  m_i = 0 with probability p, else 1 / (1 - p)
//   inference: y = x, dx = dy
// m is drawn from Philox(seed, stream, i) in both passes, i counting elements in channels-last order: nothing is saved,
// and neither the number of threads nor the pitch changes it. p is honoured to 2^-32.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_dropout(const Attributes&);

}  // namespace convcore
