// SPDX-License-Identifier: BSD-3-Clause
#include "ops/concat.h"

#include "ops/blocks.h"
#include "ops/checks.h"
#include "ops/strided.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "concat";

int64_t axis_of(const Attributes& attributes) { return attributes.integer(kKind, "axis", 1); }

class ConcatOp : public Op {
 public:
  explicit ConcatOp(const Attributes& attributes) : attributes_(attributes) {}

  std::string_view kind() const override { return kKind; }
  bool is_dense(int) const override { return false; }
  bool backward_reads_input(int) const override { return false; }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    require(!inputs.empty(), kind(), "takes at least one input");
    Shape joined = inputs[0].shape;
    const int64_t axis = axis_of(attributes_);
    check_tensor(kind(), "input 0", inputs[0]);
    require<ShapeError>(axis >= 0 && axis < joined.rank(), kind(), "axis must be from 0 to ", joined.rank() - 1,
                        ", got ", axis, " (input 0: ", joined, ")");
    axis_ = static_cast<int>(axis);
    for (size_t i = 1; i < inputs.size(); ++i) {
      check_tensor(kind(), "input " + std::to_string(i), inputs[i]);
      Shape expected = inputs[0].shape;
      if (axis_ < inputs[i].shape.rank()) expected[axis_] = inputs[i].shape[axis_];
      require<ShapeError>(inputs[i].shape == expected, kind(), "all dimensions but ",
                          axis_ == 1 ? "channels" : "axis " + std::to_string(axis_), " must match, got ",
                          inputs[0].shape, " and, as input ", i, ", ", inputs[i].shape);
      require<ShapeError>(!__builtin_add_overflow(joined[axis_], expected[axis_], &joined[axis_]), kind(),
                          axis_ == 1 ? "number of channels" : "axis " + std::to_string(axis_),
                          " overflows 64 bits at input ", i, ": ", expected);
    }
    joined.size(kind());  // throws when it overflows
    return {{joined, DType::f32}};
  }

  void forward(const OpCall& call) const override { move(call.outputs[0], call.inputs, call.inputs, false); }
  void backward(const OpCall& call) const override { move(call.grad_outputs[0], call.grad_inputs, call.inputs, true); }

 private:
  // The parts, which have the inputs' shapes, to or from the whole.
  void move(const Tensor& whole, std::span<const Tensor> parts, std::span<const Tensor> inputs, bool apart) const {
    const int64_t stride = strides_of(whole)[static_cast<size_t>(axis_)];
    const bool pixelwise = joins_channels(attributes_, whole.shape.rank());
    int64_t first = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      Tensor part = whole;  // the part's place in the whole
      part.shape = inputs[i].shape;
      part.data = whole.f32() + first * stride;
      first += part.shape[axis_];
      if (!parts[i]) continue;
      if (pixelwise) {
        apart ? copy(part, parts[i]) : copy(parts[i], part);
        continue;
      }
      const Strides there = strides_of(whole), here = strides_of(parts[i]);
      apart ? copy_strided(walk_over(part.shape, here, there), part.f32(), parts[i].f32())
            : copy_strided(walk_over(part.shape, there, here), parts[i].f32(), part.f32());
    }
  }

  Attributes attributes_;
  int axis_ = 1;
};

}  // namespace

std::unique_ptr<Op> make_concat(const Attributes& attributes) {
  attributes.check_known(kKind, {"axis"});
  axis_of(attributes);  // throws for a wrong type
  return std::make_unique<ConcatOp>(attributes);
}

bool joins_channels(const Attributes& attributes, int rank) {
  return axis_of(attributes) == 1 && rank >= 2 && rank <= 4;
}

}  // namespace convcore
