// SPDX-License-Identifier: BSD-3-Clause
#include "ops/channels_last.h"

#include "ops/checks.h"
#include "ops/strided.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "channels_last";

class ChannelsLastOp : public Op {
 public:
  std::string_view kind() const override { return kKind; }
  bool is_dense(int) const override { return true; }
  bool backward_reads_input(int) const override { return false; }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 1, 1);
    check_tensor(kind(), "x", inputs[0]);
    return {inputs[0]};
  }

  void forward(const OpCall& call) const override {
    const Tensor& y = call.outputs[0];
    copy_strided(walk(y, true), call.inputs[0].f32(), y.f32());
  }
  void backward(const OpCall& call) const override {
    const Tensor &dy = call.grad_outputs[0], &dx = call.grad_inputs[0];
    if (dx) copy_strided(walk(dy, false), dy.f32(), dx.f32());
  }

 private:
  static Walk<2> walk(const Tensor& activation, bool to_it) {
    const Strides last = strides_of(activation), dense = row_major(activation.shape);
    return to_it ? walk_over(activation.shape, last, dense) : walk_over(activation.shape, dense, last);
  }
};

}  // namespace

std::unique_ptr<Op> make_channels_last(const Attributes& attributes) {
  attributes.check_known(kKind, {});
  return std::make_unique<ChannelsLastOp>();
}

}  // namespace convcore
