// SPDX-License-Identifier: BSD-3-Clause
// Pooling to a given size, as torch.nn.functional.adaptive_avg_pool2d and adaptive_max_pool2d. Attribute output_size
// (h, w); (1, 1) is global pooling. Output o of an axis covers the coordinates floor(o * in / out) up to, without,
// ceil((o + 1) * in / out). x: (N, C, H, W), or (N, C, L) with output height 1; float32.
// Formulas of the passes: max_pool.h, avg_pool.h.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_adaptive_avg_pool2d(const Attributes& attributes);
std::unique_ptr<Op> make_adaptive_max_pool2d(const Attributes& attributes);

}  // namespace convcore
