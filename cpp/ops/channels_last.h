// SPDX-License-Identifier: BSD-3-Clause
// A dense tensor, a parameter say, as an activation: y = x in another layout.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_channels_last(const Attributes& attributes);

}  // namespace convcore
