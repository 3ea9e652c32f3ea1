// SPDX-License-Identifier: BSD-3-Clause
#include "ops/flatten.h"

#include "kernels/table.h"
#include "ops/blocks.h"
#include "ops/checks.h"

namespace convcore {
namespace {

class FlattenOp : public Op {
 public:
  std::string_view kind() const override { return "flatten"; }
  bool backward_reads_input(int) const override { return false; }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 1, 1);
    check_activation(kind(), "x", inputs[0]);
    Shape sample;
    for (int i = 1; i < inputs[0].shape.rank(); ++i) sample.push_back(inputs[0].shape[i]);
    // size() throws when it overflows, which it may in an empty batch.
    return {{Shape{inputs[0].shape[0], sample.size(kind())}, DType::f32}};
  }

  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &y = call.outputs[0];
    const int64_t area = x.h() * x.w();
    parallel_for(x.n(), 1, 2 * y.c(), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n)
        table().elementwise.transpose(area, x.c(), {x.f32() + n * area * x.pitch, x.pitch},
                                      {y.f32() + n * y.pitch, area});
    });
  }

  void backward(const OpCall& call) const override {
    const Tensor &dy = call.grad_outputs[0], &dx = call.grad_inputs[0];
    if (!dx) return;
    const int64_t area = dx.h() * dx.w();
    parallel_for(dx.n(), 1, 2 * dy.c(), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n)
        table().elementwise.transpose(dx.c(), area, {dy.f32() + n * dy.pitch, area},
                                      {dx.f32() + n * area * dx.pitch, dx.pitch});
    });
  }
};

}  // namespace

std::unique_ptr<Op> make_flatten(const Attributes& attributes) {
  attributes.check_known("flatten", {"start_dim"});
  const int64_t start_dim = attributes.integer("flatten", "start_dim", 1);
  require(start_dim == 1, "flatten", "start_dim must be 1, because dimension 0 is the batch; got ", start_dim);
  return std::make_unique<FlattenOp>();
}

}  // namespace convcore
