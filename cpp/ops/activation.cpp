// SPDX-License-Identifier: BSD-3-Clause
#include "ops/activation.h"

#include <cmath>

#include "kernels/table.h"
#include "ops/blocks.h"
#include "ops/checks.h"

namespace convcore {
namespace {

struct Settings {
  const char* kind;
  Activation function;
  bool from_output;  // backward needs y rather than x
  int64_t cost;      // operations per element, roughly
  float slope = 0;
};

class ActivationOp : public Op {
 public:
  explicit ActivationOp(const Settings& settings) : settings_(settings) {}

  std::string_view kind() const override { return settings_.kind; }
  bool can_run_in_place(int input) const override { return input == 0; }
  bool backward_reads_input(int) const override { return !settings_.from_output; }
  bool backward_reads_outputs() const override { return settings_.from_output; }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 1, 1);
    check_activation(kind(), "x", inputs[0]);
    return {inputs[0]};
  }

  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &y = call.outputs[0];
    parallel_blocks({&x, &y}, settings_.cost, [&](const RowBlock& b) {
      kernels().forward(b.rows, b.columns, b.in(x), b.out(y), settings_.slope);
    });
  }

  void backward(const OpCall& call) const override {
    const Tensor &dy = call.grad_outputs[0], &dx = call.grad_inputs[0];
    const Tensor& from = settings_.from_output ? call.outputs[0] : call.inputs[0];
    if (!dx) return;
    parallel_blocks({&dy, &from, &dx}, settings_.cost, [&](const RowBlock& b) {
      kernels().backward(b.rows, b.columns, b.in(dy), b.in(from), b.out(dx), settings_.slope);
    });
  }

 private:
  const ActivationKernels& kernels() const {
    return table().elementwise.activation[static_cast<int>(settings_.function)];
  }

  Settings settings_;
};

std::unique_ptr<Op> make_plain(const Attributes& attributes, const Settings& settings) {
  attributes.check_known(settings.kind, {});
  return std::make_unique<ActivationOp>(settings);
}

}  // namespace

std::unique_ptr<Op> make_relu(const Attributes& a) { return make_plain(a, {"relu", Activation::relu, true, 1}); }
std::unique_ptr<Op> make_relu6(const Attributes& a) { return make_plain(a, {"relu6", Activation::relu6, true, 1}); }
std::unique_ptr<Op> make_sigmoid(const Attributes& a) {
  return make_plain(a, {"sigmoid", Activation::sigmoid, true, 16});
}
std::unique_ptr<Op> make_tanh(const Attributes& a) { return make_plain(a, {"tanh", Activation::tanh, true, 16}); }
std::unique_ptr<Op> make_silu(const Attributes& a) { return make_plain(a, {"silu", Activation::silu, false, 16}); }
std::unique_ptr<Op> make_hardswish(const Attributes& a) {
  return make_plain(a, {"hardswish", Activation::hardswish, false, 4});
}

std::unique_ptr<Op> make_leaky_relu(const Attributes& attributes) {
  attributes.check_known("leaky_relu", {"negative_slope"});
  const double slope = attributes.number("leaky_relu", "negative_slope", 0.01);
  require(std::isfinite(slope), "leaky_relu", "negative_slope must be finite, got ", slope);
  return std::make_unique<ActivationOp>(
      Settings{"leaky_relu", Activation::leaky_relu, slope >= 0, 2, static_cast<float>(slope)});
}

std::unique_ptr<Op> make_gelu(const Attributes& attributes) {
  attributes.check_known("gelu", {"approximate"});
  const std::string approximate = attributes.text("gelu", "approximate", "none");
  require(approximate == "none" || approximate == "tanh", "gelu", "approximate must be 'none' or 'tanh', got '",
          approximate, "'");
  return std::make_unique<ActivationOp>(
      Settings{"gelu", approximate == "none" ? Activation::gelu : Activation::gelu_tanh, false, 32});
}

}  // namespace convcore
