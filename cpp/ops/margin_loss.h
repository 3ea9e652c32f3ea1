// SPDX-License-Identifier: BSD-3-Clause
// Margin losses on scores s (N, C), or (N, C, L) and (N, C, H, W) with one label per pixel; int64 labels y. With
// z_j = s_j - s_y + margin, a row has
//   hinge_loss:        sum over j != y of max(0, z_j)                    (CS231n's multi-class SVM loss)
//   multi_margin_loss: w_y / C sum over j != y of max(0, z_j)^p          (torch.nn.functional.multi_margin_loss)
// and d / d s_j = the terms' derivatives (0 where z_j <= 0), d / d s_y = minus their sum. "mean" divides by the rows.
// Attributes: margin = 1, reduction = "mean" | "sum"; multi_margin_loss: p = 1 | 2 and an optional third input, class
// weights w (C). NaN scores give a NaN loss in both (PyTorch's multi_margin_loss passes over them).
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_hinge_loss(const Attributes&);
std::unique_ptr<Op> make_multi_margin_loss(const Attributes&);

}  // namespace convcore
