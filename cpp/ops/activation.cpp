// SPDX-License-Identifier: BSD-3-Clause
#include "ops/activation.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>

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
  Coefficients coefficients{};
};

class ActivationOp : public Op {
 public:
  explicit ActivationOp(const Settings& settings) : settings_(settings) {}

  std::string_view kind() const override { return settings_.kind; }
  bool can_run_in_place(int input) const override { return input == 0; }
  bool has_gradient(int) const override { return settings_.function != Activation::logical_not; }
  bool backward_reads_input(int) const override { return !settings_.from_output; }
  bool backward_reads_outputs() const override { return settings_.from_output; }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 1, 1);
    check_tensor(kind(), "x", inputs[0]);
    return {inputs[0]};
  }

  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &y = call.outputs[0];
    parallel_blocks({&x, &y}, settings_.cost, [&](const RowBlock& b) {
      function().kernels().forward(b.rows, b.columns, b.in(x), b.out(y), settings_.coefficients);
    });
  }

  void backward(const OpCall& call) const override {
    require(has_gradient(0), kind(), "has no gradient");
    const Tensor &dy = call.grad_outputs[0], &dx = call.grad_inputs[0];
    const Tensor& from = settings_.from_output ? call.outputs[0] : call.inputs[0];
    if (!dx) return;
    parallel_blocks({&dy, &from, &dx}, settings_.cost, [&](const RowBlock& b) {
      function().kernels().backward(b.rows, b.columns, b.in(dy), b.in(from), b.out(dx), settings_.coefficients);
    });
  }

  ActivationFunction function() const { return {settings_.function, settings_.coefficients}; }

 private:
  Settings settings_;
};

std::unique_ptr<Op> make(const Attributes& attributes, const Settings& settings,
                         std::initializer_list<std::string_view> known = {}) {
  attributes.check_known(settings.kind, known);
  return std::make_unique<ActivationOp>(settings);
}

float finite(const Attributes& attributes, const char* kind, const char* key, double fallback) {
  const double value = attributes.number(kind, key, fallback);
  require(std::isfinite(value), kind, key, " must be finite, got ", value);
  return static_cast<float>(value);
}

}  // namespace

const ActivationKernels& ActivationFunction::kernels() const {
  return table().elementwise.activation[static_cast<int>(function)];
}

std::optional<ActivationFunction> activation_function(std::string_view kind, const Attributes& attributes) {
  const std::unique_ptr<Op> op = make_op(kind, attributes);
  const auto* activation = dynamic_cast<const ActivationOp*>(op.get());
  if (!activation) return std::nullopt;
  return activation->function();
}

std::optional<ActivationFunction> activation_of(std::string_view who, const Attributes& attributes) {
  constexpr std::string_view kPrefix = "activation.";
  const std::string kind = attributes.text(who, "activation", "none");
  if (kind == "none") return std::nullopt;
  Attributes own;
  for (const auto& [key, value] : attributes.items())
    if (key.starts_with(kPrefix)) own.set(key.substr(kPrefix.size()), value);
  const std::vector<std::string> kinds = op_kinds();
  const bool known = std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
  std::optional<ActivationFunction> function;
  if (known) function = activation_function(kind, own);
  require(function.has_value(), who, "activation must be none or a function of one variable, got '", kind, "'");
  return function;
}

NormActivation norm_activation(std::string_view who, const std::string& key, const Attributes& attributes) {
  const std::string name = attributes.text(who, key, "none");
  require(name == "none" || name == "relu" || name == "relu6", who, key, " must be 'none', 'relu' or 'relu6', got '",
          name, "'");
  return name == "none" ? NormActivation::none : name == "relu" ? NormActivation::relu : NormActivation::relu6;
}

std::unique_ptr<Op> make_relu(const Attributes& a) { return make(a, {"relu", Activation::relu, true, 1}); }
std::unique_ptr<Op> make_relu6(const Attributes& a) { return make(a, {"relu6", Activation::relu6, true, 1}); }
std::unique_ptr<Op> make_sigmoid(const Attributes& a) { return make(a, {"sigmoid", Activation::sigmoid, true, 16}); }
std::unique_ptr<Op> make_tanh(const Attributes& a) { return make(a, {"tanh", Activation::tanh, true, 16}); }
std::unique_ptr<Op> make_silu(const Attributes& a) { return make(a, {"silu", Activation::silu, false, 16}); }
std::unique_ptr<Op> make_hardswish(const Attributes& a) {
  return make(a, {"hardswish", Activation::hardswish, false, 4});
}

std::unique_ptr<Op> make_mish(const Attributes& a) { return make(a, {"mish", Activation::mish, false, 24}); }
std::unique_ptr<Op> make_softsign(const Attributes& a) { return make(a, {"softsign", Activation::softsign, false, 8}); }
std::unique_ptr<Op> make_erf(const Attributes& a) { return make(a, {"erf", Activation::erf, false, 24}); }
std::unique_ptr<Op> make_exp(const Attributes& a) { return make(a, {"exp", Activation::exp, true, 12}); }
std::unique_ptr<Op> make_log(const Attributes& a) { return make(a, {"log", Activation::log, false, 16}); }
std::unique_ptr<Op> make_sqrt(const Attributes& a) { return make(a, {"sqrt", Activation::sqrt, true, 4}); }
std::unique_ptr<Op> make_abs(const Attributes& a) { return make(a, {"abs", Activation::abs, false, 1}); }
std::unique_ptr<Op> make_neg(const Attributes& a) { return make(a, {"neg", Activation::neg, true, 1}); }
std::unique_ptr<Op> make_reciprocal(const Attributes& a) {
  return make(a, {"reciprocal", Activation::reciprocal, true, 4});
}
std::unique_ptr<Op> make_floor(const Attributes& a) { return make(a, {"floor", Activation::floor, true, 2}); }
std::unique_ptr<Op> make_ceil(const Attributes& a) { return make(a, {"ceil", Activation::ceil, true, 2}); }
std::unique_ptr<Op> make_round(const Attributes& a) { return make(a, {"round", Activation::round, true, 1}); }
std::unique_ptr<Op> make_sign(const Attributes& a) { return make(a, {"sign", Activation::sign, true, 1}); }
std::unique_ptr<Op> make_logical_not(const Attributes& a) {
  return make(a, {"logical_not", Activation::logical_not, true, 1});
}

std::unique_ptr<Op> make_leaky_relu(const Attributes& attributes) {
  const float slope = finite(attributes, "leaky_relu", "negative_slope", 0.01);
  return make(attributes, {"leaky_relu", Activation::leaky_relu, slope >= 0, 2, {.a = slope}}, {"negative_slope"});
}

std::unique_ptr<Op> make_hardsigmoid(const Attributes& attributes) {
  const float alpha = finite(attributes, "hardsigmoid", "alpha", 1.0 / 6);
  const float beta = finite(attributes, "hardsigmoid", "beta", 0.5);
  return make(attributes, {"hardsigmoid", Activation::hardsigmoid, false, 4, {.a = alpha, .b = beta}},
              {"alpha", "beta"});
}

std::unique_ptr<Op> make_elu(const Attributes& attributes) {
  const float alpha = finite(attributes, "elu", "alpha", 1.0);
  return make(attributes, {"elu", Activation::elu, false, 16, {.a = alpha, .b = 1, .c = 1}}, {"alpha"});
}

std::unique_ptr<Op> make_selu(const Attributes& attributes) {
  const float alpha = finite(attributes, "selu", "alpha", 1.6732632423543772);
  const float gamma = finite(attributes, "selu", "gamma", 1.0507009873554805);
  return make(attributes, {"selu", Activation::elu, false, 16, {.a = alpha * gamma, .b = gamma, .c = 1}},
              {"alpha", "gamma"});
}

std::unique_ptr<Op> make_celu(const Attributes& attributes) {
  const float alpha = finite(attributes, "celu", "alpha", 1.0);
  require(std::isfinite(1 / alpha), "celu", "alpha must not be zero, got ", alpha);
  return make(attributes, {"celu", Activation::elu, false, 16, {.a = alpha, .b = 1, .c = 1 / alpha}}, {"alpha"});
}

std::unique_ptr<Op> make_softplus(const Attributes& attributes) {
  const float beta = finite(attributes, "softplus", "beta", 1.0);
  const float threshold = finite(attributes, "softplus", "threshold", 20.0);
  require(beta != 0, "softplus", "beta must not be zero");
  return make(attributes, {"softplus", Activation::softplus, false, 24, {.a = beta, .b = threshold}},
              {"beta", "threshold"});
}

std::unique_ptr<Op> make_threshold(const Attributes& attributes) {
  const float threshold = finite(attributes, "threshold", "threshold", 0.0);
  const float value = finite(attributes, "threshold", "value", 0.0);
  return make(attributes, {"threshold", Activation::threshold, false, 2, {.a = threshold, .b = value}},
              {"threshold", "value"});
}

std::unique_ptr<Op> make_clamp(const Attributes& attributes) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const double lower = attributes.number("clamp", "min", -kInfinity);
  const double upper = attributes.number("clamp", "max", kInfinity);
  require(!std::isnan(lower) && !std::isnan(upper), "clamp", "min and max must be numbers, got ", lower, " and ",
          upper);
  const Coefficients bounds{.a = static_cast<float>(lower), .b = static_cast<float>(upper)};
  return make(attributes, {"clamp", Activation::clamp, false, 2, bounds}, {"min", "max"});
}

std::unique_ptr<Op> make_gelu(const Attributes& attributes) {
  const std::string approximate = attributes.text("gelu", "approximate", "none");
  require(approximate == "none" || approximate == "tanh", "gelu", "approximate must be 'none' or 'tanh', got '",
          approximate, "'");
  const Activation function = approximate == "none" ? Activation::gelu : Activation::gelu_tanh;
  return make(attributes, {"gelu", function, false, 32}, {"approximate"});
}

}  // namespace convcore
