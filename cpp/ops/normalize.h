// SPDX-License-Identifier: BSD-3-Clause
// Scales images: x is uint8 or float32 of rank 2 to 4, y float32 of its shape.
//   y_c = (x_c scale - mean_c) / std_c             dx_c = dy_c scale / std_c    (float32 x only)
// Attributes: scale = 1/255, mean = [0], std = [1] (1 or C entries, std not 0). Computed as x * a_c + b_c.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_normalize(const Attributes&);

}  // namespace convcore
