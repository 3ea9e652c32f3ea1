// SPDX-License-Identifier: BSD-3-Clause
// Power-average pooling: torch.nn.functional.lp_pool2d for even p, and ONNX LpPool.
//   y[o] = (sum over the window's taps t of |x[t]|^p)^(1/p)
//   dx[t] = |x[t]|^(p-1) sign(x[t]) sum over the windows o that hold t of dy[o] y[o]^(1-p); 0 from windows of zeros
// x: (N, C, H, W) or (N, C, L). Attributes: p = 2, at least 1; kernel_size, stride = kernel_size, padding = 0 (of
// zeros), dilation = 1, ceil_mode = false.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_lp_pool2d(const Attributes& attributes);

}  // namespace convcore
