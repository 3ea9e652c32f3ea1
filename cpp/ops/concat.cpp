// SPDX-License-Identifier: BSD-3-Clause
#include "ops/concat.h"

#include "ops/blocks.h"
#include "ops/checks.h"

namespace convcore {
namespace {

// Channels [first, first + like.c()) of `whole`.
Tensor channel_slice(const Tensor& whole, int64_t first, const Tensor& like) {
  Tensor slice = like;
  slice.data = whole.f32() + first;
  slice.pitch = whole.pitch;
  return slice;
}

class ConcatOp : public Op {
 public:
  std::string_view kind() const override { return "concat"; }
  bool is_dense(int) const override { return false; }
  bool backward_reads_input(int) const override { return false; }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    require(!inputs.empty(), kind(), "takes at least one input");
    Shape joined = inputs[0].shape;
    for (size_t i = 0; i < inputs.size(); ++i) {
      check_activation(kind(), "input " + std::to_string(i), inputs[i]);
      Shape expected = inputs[0].shape;
      expected[1] = inputs[i].shape[1];
      require<ShapeError>(inputs[i].shape == expected, kind(), "all dimensions but channels must match, got ",
                          inputs[0].shape, " and, as input ", i, ", ", inputs[i].shape);
      if (i > 0)
        require<ShapeError>(!__builtin_add_overflow(joined[1], inputs[i].shape[1], &joined[1]), kind(),
                            "number of channels overflows 64 bits at input ", i, ": ", inputs[i].shape);
    }
    joined.size(kind());  // throws when it overflows
    return {{joined, DType::f32}};
  }

  void forward(const OpCall& call) const override {
    int64_t first = 0;
    for (const Tensor& x : call.inputs) {
      copy(x, channel_slice(call.outputs[0], first, x));
      first += x.c();
    }
  }

  void backward(const OpCall& call) const override {
    int64_t first = 0;
    for (size_t i = 0; i < call.inputs.size(); ++i) {
      const Tensor& dx = call.grad_inputs[i];
      if (dx) copy(channel_slice(call.grad_outputs[0], first, dx), dx);
      first += call.inputs[i].c();
    }
  }
};

}  // namespace

std::unique_ptr<Op> make_concat(const Attributes& attributes) {
  attributes.check_known("concat", {});
  return std::make_unique<ConcatOp>();
}

}  // namespace convcore
