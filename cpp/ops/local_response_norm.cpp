// SPDX-License-Identifier: BSD-3-Clause
#include "ops/local_response_norm.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/checks.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "local_response_norm";

class LocalResponseNorm : public Op {
 public:
  explicit LocalResponseNorm(const Attributes& attributes) {
    attributes.check_known(kKind, {"size", "alpha", "beta", "k"});
    require(attributes.has("size"), kKind, "size is missing");
    args_.size = attributes.integer(kKind, "size", 0);
    require(args_.size > 0 && args_.size <= INT32_MAX, kKind, "size must be positive and below 2^31, got ", args_.size);
    const double alpha = attributes.number(kKind, "alpha", 1e-4), beta = attributes.number(kKind, "beta", 0.75);
    const double k = attributes.number(kKind, "k", 1.0);
    require(std::isfinite(alpha) && std::isfinite(beta) && std::isfinite(k), kKind,
            "alpha, beta and k must be finite, got ", alpha, ", ", beta, " and ", k);
    args_.scale = static_cast<float>(alpha / static_cast<double>(args_.size));
    args_.beta = static_cast<float>(beta);
    args_.k = static_cast<float>(k);
  }

  std::string_view kind() const override { return kKind; }
  int64_t flops() const override { return 2 * pixels_ * channels_ * std::min(args_.size, channels_); }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool training) override {
    check_count(kKind, inputs, 1, 1);
    check_activation(kKind, "x", inputs[0]);
    const Shape& x = inputs[0].shape;
    require<ShapeError>(x.rank() >= 3, kKind, "x must be (N, C, L) or (N, C, H, W), got ", x);
    for (int i = 1; i < x.rank(); ++i)
      require<ShapeError>(x[i] > 0, kKind, "channels and sides must be positive, got x: ", x);
    channels_ = x[1];
    pixels_ = x.size() / channels_;
    training_ = training;
    return {inputs[0]};
  }

  OpNeeds needs() const override {
    OpNeeds needs;
    if (training_) needs.saved = static_cast<size_t>(pixels_ * channels_) * sizeof(float);  // s^(-beta - 1), packed
    return needs;
  }

  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &y = call.outputs[0];
    float* saved = training_ ? reinterpret_cast<float*>(call.saved) : nullptr;
    for_pixels([&](int64_t first, int64_t pixels) {
      table().norm.response({pixels, channels_, x.pitch, y.pitch}, args_, x.f32() + first * x.pitch,
                            y.f32() + first * y.pitch, saved ? saved + first * channels_ : nullptr);
    });
  }

  void backward(const OpCall& call) const override {
    require(training_, kKind, "backward needs a plan for training");
    const Tensor &x = call.inputs[0], &dy = call.grad_outputs[0], &dx = call.grad_inputs[0];
    if (!dx) return;
    const float* saved = reinterpret_cast<const float*>(call.saved);
    for_pixels([&](int64_t first, int64_t pixels) {
      table().norm.response_backward({pixels, channels_, x.pitch, dy.pitch}, args_, x.f32() + first * x.pitch,
                                     dy.f32() + first * dy.pitch, saved + first * channels_,
                                     dx.f32() + first * dx.pitch, dx.pitch);
    });
  }

 private:
  // body(first pixel, pixels), in parallel
  template <class Body>
  void for_pixels(Body&& body) const {
    parallel_for(pixels_, 8, channels_ * (std::min(args_.size, channels_) + 8),
                 [&](int64_t begin, int64_t end) { body(begin, end - begin); });
  }

  ResponseArgs args_{};
  bool training_ = false;
  int64_t pixels_ = 0, channels_ = 0;
};

}  // namespace

std::unique_ptr<Op> make_local_response_norm(const Attributes& attributes) {
  return std::make_unique<LocalResponseNorm>(attributes);
}

}  // namespace convcore
