// SPDX-License-Identifier: BSD-3-Clause
// Losses of x against a target t: float32 activations of one shape. The sum over all elements, with e = x - t, of
//   mse_loss         e^2
//   l1_loss          |e|                                        derivative 0 at e = 0
//   huber_loss       e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2);  delta = 1
//   bce_with_logits  (1 - t) x + (1 + (w - 1) t) log(1 + e^-x)  w: optional third input pos_weight, 1 or C entries
// "mean" divides by the number of elements (NaN where there are none). Attribute reduction = "mean" | "sum".
// x and t have gradients; pos_weight has none. Definitions: the torch.nn.functional pages of these names.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_mse_loss(const Attributes&);
std::unique_ptr<Op> make_l1_loss(const Attributes&);
std::unique_ptr<Op> make_huber_loss(const Attributes&);
std::unique_ptr<Op> make_bce_with_logits(const Attributes&);

}  // namespace convcore
