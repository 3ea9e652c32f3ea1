// SPDX-License-Identifier: BSD-3-Clause
// Max pooling, as torch.nn.functional.max_pool2d.
//   max_pool2d(x)          kernel_size, stride = kernel_size, padding = 0, dilation = 1, ceil_mode = false
//   max_pool2d_indices(x)  the same attributes; int64 positions h * W + w of the maxima in the input map; no gradient
// x: (N, C, H, W) or (N, C, L), float32. Padding never wins. The first of equal maxima wins; a NaN wins over numbers.
// A window without any tap inside the map (only dilation can make one) gives -inf and position -1.
#pragma once

#include <memory>

#include "ops/op.h"
#include "ops/pool_geometry.h"

namespace convcore {

std::unique_ptr<Op> make_max_pool2d(const Attributes& attributes);
std::unique_ptr<Op> make_max_pool2d_indices(const Attributes& attributes);

// Max pooling over any windows:
//   forward          y[o] = max over the window's taps t of x[t]
//   backward_input   dx[t] = sum over the windows o whose maximum stands at t of dy[o], in output order
// Training saves where each maximum stands.
std::unique_ptr<Op> make_max_pool(std::string_view kind, PoolGeometry geometry);

}  // namespace convcore
