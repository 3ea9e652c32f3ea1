// SPDX-License-Identifier: BSD-3-Clause
// Average and sum pooling, as torch.nn.functional.avg_pool2d (sums: with divisor_override=1).
//   avg_pool2d(x)  kernel_size, stride = kernel_size, padding = 0, dilation = 1, ceil_mode = false,
//                  count_include_pad = true
//   sum_pool2d(x)  kernel_size, stride = kernel_size, padding = 0, ceil_mode = false
// x: (N, C, H, W) or (N, C, L), float32. The divisor counts the taps inside the map and, with count_include_pad, in its
// padding; never those that ceil_mode adds beyond.
#pragma once

#include <memory>

#include "ops/op.h"
#include "ops/pool_geometry.h"

namespace convcore {

std::unique_ptr<Op> make_avg_pool2d(const Attributes& attributes);
std::unique_ptr<Op> make_sum_pool2d(const Attributes& attributes);

// Scaled sums over any windows:
//   forward          y[o] = scale[o] * sum over the window's taps t of x[t]
//   backward_input   dx[t] = sum over the windows o that hold t of scale[o] * dy[o]
std::unique_ptr<Op> make_sum_pool(std::string_view kind, PoolGeometry geometry);

}  // namespace convcore
