// SPDX-License-Identifier: BSD-3-Clause
// Normalisations within one image, forward and backward:  y = (x - mean) / sqrt(var + eps) * weight + bias
//   layer_norm     mean and (biased) variance over the last dimensions, from `axis` on; x of 1 to 6 dimensions.
//                  weight, bias: of x's rank, their dimensions before `axis` 1, the others x's: activations, as x is.
//                  statistics = true gives two more outputs, mean and 1 / sqrt(var + eps), whose normalised dimensions
//                  are 1; they have no gradient. Ba, Kiros and Hinton, "Layer Normalization", 2016.
//   group_norm     over the channels of one of num_groups groups, and their pixels; x: (N, C, ...), 2 to 6 dimensions;
//                  weight, bias: (C). Wu and He, "Group Normalization", 2018.
//   instance_norm  the same with one channel to a group. Ulyanov et al., "Instance Normalization", 2016.
// weight and bias are optional. axis = -1, eps = 1e-5.
//   dx = scale (g - mean(g) - (x - mean) scale^2 mean(g (x - mean))),  g = dy weight,  scale = 1 / sqrt(var + eps)
// Means come first, then squares of deviations, over parts that are cut by the shape; what is between parts is added up
// in double. Memory: y may be that of x, dx that of dy.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_layer_norm(const Attributes& attributes);
std::unique_ptr<Op> make_group_norm(const Attributes& attributes);
std::unique_ptr<Op> make_instance_norm(const Attributes& attributes);

}  // namespace convcore
