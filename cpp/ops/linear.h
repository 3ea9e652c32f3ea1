// SPDX-License-Identifier: BSD-3-Clause
// linear: y = x w^T + bias; x (N, I), weight (O, I), bias (O,) -> (N, O). A 1x1 convolution over N pixels.
// As torch.nn.functional.linear.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_linear(const Attributes& attributes);

}  // namespace convcore
