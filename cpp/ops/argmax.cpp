// SPDX-License-Identifier: BSD-3-Clause
#include "ops/argmax.h"

#include <cmath>

#include "base/parallel.h"
#include "ops/axes.h"
#include "ops/checks.h"

namespace convcore {
namespace {

enum class Kind { argmax, argmin, hardmax };

// The place of the extreme in `length` floats.
template <bool kSmallest, bool kLast>
int64_t extreme(const float* line, int64_t length, int64_t stride) {
  int64_t best = 0;
  float value = line[0];
  for (int64_t i = 1; i < length && (kLast || !std::isnan(value)); ++i) {
    const float x = line[i * stride];
    const bool beyond = kSmallest ? x < value : x > value;
    const bool equal = x == value || (std::isnan(x) && std::isnan(value));
    if (beyond || (std::isnan(x) && !std::isnan(value)) || (kLast && equal)) best = i, value = x;
  }
  return best;
}

class ArgmaxOp : public Op {
 public:
  ArgmaxOp(Kind kind, const Attributes& a) : kind_(kind), axis_(a.integer(this->kind(), "axis", -1)) {
    if (kind_ == Kind::hardmax) return;
    keepdims_ = a.flag(this->kind(), "keepdims", false);
    last_ = a.flag(this->kind(), "select_last_index", false);
  }

  std::string_view kind() const override {
    return kind_ == Kind::argmax ? "argmax" : kind_ == Kind::argmin ? "argmin" : "hardmax";
  }
  bool has_gradient(int) const override { return false; }
  bool backward_reads_input(int) const override { return false; }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 1, 1);
    check_tensor(kind(), "x", inputs[0]);
    lines_ = {inputs[0].shape, axis_of(kind(), axis_, inputs[0].shape)};
    if (kind_ == Kind::hardmax) return {inputs[0]};
    std::array<bool, kMaxRank> without{};
    without[static_cast<size_t>(lines_.axis)] = true;
    reduced_ = Reduced(lines_.shape, without, keepdims_);
    require<ShapeError>(reduced_.shape().size(kind()) == 0 || lines_.length() > 0, kind(),
                        "x has no element along axis ", axis_, ", got ", lines_.shape);
    return {{reduced_.shape(), DType::f32}};
  }

  void forward(const OpCall& call) const override {
    if (lines_.shape.size() == 0) return;
    const Tensor &x = call.inputs[0], &y = call.outputs[0];
    const auto find = kind_ == Kind::argmin ? (last_ ? extreme<true, true> : extreme<true, false>)
                                            : (last_ ? extreme<false, true> : extreme<false, false>);
    const bool marks = kind_ == Kind::hardmax;
    const Strides in = strides_of(x), out = marks ? strides_of(y) : reduced_.strides(y);
    const int64_t step = in[static_cast<size_t>(lines_.axis)], mark = out[static_cast<size_t>(lines_.axis)];
    parallel_for(lines_.count(), 1, 2 * lines_.length(), [&](int64_t begin, int64_t end) {
      for (int64_t line = begin; line < end; ++line) {
        float* to = y.f32() + lines_.offset(line, out);
        const int64_t best = find(x.f32() + lines_.offset(line, in), lines_.length(), step);
        if (!marks) *to = static_cast<float>(best);
        for (int64_t i = 0; marks && i < lines_.length(); ++i) to[i * mark] = i == best ? 1.0f : 0.0f;
      }
    });
  }

  void backward(const OpCall&) const override { throw ValueError(message(kind(), "has no gradient")); }

 private:
  Kind kind_;
  int64_t axis_;
  bool keepdims_ = false, last_ = false;
  Lines lines_;
  Reduced reduced_;
};

}  // namespace

std::unique_ptr<Op> make_argmax(const Attributes& attributes) {
  attributes.check_known("argmax", {"axis", "keepdims", "select_last_index"});
  return std::make_unique<ArgmaxOp>(Kind::argmax, attributes);
}
std::unique_ptr<Op> make_argmin(const Attributes& attributes) {
  attributes.check_known("argmin", {"axis", "keepdims", "select_last_index"});
  return std::make_unique<ArgmaxOp>(Kind::argmin, attributes);
}
std::unique_ptr<Op> make_hardmax(const Attributes& attributes) {
  attributes.check_known("hardmax", {"axis"});
  return std::make_unique<ArgmaxOp>(Kind::hardmax, attributes);
}

}  // namespace convcore
