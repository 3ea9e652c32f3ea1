// SPDX-License-Identifier: BSD-3-Clause
// Batch normalisation (Ioffe and Szegedy, 2015), as torch.nn.functional.batch_norm, per channel c:
//   forward, inference       y = (x - running_mean) / sqrt(running_var + eps) * weight + bias
//   forward, training        the same with the batch's mean and variance (divided by n = N*H*W); then
//                            running_mean += momentum * (mean - running_mean), running_var alike, divided by n - 1
//   backward_input           dx = weight * invstd * (dy - mean(dy) - (x - mean) * invstd^2 * mean(dy * (x - mean)))
//   backward_weight, _bias   dweight = invstd * sum(dy * (x - mean)),   dbias = sum(dy)
// batch_norm(x, weight?, bias?, running_mean?, running_var?)  eps = 1e-5, momentum = 0.1
// x: (N, C), (N, C, L) or (N, C, H, W); the others (C). The running statistics come together; inference needs them,
// training updates them in place. Training needs more than one value per channel. Backward needs a training plan.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_batch_norm(const Attributes& attributes);

}  // namespace convcore
