// SPDX-License-Identifier: BSD-3-Clause
// Negative log-likelihood, as torch.nn.functional.nll_loss. Inputs: log-probabilities x of (N, C, ...), of any rank from
// 2 on, int64 labels y without the C, optional class weights w (C).
//   loss = -w_y x_y        d loss / d x_c = -w_y [c = y]
// "mean" divides by the sum of w_y over the labels that are not ignored, so it is NaN where there are none. Attributes:
// ignore_index = -100, reduction = "mean" | "sum" | "none": then the result is of the labels' shape, and 0 where they are
// ignored.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_nll_loss(const Attributes& attributes);

}  // namespace convcore
