// SPDX-License-Identifier: BSD-3-Clause
// What functions of several operands share: operands repeated as NumPy repeats them, and sums (and other folds) over
// the dimensions in which an operand was repeated.
#pragma once

#include <string_view>

#include "kernels/arithmetic.h"
#include "ops/op.h"

namespace convcore {

// A tensor in the dimensions of a common shape: its stride in each, 0 where it is repeated.
struct View {
  float* data = nullptr;
  Strides strides{};
};

View repeated(const Tensor& tensor, const Shape& full);
View constant(const float& value);  // in all places

// The common shape. Throws ShapeError unless the shapes have one rank and each dimension matches or is 1.
Shape common_shape(std::string_view kind, const Shape& a, const Shape& b);

// y = f(a, b) and z = f(p, a, b) over the dimensions of `full`. cost: operations per element.
void apply(Binary f, int64_t cost, const Shape& full, const View& a, const View& b, const View& y);
void apply(Ternary f, int64_t cost, const Shape& full, const View& p, const View& a, const View& b, const View& z);

// y = the fold of x (and other, if it has data) over the dimensions of `full` in which y has no stride. y must have an
// element. Cut by shape, so the result is the same for any number of threads. workspace: kFoldBytes.
inline constexpr int64_t kFoldParts = 64, kFoldWidth = 256;
inline constexpr size_t kFoldBytes = kFoldParts * kFoldWidth * sizeof(float);
void fold(Fold f, const Shape& full, const View& x, const View& other, const View& y, std::byte* workspace);

}  // namespace convcore
