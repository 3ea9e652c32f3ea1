// SPDX-License-Identifier: BSD-3-Clause
// Products of matrices: y = a b, with a (..., M, K) and b (..., K, N) of one rank, 2 to 6; the axes in front match or
// are 1 in one of them, which is then repeated, as in NumPy.
//   da = dy b^T, db = a^T dy, summed over what was repeated
// Attribute: dense (false): b is a parameter, row-major, and may have fewer axes than a; it is packed once.
//
// Of rank 3, memory has M fastest: the transposed product is computed there. Of rank 4 it has neither M, K nor N
// fastest: operands are gathered into rows, results scattered. Of few rows the same is done with the result of rank 3.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_matmul(const Attributes&);

}  // namespace convcore
