// SPDX-License-Identifier: BSD-3-Clause
#include "ops/dropout.h"

#include <algorithm>
#include <cmath>

#include "kernels/table.h"
#include "ops/blocks.h"
#include "ops/checks.h"

namespace convcore {
namespace {

class DropoutOp : public Op {
 public:
  explicit DropoutOp(double p) : p_(p) {}

  std::string_view kind() const override { return "dropout"; }
  bool can_run_in_place(int input) const override { return input == 0; }
  bool backward_reads_input(int) const override { return false; }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool training) override {
    check_count(kind(), inputs, 1, 1);
    check_activation(kind(), "x", inputs[0]);
    active_ = training && p_ > 0;
    return {inputs[0]};
  }

  void forward(const OpCall& call) const override { apply(call, call.inputs[0], call.outputs[0]); }

  void backward(const OpCall& call) const override {
    if (call.grad_inputs[0]) apply(call, call.grad_outputs[0], call.grad_inputs[0]);
  }

 private:
  // The same multipliers either way.
  void apply(const OpCall& call, const Tensor& x, const Tensor& y) const {
    if (!active_) return copy(x, y);
    const double threshold = std::min(std::round(p_ * 4294967296.0), 4294967295.0);
    const DropoutNumbers numbers{call.seed, call.stream, static_cast<uint32_t>(threshold),
                                 p_ < 1 ? static_cast<float>(1 / (1 - p_)) : 0.0f};
    parallel_blocks({&x, &y}, 8, [&](const RowBlock& b) {
      const int64_t first = b.packed ? b.first : b.first * b.columns;
      table().elementwise.dropout(b.rows, b.columns, b.in(x), b.out(y), first, numbers);
    });
  }

  double p_;
  bool active_ = false;
};

}  // namespace

std::unique_ptr<Op> make_dropout(const Attributes& attributes) {
  attributes.check_known("dropout", {"p"});
  const double p = attributes.number("dropout", "p", 0.5);
  require(p >= 0 && p <= 1, "dropout", "p must be between 0 and 1, got ", p);
  return std::make_unique<DropoutOp>(p);
}

}  // namespace convcore
