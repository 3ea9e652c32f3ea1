// SPDX-License-Identifier: BSD-3-Clause
// Winograd for convolutions in groups: each group is a convolution of its own, of channel slices. Threads share the
// groups, or, where these are fewer, each group.
#pragma once

#include <memory>

#include "ops/convolution.h"

namespace convcore {

// One of g's groups.
Conv2dGeometry one_group(const Conv2dGeometry& g);

std::unique_ptr<ConvMap> winograd_groups_map(const Conv2dGeometry& g, Pass pass);
std::unique_ptr<ConvReduce> winograd_groups_reduce(const Conv2dGeometry& g);

}  // namespace convcore
