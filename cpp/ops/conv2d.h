// SPDX-License-Identifier: BSD-3-Clause
// conv2d: what networks call convolution (filtering, i.e. cross-correlation). Formula: conv_geometry.h.
//   x (N, C, H, W), weight (O, C/groups, kH, kW), bias (O,) -> (N, O, OH, OW); rank 3 is H = 1 (conv1d).
//   attributes: stride, padding, dilation, groups (ConvSettings), algorithm (auto | direct | im2col)
// As torch.nn.functional.conv2d.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_conv2d(const Attributes& attributes);

// Names of the algorithms that accept this convolution, best first, by pass. Throws as conv2d's plan() does.
std::map<std::string, std::vector<std::string>> conv_algorithms(const Attributes& attributes, const Shape& x,
                                                                const Shape& weight);

}  // namespace convcore
