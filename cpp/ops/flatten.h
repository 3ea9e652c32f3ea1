// SPDX-License-Identifier: BSD-3-Clause
// (N, C, H, W) -> (N, C*H*W), each row in PyTorch's C, H, W order: a transposition of every image's channels-last
// memory, and of its gradient back. Attribute start_dim = 1, the only value: dimension 0 is the batch. Ranks 2 to 4.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_flatten(const Attributes&);

}  // namespace convcore
