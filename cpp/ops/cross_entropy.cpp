// SPDX-License-Identifier: BSD-3-Clause
#include "ops/cross_entropy.h"

#include <algorithm>

#include "kernels/table.h"
#include "ops/blocks.h"
#include "ops/checks.h"
#include "ops/loss.h"
#include "ops/strided.h"

namespace convcore {
namespace {

struct Settings {
  double smoothing;
  int64_t ignore_index;
  Reduction reduction;
};

class CrossEntropyOp : public Op {
 public:
  explicit CrossEntropyOp(const Settings& settings) : settings_(settings) {}

  bool can_replace_input(int input) const override { return input == 0; }
  std::string_view kind() const override { return "cross_entropy"; }

  OpNeeds needs() const override {
    OpNeeds needs;
    const size_t row_values = static_cast<size_t>(chunks_.rows) * sizeof(float);
    needs.saved = training_ ? row_values : 0;
    needs.forward = chunks_.bytes() + (training_ ? 0 : row_values);
    return needs;
  }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool training) override {
    check_count(kind(), inputs, 2, 3);
    check_labels_shape(kind(), "logits", inputs[0], inputs[1]);
    const int64_t classes = inputs[0].shape[1];
    if (is_present(inputs, 2)) check_class_weights(kind(), inputs[2], classes);
    chunks_ = {inputs[1].shape.size(), classes};
    training_ = training;
    return {{each() ? inputs[1].shape : Shape{}, DType::f32}};
  }

  void check_inputs(const OpCall& call) const override {
    check_labels(kind(), call.inputs[1], call.inputs[0].c(), &settings_.ignore_index);
  }

  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &labels = call.inputs[1];
    const Tensor weight = tensor_at(call.inputs, 2);
    float* lse = reinterpret_cast<float*>(training_ ? call.saved : call.workspace + chunks_.bytes());
    const SoftmaxKernels& kernels = table().elementwise.softmax;
    const double on_label = 1 - settings_.smoothing, on_all = settings_.smoothing / static_cast<double>(x.c());
    const Tensor& out = call.outputs[0];
    const double total = chunks_.sum(call.workspace, 16, [&](int64_t begin, int64_t end) {
      kernels.log_sum_exp(end - begin, x.c(), {x.f32() + begin * x.pitch, x.pitch}, lse + begin);
      double sum = 0;
      for (int64_t r = begin; r < end; ++r) {
        const int64_t y = labels.i64()[r];
        double loss = 0;
        if (y != settings_.ignore_index) {
          const float* row = x.f32() + r * x.pitch;
          loss = on_label * label_weight(weight, y) * (static_cast<double>(lse[r]) - row[y]);
          if (on_all > 0) loss += on_all * kernels.weighted_nll(x.c(), row, weight.f32(), lse[r]);
        }
        if (each()) out.f32()[offset_of(r, out.shape, strides_of(out))] = static_cast<float>(loss);
        sum += loss;
      }
      return sum;
    });
    if (!each()) *out.f32() = static_cast<float>(mean() ? total / counted(labels, weight) : total);
  }

  void backward(const OpCall& call) const override {
    refuse_gradients(kind(), call, 1);
    const Tensor &x = call.inputs[0], &labels = call.inputs[1], &dx = call.grad_inputs[0];
    const Tensor weight = tensor_at(call.inputs, 2);
    if (!dx) return;
    const float* lse = reinterpret_cast<const float*>(call.saved);
    const Tensor& dy = call.grad_outputs[0];
    const double whole = each() ? 1.0 : *dy.f32() / (mean() ? counted(labels, weight) : 1.0);
    double all_weights = static_cast<double>(x.c());
    if (weight) {
      all_weights = 0;
      for (int64_t c = 0; c < x.c(); ++c) all_weights += weight.f32()[c];
    }
    const auto kernel = table().elementwise.softmax.cross_entropy_backward;
    parallel_for(x.pixels(), 16, 16 * x.c(), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t y = labels.i64()[r];
        float* row = dx.f32() + r * dx.pitch;
        if (y == settings_.ignore_index) {
          std::fill_n(row, x.c(), 0.0f);
          continue;
        }
        const double scale = each() ? dy.f32()[offset_of(r, dy.shape, strides_of(dy))] : whole;
        const double at_label = scale * (1 - settings_.smoothing) * label_weight(weight, y);
        const double on_all = scale * settings_.smoothing / static_cast<double>(x.c());
        kernel(x.c(), x.f32() + r * x.pitch, weight.f32(), lse[r], static_cast<float>(at_label + on_all * all_weights),
               static_cast<float>(on_all), row);
        row[y] -= static_cast<float>(at_label);
      }
    });
  }

 private:
  bool mean() const { return settings_.reduction == Reduction::mean; }
  bool each() const { return settings_.reduction == Reduction::none; }
  static double label_weight(const Tensor& weight, int64_t label) { return weight ? weight.f32()[label] : 1.0; }

  // What "mean" divides by.
  double counted(const Tensor& labels, const Tensor& weight) const {
    double sum = 0;
    for (int64_t r = 0; r < chunks_.rows; ++r) {
      const int64_t y = labels.i64()[r];
      if (y != settings_.ignore_index) sum += label_weight(weight, y);
    }
    return sum;
  }

  Settings settings_;
  RowChunks chunks_{0, 1};
  bool training_ = false;
};

}  // namespace

std::unique_ptr<Op> make_cross_entropy(const Attributes& attributes) {
  constexpr std::string_view kind = "cross_entropy";
  attributes.check_known(kind, {"label_smoothing", "ignore_index", "reduction"});
  const Settings settings{attributes.number(kind, "label_smoothing", 0.0),
                          attributes.integer(kind, "ignore_index", -100), parse_reduction(kind, attributes)};
  require(settings.smoothing >= 0 && settings.smoothing <= 1, kind, "label_smoothing must be between 0 and 1, got ",
          settings.smoothing);
  return std::make_unique<CrossEntropyOp>(settings);
}

}  // namespace convcore
