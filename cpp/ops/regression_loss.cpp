// SPDX-License-Identifier: BSD-3-Clause
#include "ops/regression_loss.h"

#include <algorithm>
#include <cmath>

#include "kernels/table.h"
#include "ops/blocks.h"
#include "ops/checks.h"
#include "ops/loss.h"

namespace convcore {
namespace {

struct Settings {
  const char* kind;
  PairLoss loss;
  bool mean;
  float delta = 0;
};

class RegressionLossOp : public Op {
 public:
  explicit RegressionLossOp(const Settings& settings) : settings_(settings) {}

  std::string_view kind() const override { return settings_.kind; }
  // The target is an activation like x, which other layers may compute.
  bool is_dense(int input) const override { return input > 1; }
  OpNeeds needs() const override {
    OpNeeds needs;
    needs.forward = chunks_.bytes() + weight_bytes();
    needs.backward = weight_bytes();
    return needs;
  }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 2, settings_.loss == PairLoss::bce ? 3 : 2);
    check_activation(kind(), "x", inputs[0]);
    check_activation(kind(), "target", inputs[1]);
    const Shape& x = inputs[0].shape;
    require<ShapeError>(x == inputs[1].shape, kind(), "target must have x's shape ", x, ", got ", inputs[1].shape);
    chunks_ = {x[1] > 0 ? x.size() / x[1] : 0, x[1]};
    weighted_ = is_present(inputs, 2);
    if (weighted_) {
      check_dtype(kind(), "pos_weight", inputs[2], DType::f32);
      const int64_t entries = inputs[2].shape.size(kind());
      require<ShapeError>(entries == 1 || entries == x[1], kind(), "pos_weight must have 1 or C = ", x[1],
                          " entries, got ", inputs[2].shape);
    }
    return {{Shape{}, DType::f32}};
  }

  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &t = call.inputs[1];
    const float* weight = per_channel(call, call.workspace + chunks_.bytes());
    const double total = chunks_.sum(call.workspace, cost(), [&](int64_t begin, int64_t end) {
      const RowBlock b = block(begin, end, x.packed() && t.packed());
      return kernels().sum(b.rows, b.columns, b.in(x), b.in(t), weight, settings_.delta);
    });
    *call.outputs[0].f32() = static_cast<float>(settings_.mean ? total / elements() : total);
  }

  void backward(const OpCall& call) const override {
    refuse_gradients(kind(), call, 2);
    const Tensor &x = call.inputs[0], &t = call.inputs[1], dx = call.grad_inputs[0];
    const Tensor dt = tensor_at(call.grad_inputs, 1);
    const float* weight = per_channel(call, call.workspace);
    const double scale = *call.grad_outputs[0].f32() / (settings_.mean ? elements() : 1.0);
    const bool packed = x.packed() && t.packed() && (!dx || dx.packed()) && (!dt || dt.packed());
    parallel_for(chunks_.rows, chunks_.rows_in_chunk(), cost() * x.c(), [&](int64_t begin, int64_t end) {
      const RowBlock b = block(begin, end, packed);
      kernels().backward(b.rows, b.columns, b.in(x), b.in(t), weight, settings_.delta, static_cast<float>(scale),
                         dx ? b.out(dx) : Rows{nullptr, 0}, dt ? b.out(dt) : Rows{nullptr, 0});
    });
  }

 private:
  const PairLossKernels& kernels() const { return table().elementwise.pair_loss[static_cast<int>(settings_.loss)]; }
  int64_t cost() const { return settings_.loss == PairLoss::bce ? 40 : 3; }
  double elements() const { return static_cast<double>(chunks_.rows) * static_cast<double>(chunks_.columns); }
  size_t weight_bytes() const { return weighted_ ? static_cast<size_t>(chunks_.columns) * sizeof(float) : 0; }

  // Pixels [begin, end), as one row where memory has no gaps and no weight asks for the channel.
  RowBlock block(int64_t begin, int64_t end, bool packed) const {
    const int64_t c = chunks_.columns;
    if (packed && !weighted_) return {begin * c, 1, (end - begin) * c, true};
    return {begin, end - begin, c, false};
  }

  // pos_weight with one entry per channel, or null. memory: weight_bytes().
  const float* per_channel(const OpCall& call, std::byte* memory) const {
    if (!weighted_) return nullptr;
    const Tensor& weight = call.inputs[2];
    if (weight.shape.size() == chunks_.columns) return weight.f32();
    float* repeated = reinterpret_cast<float*>(memory);
    std::fill_n(repeated, chunks_.columns, *weight.f32());
    return repeated;
  }

  Settings settings_;
  RowChunks chunks_{0, 1};
  bool weighted_ = false;
};

std::unique_ptr<Op> make_plain(const Attributes& attributes, const char* kind, PairLoss loss) {
  attributes.check_known(kind, {"reduction"});
  return std::make_unique<RegressionLossOp>(Settings{kind, loss, parse_mean(kind, attributes)});
}

}  // namespace

std::unique_ptr<Op> make_mse_loss(const Attributes& attributes) {
  return make_plain(attributes, "mse_loss", PairLoss::mse);
}

std::unique_ptr<Op> make_l1_loss(const Attributes& attributes) {
  return make_plain(attributes, "l1_loss", PairLoss::l1);
}

std::unique_ptr<Op> make_bce_with_logits(const Attributes& attributes) {
  return make_plain(attributes, "bce_with_logits", PairLoss::bce);
}

std::unique_ptr<Op> make_huber_loss(const Attributes& attributes) {
  constexpr const char* kind = "huber_loss";
  attributes.check_known(kind, {"delta", "reduction"});
  const double delta = attributes.number(kind, "delta", 1.0);
  require(std::isfinite(delta) && delta > 0, kind, "delta must be finite and positive, got ", delta);
  return std::make_unique<RegressionLossOp>(
      Settings{kind, PairLoss::huber, parse_mean(kind, attributes), static_cast<float>(delta)});
}

}  // namespace convcore
