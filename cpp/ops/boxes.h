// SPDX-License-Identifier: BSD-3-Clause
// What slice, pad, expand and tile share: y is put together of boxes of x, and of a constant.
//
// Each axis of y is a row of segments; a box is one segment of each axis. Index first + r * size + i of y, r below
// `repeats`, i below `size`, is index x_first + i * x_step of x.
//   forward   y[box] = x[box of x]
//   backward  dx = 0, dx[box of x] += dy[box], summed over the repeats, box by box
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "ops/op.h"

namespace convcore {

struct Segment {
  int64_t first = 0, size = 1;
  int64_t x_first = 0, x_step = 1;
  int64_t repeats = 1;
  bool constant = false;
};

using Axes = std::array<std::vector<Segment>, kMaxRank>;

class BoxesOp : public Op {
 public:
  bool backward_reads_input(int) const override { return false; }
  bool can_add_gradient(int) const override { return true; }
  int64_t offset_in_input(int64_t pitch) const override;
  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool training) override;
  void forward(const OpCall& call) const override;
  void backward(const OpCall& call) const override;

 protected:
  explicit BoxesOp(float constant = 0) : constant_(constant) {}
  // Checks the settings; returns y's shape, whose rank is x's or more, and fills its axes. The first ones, which x has
  // not, repeat index 0. A segment is nowhere empty.
  virtual Shape cut(const Shape& x, Axes& axes) const = 0;

 private:
  template <class Body>
  void for_boxes(Body&& body) const;

  float constant_;
  Shape x_, y_;
  Axes axes_;
};

// One integer for each of `rank` axes, or `per_axis` of them. Throws ValueError.
std::vector<int64_t> integers_of_axes(std::string_view kind, const Attributes& attributes, std::string_view key,
                                      int rank, int per_axis = 1);

}  // namespace convcore
