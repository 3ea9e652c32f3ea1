// SPDX-License-Identifier: BSD-3-Clause
// Batch normalisation (Ioffe and Szegedy, 2015), as torch.nn.functional.batch_norm, and what usually stands behind it,
// in one pass. Per channel c, with act = relu, relu6 or nothing:
//   forward, inference       y = act((x - running_mean) / sqrt(running_var + eps) * weight + bias + residual)
//   forward, training        the same with the batch's mean and variance (divided by n = N*H*W); then
//                            running_mean += momentum * (mean - running_mean), running_var alike, divided by n - 1
//   backward_residual        g = dy where act lets the gradient through, else 0
//   backward_input           dx = weight * invstd * (g - mean(g) - (x - mean) * invstd^2 * mean(g * (x - mean)))
//   backward_weight, _bias   dweight = invstd * sum(g * (x - mean)),   dbias = sum(g)
// batch_norm(x, weight?, bias?, running_mean?, running_var?, residual?, statistics?, scale?, shift?)
//   eps = 1e-5, momentum = 0.1, activation = "none" | "relu" | "relu6", coefficients = false
// x: (N, C), (N, C, L) or (N, C, H, W); weight to running_var: (C). The running statistics come together; inference
// needs them, training updates them in place. Training needs more than one value per channel. Backward needs a training
// plan.
//   residual    of x's shape
//   statistics  (parts, 1 + 2 C), training only: what the convolution that made x knows of it. The pixels of x are
//               divided into parts of any sizes; a row holds the number of its pixels, each channel's mean over them,
//               and each channel's sum of (x - mean)^2. x is then read once, not twice. No gradient.
//   scale, shift  inference only: one value for each channel, multiplied with, and added, before the residual is
//   coefficients  true, inference only: not y is computed, but two outputs of shape (1, C, 1, ...) and x's rank, by
//               which a convolution that reads y can make it of x: y = x * first + second
// Passes over the activations: forward reads x (without statistics twice) and residual, and writes y. Backward reads
// dy, x and, with a residual and an activation, y, and writes the residual's gradient; then it reads that (or dy and y
// again) and x, and writes dx. On which side of 0 and 6 the activation's argument lay is seen from y where there is a
// residual; else it is computed from x by forward's own operations, so that the last bit is the same.
// Memory: y may be that of x or of residual; dx that of x or of dy; the residual's gradient that of dy, if dx is not.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_batch_norm(const Attributes& attributes);

}  // namespace convcore
