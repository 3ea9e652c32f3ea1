// SPDX-License-Identifier: BSD-3-Clause
#include "ops/where.h"

#include <array>

#include "base/memory.h"
#include "ops/broadcast.h"
#include "ops/checks.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "where";
constexpr float kZero = 0;

class WhereOp : public Op {
 public:
  std::string_view kind() const override { return kKind; }
  bool is_dense(int) const override { return false; }
  bool can_run_in_place(int input) const override { return !repeated_[static_cast<size_t>(input)]; }
  bool backward_reads_input(int input) const override { return input == 0; }
  OpNeeds needs() const override {
    OpNeeds needs;
    if (repeated_[1] || repeated_[2])
      needs.backward = kFoldBytes + align_up(static_cast<size_t>(full_.size()) * sizeof(float));
    return needs;
  }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 3, 3);
    constexpr const char* kNames[] = {"condition", "a", "b"};
    for (size_t i = 0; i < 3; ++i) check_tensor(kind(), kNames[i], inputs[i]);
    full_ = common_shape(kind(), common_shape(kind(), inputs[0].shape, inputs[1].shape), inputs[2].shape);
    for (size_t i = 0; i < 3; ++i) repeated_[i] = !(inputs[i].shape == full_);
    return {{full_, DType::f32}};
  }

  void forward(const OpCall& call) const override {
    apply(Ternary::where, 1, full_, view(call.inputs[0]), view(call.inputs[1]), view(call.inputs[2]),
          view(call.outputs[0]));
  }

  // Last the gradient that may be written over dy.
  void backward(const OpCall& call) const override {
    const void* dy = call.grad_outputs[0].data;
    for (const bool over_dy : {false, true})
      for (size_t i = 0; i < 3; ++i)
        if (const Tensor& grad = call.grad_inputs[i]; grad && grad.shape.size() > 0 && (grad.data == dy) == over_dy)
          gradient(call, i);
  }

 private:
  View view(const Tensor& tensor) const { return repeated(tensor, full_); }

  void gradient(const OpCall& call, size_t i) const {
    const View condition = view(call.inputs[0]), dy = view(call.grad_outputs[0]), zero = constant(kZero);
    const Tensor& grad = call.grad_inputs[i];
    if (i == 0) return apply(Ternary::where, 1, grad.shape, zero, zero, zero, repeated(grad, grad.shape));
    const Tensor unsummed{call.workspace + kFoldBytes, full_, DType::f32, channels_of(full_)};
    const Tensor& chosen = repeated_[i] ? unsummed : grad;
    apply(Ternary::where, 1, full_, condition, i == 1 ? dy : zero, i == 1 ? zero : dy, view(chosen));
    if (repeated_[i]) fold(Fold::sum, full_, view(unsummed), {}, view(grad), call.workspace);
  }

  Shape full_;
  std::array<bool, 3> repeated_{};
};

}  // namespace

std::unique_ptr<Op> make_where(const Attributes& attributes) {
  attributes.check_known(kKind, {});
  return std::make_unique<WhereOp>();
}

}  // namespace convcore
