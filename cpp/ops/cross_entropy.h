// SPDX-License-Identifier: BSD-3-Clause
// Softmax cross-entropy as torch.nn.functional.cross_entropy. Inputs: logits x of (N, C), (N, C, L) or (N, C, H, W),
// int64 labels y without the C, optional class weights w (C). With lse = log sum_k e^x_k, W = sum_c w_c and
// s = label_smoothing, a row (or pixel) that is not ignored has
//   loss = (1 - s) w_y (lse - x_y) + s / C sum_c w_c (lse - x_c)
//   d loss / d x_c = ((1 - s) w_y + s W / C) e^(x_c - lse) - s / C w_c - (1 - s) w_y [c = y]
// "mean" divides by the sum of w_y over those rows (their number, without weights), so it is NaN where there are none.
// Attributes: label_smoothing = 0, ignore_index = -100, reduction = "mean" | "sum" | "none": then y is of the
// labels' shape, and 0 where they are ignored. Forward saves each row's lse.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_cross_entropy(const Attributes&);

}  // namespace convcore
