// SPDX-License-Identifier: BSD-3-Clause
// Number of rows (or pixels) whose largest logit is at their label: a float32 scalar, for accuracy. Of equal logits the
// first counts as largest, NaN as larger than any number, as torch.argmax. Labels outside [0, C) are never hit, so
// ignored ones may stay. No gradient.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_correct_count(const Attributes&);

}  // namespace convcore
