// SPDX-License-Identifier: BSD-3-Clause
// Ops along axes: which axes, what shape is left, where the lines along one axis lie.
#pragma once

#include <array>
#include <string_view>

#include "base/tensor.h"
#include "ops/attributes.h"

namespace convcore {

// The axis with this number, counted from the end if negative. Throws ValueError unless x has it.
inline int axis_of(std::string_view kind, int64_t axis, const Shape& x) {
  require(axis >= -x.rank() && axis < x.rank(), kind, "axis must be from ", -x.rank(), " to ", x.rank() - 1, " for x ",
          x, ", got ", axis);
  return static_cast<int>(axis < 0 ? axis + x.rank() : axis);
}

// What is left of a shape without some axes, or with these of size 1.
class Reduced {
 public:
  Reduced() = default;
  Reduced(const Shape& x, const std::array<bool, kMaxRank>& without, bool keepdims)
      : without_(without), keepdims_(keepdims), x_size_(x.size()) {
    for (int d = 0; d < x.rank(); ++d) {
      const bool gone = without[static_cast<size_t>(d)];
      kept_.push_back(gone ? 1 : x[d]);
      if (!gone || keepdims) y_.push_back(gone ? 1 : x[d]);
    }
    if (y_.rank() == 0) y_.push_back(1);
  }

  const Shape& shape() const { return y_; }              // of the result; (1,) where nothing is left
  const Shape& kept() const { return kept_; }            // the same with all axes of x
  int64_t count() const { return x_size_ / y_.size(); }  // elements of x for each of the result, which has some

  // The result's strides in the dimensions of x, 0 in those that are gone.
  Strides strides(const Tensor& y) const {
    const Strides own = strides_of(y);
    Strides result{};
    size_t next = 0;
    for (size_t d = 0; d < static_cast<size_t>(kept_.rank()); ++d) {
      if (!without_[d]) result[d] = own[next];
      if (!without_[d] || keepdims_) ++next;
    }
    return result;
  }

 private:
  std::array<bool, kMaxRank> without_{};
  bool keepdims_ = false;
  int64_t x_size_ = 0;
  Shape y_, kept_;
};

// The lines of a shape along one axis, in the order of the other dimensions.
struct Lines {
  Shape shape;
  int axis = 0;

  int64_t length() const { return shape[axis]; }
  int64_t count() const {
    int64_t lines = 1;
    for (int d = 0; d < shape.rank(); ++d) lines *= d == axis ? 1 : shape[d];
    return lines;
  }
  // Where a line begins in memory of these strides.
  int64_t offset(int64_t line, const Strides& strides) const {
    int64_t at = 0;
    for (int d = shape.rank() - 1; d >= 0; --d) {
      if (d == axis) continue;
      at += line % shape[d] * strides[static_cast<size_t>(d)];
      line /= shape[d];
    }
    return at;
  }
};

}  // namespace convcore
