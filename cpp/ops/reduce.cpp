// SPDX-License-Identifier: BSD-3-Clause
#include "ops/reduce.h"

#include <algorithm>
#include <optional>

#include "base/memory.h"
#include "kernels/table.h"
#include "ops/axes.h"
#include "ops/blocks.h"
#include "ops/broadcast.h"
#include "ops/checks.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "reduce";
constexpr float kZero = 0, kOne = 1, kTwo = 2;

enum class Function { sum, mean, max, min, prod, l1, l2, sum_square, log_sum, log_sum_exp };

struct Entry {
  std::string_view name;
  Function function;
  Fold fold;  // what comes first
};
constexpr Entry kFunctions[] = {
    {"sum", Function::sum, Fold::sum},         {"mean", Function::mean, Fold::sum},
    {"max", Function::max, Fold::maximum},     {"min", Function::min, Fold::minimum},
    {"prod", Function::prod, Fold::product},   {"l1", Function::l1, Fold::sum_abs},
    {"l2", Function::l2, Fold::sum_square},    {"sum_square", Function::sum_square, Fold::sum_square},
    {"log_sum", Function::log_sum, Fold::sum}, {"log_sum_exp", Function::log_sum_exp, Fold::maximum},
};

const Entry& function_named(const std::string& name) {
  const auto* found =
      std::find_if(std::begin(kFunctions), std::end(kFunctions), [&](const Entry& e) { return e.name == name; });
  require(found != std::end(kFunctions), kKind,
          "function must be sum, mean, max, min, prod, l1, l2, sum_square, log_sum or log_sum_exp, got '", name, "'");
  return *found;
}

void apply_in_place(Activation f, const Tensor& y) {
  const auto kernel = table().elementwise.activation[static_cast<int>(f)].forward;
  parallel_blocks({&y}, 16, [&](const RowBlock& b) { kernel(b.rows, b.columns, b.in(y), b.out(y), {}); });
}

class ReduceOp : public Op {
 public:
  explicit ReduceOp(const Attributes& a)
      : entry_(function_named(a.text(kKind, "function", "sum"))), keepdims_(a.flag(kKind, "keepdims", false)) {
    if (a.has("axes")) axes_ = a.integers(kKind, "axes", {});
  }

  std::string_view kind() const override { return kKind; }
  bool backward_reads_input(int) const override {
    return !is(Function::sum) && !is(Function::mean) && !is(Function::log_sum);
  }
  bool backward_reads_outputs() const override {
    return is(Function::max) || is(Function::min) || is(Function::l2) || is(Function::log_sum) ||
           is(Function::log_sum_exp);
  }
  OpNeeds needs() const override {
    OpNeeds needs;
    needs.forward = kFoldBytes + (is(Function::log_sum_exp) ? part_bytes() : 0);
    needs.backward = kFoldBytes + 3 * part_bytes();
    return needs;
  }
  std::string algorithm() const override { return std::string(entry_.name); }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 1, 1);
    check_tensor(kind(), "x", inputs[0]);
    x_ = inputs[0].shape;
    std::array<bool, kMaxRank> without{};
    if (!axes_) without.fill(true);
    for (int64_t axis : axes_.value_or(std::vector<int64_t>{})) {
      bool& gone = without[static_cast<size_t>(axis_of(kind(), axis, x_))];
      require(!gone, kind(), "axes must hold each axis once, got ", listed(*axes_));
      gone = true;
    }
    reduced_ = Reduced(x_, without, keepdims_);
    reduced_.shape().size(kind());  // throws when it overflows
    return {{reduced_.shape(), DType::f32}};
  }

  void forward(const OpCall& call) const override {
    const Tensor& y = call.outputs[0];
    if (y.shape.size() == 0) return;
    const View x = repeated(call.inputs[0], x_), to = view(y);
    fold(entry_.fold, x_, x, {}, to, call.workspace);
    if (is(Function::mean)) scale(1 / static_cast<float>(reduced_.count()), y);
    if (is(Function::l2)) apply_in_place(Activation::sqrt, y);
    if (is(Function::log_sum)) apply_in_place(Activation::log, y);
    if (is(Function::log_sum_exp)) {
      const Tensor sums{call.workspace + kFoldBytes, y.shape, DType::f32, channels_of(y.shape)};
      fold(Fold::sum_exp_difference, x_, x, to, view(sums), call.workspace);
      apply_in_place(Activation::log, sums);
      apply(Binary::add, 1, y.shape, repeated(sums, y.shape), repeated(y, y.shape), repeated(y, y.shape));
    }
  }

  void backward(const OpCall& call) const override {
    if (!call.grad_inputs[0] || x_.size() == 0) return;
    const View x = repeated(call.inputs[0], x_), dx = repeated(call.grad_inputs[0], x_);
    const View zero = constant(kZero), one = constant(kOne), two = constant(kTwo);
    const Shape& kept = reduced_.kept();
    // Of the result's size, in the order of x's dimensions, so that x finds rows in them: d = dy, y, and one more.
    const View d = part(call, 0), y = part(call, 1), more = part(call, 2);
    apply(Ternary::where, 1, kept, one, view(call.grad_outputs[0]), zero, d);
    if (backward_reads_outputs()) apply(Ternary::where, 1, kept, one, view(call.outputs[0]), zero, y);

    if (is(Function::sum)) return apply(Ternary::where, 1, x_, one, d, zero, dx);
    if (is(Function::mean)) {
      const float share = 1 / static_cast<float>(reduced_.count());
      apply(Binary::multiply, 1, kept, d, constant(share), d);
      return apply(Ternary::where, 1, x_, one, d, zero, dx);
    }
    if (is(Function::max) || is(Function::min)) {
      fold(Fold::count_equal, x_, x, y, more, call.workspace);
      apply(Binary::divide, 4, kept, d, more, d);
      return apply(Ternary::where_equal, 1, x_, d, x, y, dx);
    }
    if (is(Function::prod)) {
      fold(Fold::nonzero_product, x_, x, {}, y, call.workspace);
      fold(Fold::count_equal, x_, x, zero, more, call.workspace);
      apply(Binary::multiply, 1, kept, d, y, d);
      apply(Ternary::where_equal, 1, kept, d, more, zero, y);    // for x != 0, to be divided by it
      apply(Ternary::where_equal, 1, kept, d, more, one, more);  // for x == 0
      return apply(Ternary::product_slope, 4, x_, y, x, more, dx);
    }
    if (is(Function::l1)) return apply(Ternary::with_sign, 1, x_, d, x, zero, dx);
    if (is(Function::log_sum)) {
      apply(Ternary::exp_difference, 16, kept, d, zero, y, d);
      return apply(Ternary::where, 1, x_, one, d, zero, dx);
    }
    if (is(Function::log_sum_exp)) return apply(Ternary::exp_difference, 16, x_, d, x, y, dx);
    if (is(Function::l2)) {
      apply(Binary::divide, 4, kept, d, y, d);
      apply(Ternary::where, 1, kept, y, d, zero, d);
    } else {
      apply(Binary::multiply, 1, kept, d, two, d);
    }
    apply(Binary::multiply, 1, x_, x, d, dx);
  }

 private:
  bool is(Function f) const { return entry_.function == f; }
  size_t part_bytes() const { return align_up(static_cast<size_t>(reduced_.shape().size()) * sizeof(float)); }
  View view(const Tensor& y) const { return {y.f32(), reduced_.strides(y)}; }
  View part(const OpCall& call, size_t i) const {
    const Shape& kept = reduced_.kept();
    return repeated({call.workspace + kFoldBytes + i * part_bytes(), kept, DType::f32, channels_of(kept)}, kept);
  }
  static void scale(float factor, const Tensor& y) {
    apply(Binary::multiply, 1, y.shape, repeated(y, y.shape), constant(factor), repeated(y, y.shape));
  }

  const Entry& entry_;
  bool keepdims_;
  std::optional<std::vector<int64_t>> axes_;
  Shape x_;
  Reduced reduced_;
};

}  // namespace

std::unique_ptr<Op> make_reduce(const Attributes& attributes) {
  attributes.check_known(kKind, {"function", "axes", "keepdims"});
  return std::make_unique<ReduceOp>(attributes);
}

}  // namespace convcore
