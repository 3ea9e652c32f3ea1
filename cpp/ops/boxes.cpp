// SPDX-License-Identifier: BSD-3-Clause
#include "ops/boxes.h"

#include "ops/checks.h"
#include "ops/strided.h"

namespace convcore {
namespace {

// Of x in y's axes; 0 in those that x has not.
Strides strides_in(const Tensor& x, int rank) {
  const Strides own = strides_of(x);
  Strides strides{};
  std::copy_n(own.begin(), x.shape.rank(), strides.begin() + (rank - x.shape.rank()));
  return strides;
}

}  // namespace

std::vector<TensorSpec> BoxesOp::plan(std::span<const TensorSpec> inputs, bool) {
  check_count(kind(), inputs, 1, 1);
  check_tensor(kind(), "x", inputs[0]);
  x_ = inputs[0].shape;
  axes_ = {};
  y_ = cut(x_, axes_);
  y_.size(kind());  // throws when it overflows
  return {{y_, DType::f32}};
}

// body(one segment per axis) for all boxes.
template <class Body>
void BoxesOp::for_boxes(Body&& body) const {
  const int rank = y_.rank();
  std::array<const Segment*, kMaxRank> box;
  for (int d = 0; d < rank; ++d) {
    const auto axis = static_cast<size_t>(d);
    if (axes_[axis].empty()) return;
    box[axis] = axes_[axis].data();
  }
  for (int d = rank; d >= 0;) {
    body(box);
    for (d = rank - 1; d >= 0; --d) {
      const auto axis = static_cast<size_t>(d);
      if (++box[axis] != axes_[axis].data() + axes_[axis].size()) break;
      box[axis] = axes_[axis].data();
    }
  }
}

void BoxesOp::forward(const OpCall& call) const {
  const Tensor &x = call.inputs[0], &y = call.outputs[0];
  const int rank = y_.rank();
  const Strides in_x = strides_in(x, rank), in_y = strides_of(y);
  for_boxes([&](const auto& box) {
    Walk<2> walk;
    Walk<1> filled;
    int64_t y_first = 0, x_first = 0;
    bool constant = false;
    for (size_t d = 0; d < static_cast<size_t>(rank); ++d) {
      const Segment& s = *box[d];
      walk.add(s.repeats, {s.size * in_y[d], 0});
      walk.add(s.size, {in_y[d], s.x_step * in_x[d]});
      filled.add(s.repeats * s.size, {in_y[d]});
      y_first += s.first * in_y[d];
      x_first += s.x_first * in_x[d];
      constant |= s.constant;
    }
    constant ? fill_strided(filled, constant_, y.f32() + y_first)
             : copy_strided(walk, x.f32() + x_first, y.f32() + y_first);
  });
}

void BoxesOp::backward(const OpCall& call) const {
  const Tensor &dy = call.grad_outputs[0], &dx = call.grad_inputs[0];
  if (!dx) return;
  if (!(call.adds & 1)) fill_strided(walk_over(x_, strides_of(dx)), 0, dx.f32());
  const int rank = y_.rank();
  const Strides in_x = strides_in(dx, rank), in_y = strides_of(dy);
  for_boxes([&](const auto& box) {
    Walk<2> walk;
    Walk<1> repeats;
    int64_t y_first = 0, x_first = 0;
    for (size_t d = 0; d < static_cast<size_t>(rank); ++d) {
      const Segment& s = *box[d];
      if (s.constant) return;
      repeats.add(s.repeats, {s.size * in_y[d]});
      walk.add(s.size, {s.x_step * in_x[d], in_y[d]});
      y_first += s.first * in_y[d];
      x_first += s.x_first * in_x[d];
    }
    add_strided(walk, repeats, dy.f32() + y_first, dx.f32() + x_first);
  });
}

int64_t BoxesOp::offset_in_input(int64_t pitch) const {
  if (x_.rank() != y_.rank() || y_.size() == 0) return -1;
  const Strides in_x = strides_of({nullptr, x_, DType::f32, pitch}), in_y = strides_of({nullptr, y_, DType::f32, pitch});
  int64_t offset = 0;
  for (int d = 0; d < y_.rank(); ++d) {
    const auto axis = static_cast<size_t>(d);
    const Segment& s = axes_[axis].front();
    if (axes_[axis].size() > 1 || s.constant || s.repeats > 1) return -1;
    if (s.size > 1 && s.x_step * in_x[axis] != in_y[axis]) return -1;
    offset += s.x_first * in_x[axis];
  }
  return offset;
}

std::vector<int64_t> integers_of_axes(std::string_view kind, const Attributes& attributes, std::string_view key,
                                      int rank, int per_axis) {
  std::vector<int64_t> values = attributes.integers(kind, key, {});
  require(values.size() == static_cast<size_t>(rank * per_axis), kind, key, " must be ", rank * per_axis,
          " integers, for x of ", rank, " dimensions, got ", listed(values));
  return values;
}

}  // namespace convcore
