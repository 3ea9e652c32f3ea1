// SPDX-License-Identifier: BSD-3-Clause
#include "ops/margin_loss.h"

#include <cmath>

#include "kernels/table.h"
#include "ops/blocks.h"
#include "ops/checks.h"
#include "ops/loss.h"

namespace convcore {
namespace {

struct Settings {
  const char* kind;
  double margin;
  int power;
  bool divide_by_classes;  // and take class weights
  bool mean;
};

class MarginLossOp : public Op {
 public:
  explicit MarginLossOp(const Settings& settings) : settings_(settings) {}

  std::string_view kind() const override { return settings_.kind; }
  OpNeeds needs() const override {
    OpNeeds needs;
    needs.forward = chunks_.bytes();
    return needs;
  }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 2, settings_.divide_by_classes ? 3 : 2);
    check_labels_shape(kind(), "scores", inputs[0], inputs[1]);
    chunks_ = {inputs[1].shape.size(), inputs[0].shape[1]};
    if (is_present(inputs, 2)) check_class_weights(kind(), inputs[2], chunks_.columns);
    return {{Shape{}, DType::f32}};
  }

  void check_inputs(const OpCall& call) const override {
    check_labels(kind(), call.inputs[1], call.inputs[0].c());
  }

  void forward(const OpCall& call) const override {
    const Tensor &s = call.inputs[0], &labels = call.inputs[1];
    const Tensor weight = tensor_at(call.inputs, 2);
    const auto kernel = table().elementwise.margin.sum;
    const double total = chunks_.sum(call.workspace, 4, [&](int64_t begin, int64_t end) {
      double sum = 0;
      for (int64_t r = begin; r < end; ++r) {
        const int64_t y = labels.i64()[r];
        const float* row = s.f32() + r * s.pitch;
        const float shift = static_cast<float>(settings_.margin - row[y]);
        sum += row_factor(weight, y) * (kernel(y, row, shift, settings_.power) +
                                        kernel(s.c() - y - 1, row + y + 1, shift, settings_.power));
      }
      return sum;
    });
    *call.outputs[0].f32() = static_cast<float>(settings_.mean ? total / rows() : total);
  }

  void backward(const OpCall& call) const override {
    refuse_gradients(kind(), call, 1);
    const Tensor &s = call.inputs[0], &labels = call.inputs[1], &ds = call.grad_inputs[0];
    const Tensor weight = tensor_at(call.inputs, 2);
    if (!ds) return;
    const double scale = *call.grad_outputs[0].f32() / (settings_.mean ? rows() : 1.0);
    const auto kernel = table().elementwise.margin.backward;
    parallel_for(s.pixels(), 16, 4 * s.c(), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t y = labels.i64()[r], after = y + 1;
        const float* row = s.f32() + r * s.pitch;
        float* out = ds.f32() + r * ds.pitch;
        const float shift = static_cast<float>(settings_.margin - row[y]);
        const float factor = static_cast<float>(scale * row_factor(weight, y));
        const double below = kernel(y, row, shift, settings_.power, factor, out);
        const double above = kernel(s.c() - after, row + after, shift, settings_.power, factor, out + after);
        out[y] = static_cast<float>(-(below + above));
      }
    });
  }

 private:
  double rows() const { return static_cast<double>(chunks_.rows); }
  double row_factor(const Tensor& weight, int64_t label) const {
    const double w = weight ? weight.f32()[label] : 1.0;
    return settings_.divide_by_classes ? w / static_cast<double>(chunks_.columns) : w;
  }

  Settings settings_;
  RowChunks chunks_{0, 1};
};

double parse_margin(const char* kind, const Attributes& attributes) {
  const double margin = attributes.number(kind, "margin", 1.0);
  require(std::isfinite(margin), kind, "margin must be finite, got ", margin);
  return margin;
}

}  // namespace

std::unique_ptr<Op> make_hinge_loss(const Attributes& attributes) {
  constexpr const char* kind = "hinge_loss";
  attributes.check_known(kind, {"margin", "reduction"});
  return std::make_unique<MarginLossOp>(
      Settings{kind, parse_margin(kind, attributes), 1, false, parse_mean(kind, attributes)});
}

std::unique_ptr<Op> make_multi_margin_loss(const Attributes& attributes) {
  constexpr const char* kind = "multi_margin_loss";
  attributes.check_known(kind, {"margin", "p", "reduction"});
  const int64_t p = attributes.integer(kind, "p", 1);
  require(p == 1 || p == 2, kind, "p must be 1 or 2, got ", p);
  return std::make_unique<MarginLossOp>(Settings{kind, parse_margin(kind, attributes), static_cast<int>(p), true,
                                                 parse_mean(kind, attributes)});
}

}  // namespace convcore
