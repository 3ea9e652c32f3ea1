// SPDX-License-Identifier: BSD-3-Clause
#include "ops/softmax.h"

#include "kernels/table.h"
#include "ops/blocks.h"
#include "ops/checks.h"

namespace convcore {
namespace {

class SoftmaxOp : public Op {
 public:
  explicit SoftmaxOp(bool log) : log_(log) {}

  std::string_view kind() const override { return log_ ? "log_softmax" : "softmax"; }
  bool can_run_in_place(int input) const override { return input == 0; }
  bool backward_reads_input(int) const override { return false; }
  bool backward_reads_outputs() const override { return true; }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 1, 1);
    check_activation(kind(), "x", inputs[0]);
    return {inputs[0]};
  }

  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &y = call.outputs[0];
    const auto kernel = log_ ? table().elementwise.softmax.log_softmax : table().elementwise.softmax.softmax;
    parallel_for(x.c() ? x.pixels() : 0, 16, 20 * x.c(), [&](int64_t begin, int64_t end) {
      const RowBlock b{begin, end - begin, x.c(), false};
      kernel(b.rows, b.columns, b.in(x), b.out(y));
    });
  }

  void backward(const OpCall& call) const override {
    const Tensor &y = call.outputs[0], &dy = call.grad_outputs[0], &dx = call.grad_inputs[0];
    if (!dx) return;
    const SoftmaxKernels& kernels = table().elementwise.softmax;
    const auto kernel = log_ ? kernels.log_softmax_backward : kernels.softmax_backward;
    parallel_for(y.c() ? y.pixels() : 0, 16, 10 * y.c(), [&](int64_t begin, int64_t end) {
      const RowBlock b{begin, end - begin, y.c(), false};
      kernel(b.rows, b.columns, b.in(dy), b.in(y), b.out(dx));
    });
  }

 private:
  bool log_;
};

std::unique_ptr<Op> make(const Attributes& attributes, bool log) {
  attributes.check_known(log ? "log_softmax" : "softmax", {});
  return std::make_unique<SoftmaxOp>(log);
}

}  // namespace

std::unique_ptr<Op> make_softmax(const Attributes& attributes) { return make(attributes, false); }
std::unique_ptr<Op> make_log_softmax(const Attributes& attributes) { return make(attributes, true); }

}  // namespace convcore
