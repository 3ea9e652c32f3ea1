// SPDX-License-Identifier: BSD-3-Clause
#include "ops/nll_loss.h"

#include "ops/blocks.h"
#include "ops/checks.h"
#include "ops/loss.h"
#include "ops/strided.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "nll_loss";

// An activation (N, C, ...), class by class, at the places of its labels.
struct Places {
  explicit Places(const Tensor& x) {
    const Strides strides = strides_of(x);
    per_class = strides[1];
    for (int d = 0; d < x.shape.rank(); ++d) {
      if (d == 1) continue;
      along[static_cast<size_t>(shape.rank())] = strides[static_cast<size_t>(d)];
      shape.push_back(x.shape[d]);
    }
  }
  int64_t at(int64_t place, int64_t label) const { return offset_of(place, shape, along) + label * per_class; }

  Shape shape;
  Strides along{};
  int64_t per_class;
};

class NllLossOp : public Op {
 public:
  NllLossOp(int64_t ignored, Reduction reduction) : ignored_(ignored), reduction_(reduction) {}

  std::string_view kind() const override { return kKind; }
  bool backward_reads_input(int input) const override { return input > 0; }
  OpNeeds needs() const override { return {.forward = chunks_.bytes()}; }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 2, 3);
    check_tensor(kind(), "x", inputs[0]);
    require<ShapeError>(inputs[0].shape.rank() >= 2, kind(), "x must be (N, C, ...), got ", inputs[0].shape);
    check_label_places(kind(), "x", inputs[0], inputs[1]);
    if (is_present(inputs, 2)) check_class_weights(kind(), inputs[2], inputs[0].shape[1]);
    chunks_ = {inputs[1].shape.size(), 1};
    return {{reduction_ == Reduction::none ? inputs[1].shape : Shape{}, DType::f32}};
  }

  void check_inputs(const OpCall& call) const override {
    check_labels(kind(), call.inputs[1], call.inputs[0].shape[1], &ignored_);
  }

  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &y = call.outputs[0], weight = tensor_at(call.inputs, 2);
    const int64_t* labels = call.inputs[1].i64();
    const Places places(x);
    const Strides in_y = strides_of(y);
    const double total = chunks_.sum(call.workspace, 16, [&](int64_t begin, int64_t end) {
      double sum = 0;
      for (int64_t i = begin; i < end; ++i) {
        const double w = weight_of(labels[i], weight);
        const double loss = labels[i] == ignored_ ? 0 : -w * x.f32()[places.at(i, labels[i])];
        if (reduction_ == Reduction::none) y.f32()[offset_of(i, y.shape, in_y)] = static_cast<float>(loss);
        sum += loss;
      }
      return sum;
    });
    if (reduction_ != Reduction::none) *y.f32() = static_cast<float>(total / divisor(labels, weight));
  }

  void backward(const OpCall& call) const override {
    refuse_gradients(kind(), call, 1);
    const Tensor &dy = call.grad_outputs[0], &dx = call.grad_inputs[0], weight = tensor_at(call.inputs, 2);
    if (!dx) return;
    const int64_t* labels = call.inputs[1].i64();
    const Places places(dx);
    const Strides in_dx = strides_of(dx), in_dy = strides_of(dy);
    fill_strided(walk_over(dx.shape, in_dx), 0, dx.f32());
    const double whole = reduction_ == Reduction::none ? 1 : *dy.f32() / divisor(labels, weight);
    parallel_for(chunks_.rows, 64, 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        if (labels[i] == ignored_) continue;
        const double scale = reduction_ == Reduction::none ? dy.f32()[offset_of(i, dy.shape, in_dy)] : whole;
        dx.f32()[places.at(i, labels[i])] = static_cast<float>(-scale * weight_of(labels[i], weight));
      }
    });
  }

 private:
  double weight_of(int64_t label, const Tensor& weight) const {
    return label == ignored_ ? 0 : weight ? weight.f32()[label] : 1;
  }

  double divisor(const int64_t* labels, const Tensor& weight) const {
    if (reduction_ != Reduction::mean) return 1;
    double sum = 0;
    for (int64_t i = 0; i < chunks_.rows; ++i) sum += weight_of(labels[i], weight);
    return sum;
  }

  int64_t ignored_;
  Reduction reduction_;
  RowChunks chunks_{0, 1};
};

}  // namespace

std::unique_ptr<Op> make_nll_loss(const Attributes& attributes) {
  attributes.check_known(kKind, {"ignore_index", "reduction"});
  return std::make_unique<NllLossOp>(attributes.integer(kKind, "ignore_index", -100),
                                     parse_reduction(kKind, attributes));
}

}  // namespace convcore
