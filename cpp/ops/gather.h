// SPDX-License-Identifier: BSD-3-Clause
// Elements of x along an axis, by their numbers:  y[..., k, ...] = x[..., indices[k], ...], k of any number of axes,
// which stand in y where the axis stood in x.
//
// Inputs: x of any rank; indices, int64 (given) or float32 (computed), unless they are attributes. Attributes: axis =
// 0; indices with index_shape (default: one axis; none: a single index, whose axis y has not). An index below 0 counts
// from the axis' end; ValueError for one that is outside. Gradient: dx[indices[k]] += dy[k], in the order of k.
// Source: numpy.take; ONNX Gather.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_gather(const Attributes& attributes);

}  // namespace convcore
