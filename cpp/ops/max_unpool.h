// SPDX-License-Identifier: BSD-3-Clause
// Partial inverse of max pooling, as torch.nn.functional.max_unpool2d.
//   max_unpool2d(x, indices)   y = 0, y[n, c, indices[n, c, p]] = x[n, c, p]        dx[p] = dy[indices[p]]
// x: (N, C, H, W) or (N, C, L), float32; indices: of the same shape, int64 or (computed) float32: positions h W' + w in
// y's map, of which the last of equal ones wins. Attribute: output_size (H', W'); H' = 1 for (N, C, L). ValueError for
// positions outside.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_max_unpool2d(const Attributes& attributes);

}  // namespace convcore
