// SPDX-License-Identifier: BSD-3-Clause
#include "ops/arithmetic.h"

#include <algorithm>

#include "base/memory.h"
#include "kernels/table.h"
#include "ops/blocks.h"
#include "ops/broadcast.h"
#include "ops/checks.h"

namespace convcore {
namespace {

constexpr float kMinusOne = -1;

// How the gradient of an operand comes from dy, before it is summed over what was repeated.
struct Gradient {
  enum Way { none, pass, minus, times_other, function } way = none;
  Ternary f{};  // of dy, a, b; of dy, b, a where swapped
  bool swapped = false;
};

constexpr Gradient kPass{Gradient::pass}, kMinus{Gradient::minus}, kTimesOther{Gradient::times_other};
constexpr Gradient of(Ternary f, bool swapped = false) { return {Gradient::function, f, swapped}; }

struct Settings {
  const char* kind;
  Binary function;
  int64_t cost = 1;      // operations per element, roughly
  Gradient gradient[2];  // none of all: no gradient
  bool swapped = false;  // y = function(b, a)
};

class ArithmeticOp : public Op {
 public:
  explicit ArithmeticOp(const Settings& settings) : s_(settings) {}

  std::string_view kind() const override { return s_.kind; }
  bool is_dense(int) const override { return false; }
  bool can_run_in_place(int input) const override { return !repeated_[input]; }
  bool passes_gradient(int input) const override {
    return s_.gradient[input].way == Gradient::pass && !repeated_[input];
  }
  bool has_gradient(int) const override { return s_.gradient[0].way != Gradient::none; }
  bool backward_reads_input(int input) const override {
    return reads_inputs(0) || reads_inputs(1) || s_.gradient[1 - input].way == Gradient::times_other;
  }
  OpNeeds needs() const override {
    OpNeeds needs;
    for (int i : {0, 1}) {
      if (!repeated_[i]) continue;
      needs.backward = std::max(needs.backward, kFoldBytes + (reads_inputs(i) ? unsummed_bytes() : 0));
    }
    return needs;
  }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 2, 2);
    check_tensor(kind(), "a", inputs[0]);
    check_tensor(kind(), "b", inputs[1]);
    full_ = common_shape(kind(), inputs[0].shape, inputs[1].shape);
    for (size_t i : {0, 1}) repeated_[i] = !(inputs[i].shape == full_);
    return {{full_, DType::f32}};
  }

  void forward(const OpCall& call) const override {
    const View a = repeated(call.inputs[0], full_), b = repeated(call.inputs[1], full_);
    apply(s_.function, s_.cost, full_, s_.swapped ? b : a, s_.swapped ? a : b, repeated(call.outputs[0], full_));
  }

  // Last the gradient that may be written over dy.
  void backward(const OpCall& call) const override {
    require(has_gradient(0), kind(), "has no gradient");
    const int last = call.grad_inputs[1].data == call.grad_outputs[0].data ? 1 : 0;
    for (int i : {1 - last, last})
      if (call.grad_inputs[i] && call.grad_inputs[i].shape.size() > 0) gradient(call, i);
  }

 private:
  bool reads_inputs(int i) const { return s_.gradient[i].way == Gradient::function; }
  size_t unsummed_bytes() const { return align_up(static_cast<size_t>(full_.size()) * sizeof(float)); }

  void gradient(const OpCall& call, int i) const {
    const Gradient& g = s_.gradient[i];
    const Tensor &dy_tensor = call.grad_outputs[0], &grad_tensor = call.grad_inputs[i];
    const View dy = repeated(dy_tensor, full_), grad = repeated(grad_tensor, full_);
    std::byte* parts = call.workspace;
    if (g.way == Gradient::pass) {
      repeated_[i] ? fold(Fold::sum, full_, dy, {}, grad, parts) : copy(dy_tensor, grad_tensor);
    } else if (g.way == Gradient::function) {
      const View a = repeated(call.inputs[g.swapped], full_), b = repeated(call.inputs[1 - g.swapped], full_);
      if (!repeated_[i]) return apply(g.f, s_.cost, full_, dy, a, b, grad);
      const Tensor unsummed{call.workspace + kFoldBytes, full_, DType::f32, channels_of(full_)};
      apply(g.f, s_.cost, full_, dy, a, b, repeated(unsummed, full_));
      fold(Fold::sum, full_, repeated(unsummed, full_), {}, grad, parts);
    } else {
      const View factor = g.way == Gradient::minus ? constant(kMinusOne) : repeated(call.inputs[1 - i], full_);
      repeated_[i] ? fold(Fold::sum_product, full_, dy, factor, grad, parts)
                   : apply(Binary::multiply, 1, full_, dy, factor, grad);
    }
  }

  Settings s_;
  Shape full_;
  bool repeated_[2] = {false, false};
};

std::unique_ptr<Op> make(const Attributes& attributes, const Settings& settings) {
  attributes.check_known(settings.kind, {});
  return std::make_unique<ArithmeticOp>(settings);
}

}  // namespace

std::unique_ptr<Op> make_add(const Attributes& a) { return make(a, {"add", Binary::add, 1, {kPass, kPass}}); }
std::unique_ptr<Op> make_subtract(const Attributes& a) {
  return make(a, {"subtract", Binary::subtract, 1, {kPass, kMinus}});
}
std::unique_ptr<Op> make_multiply(const Attributes& a) {
  return make(a, {"multiply", Binary::multiply, 1, {kTimesOther, kTimesOther}});
}
std::unique_ptr<Op> make_divide(const Attributes& a) {
  return make(a, {"divide", Binary::divide, 4, {of(Ternary::quotient), of(Ternary::quotient_slope)}});
}
std::unique_ptr<Op> make_power(const Attributes& a) {
  return make(a, {"power", Binary::power, 40, {of(Ternary::power_base), of(Ternary::power_exponent)}});
}
std::unique_ptr<Op> make_maximum(const Attributes& a) {
  return make(a, {"maximum", Binary::maximum, 1, {of(Ternary::larger), of(Ternary::larger, true)}});
}
std::unique_ptr<Op> make_minimum(const Attributes& a) {
  return make(a, {"minimum", Binary::minimum, 1, {of(Ternary::larger, true), of(Ternary::larger)}});
}
std::unique_ptr<Op> make_remainder(const Attributes& a) {
  return make(a, {"remainder", Binary::remainder, 40, {kPass, of(Ternary::remainder_slope)}});
}
std::unique_ptr<Op> make_fmod(const Attributes& a) {
  return make(a, {"fmod", Binary::fmod, 40, {kPass, of(Ternary::fmod_slope)}});
}
std::unique_ptr<Op> make_prelu(const Attributes& a) {
  return make(a, {"prelu", Binary::prelu, 2, {of(Ternary::where_positive), of(Ternary::prelu_slope)}});
}
std::unique_ptr<Op> make_equal(const Attributes& a) { return make(a, {"equal", Binary::equal, 1, {}}); }
std::unique_ptr<Op> make_less(const Attributes& a) { return make(a, {"less", Binary::less, 1, {}}); }
std::unique_ptr<Op> make_less_equal(const Attributes& a) { return make(a, {"less_equal", Binary::less_equal, 1, {}}); }
std::unique_ptr<Op> make_greater(const Attributes& a) { return make(a, {"greater", Binary::less, 1, {}, true}); }
std::unique_ptr<Op> make_greater_equal(const Attributes& a) {
  return make(a, {"greater_equal", Binary::less_equal, 1, {}, true});
}
std::unique_ptr<Op> make_logical_and(const Attributes& a) {
  return make(a, {"logical_and", Binary::logical_and, 1, {}});
}
std::unique_ptr<Op> make_logical_or(const Attributes& a) { return make(a, {"logical_or", Binary::logical_or, 1, {}}); }
std::unique_ptr<Op> make_logical_xor(const Attributes& a) {
  return make(a, {"logical_xor", Binary::logical_xor, 1, {}});
}

}  // namespace convcore
