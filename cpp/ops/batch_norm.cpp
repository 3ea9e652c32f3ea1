// SPDX-License-Identifier: BSD-3-Clause
#include "ops/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/checks.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "batch_norm";
enum Input { kX, kWeight, kBias, kRunningMean, kRunningVar };

class BatchNorm : public Op {
 public:
  explicit BatchNorm(const Attributes& attributes)
      : eps_(attributes.number(kKind, "eps", 1e-5)), momentum_(attributes.number(kKind, "momentum", 0.1)) {
    attributes.check_known(kKind, {"eps", "momentum"});
    require(std::isfinite(eps_) && eps_ > 0, kKind, "eps must be positive and finite, got ", eps_);
    require(momentum_ >= 0 && momentum_ <= 1, kKind, "momentum must be in [0, 1], got ", momentum_);
  }

  std::string_view kind() const override { return kKind; }
  bool can_run_in_place(int input) const override { return input == kX; }
  int64_t flops() const override { return (training_ ? 7 : 2) * pixels_ * channels_; }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool training) override {
    check_count(kKind, inputs, 1, 5);
    check_activation(kKind, "x", inputs[kX]);
    const Shape& x = inputs[kX].shape;
    for (int i = 1; i < x.rank(); ++i)
      require<ShapeError>(x[i] > 0, kKind, "channels and sides must be positive, got x: ", x);
    static constexpr const char* names[] = {"x", "weight", "bias", "running_mean", "running_var"};
    for (size_t i = kWeight; i < inputs.size(); ++i) {
      if (!is_present(inputs, i)) continue;
      check_dtype(kKind, names[i], inputs[i], DType::f32);
      require<ShapeError>(inputs[i].shape == Shape{x[1]}, kKind, names[i], " needs one value for each of ", x[1],
                          " channels, got ", names[i], ": ", inputs[i].shape, " (x: ", x, ")");
    }
    running_ = is_present(inputs, kRunningMean);
    require(running_ == is_present(inputs, kRunningVar), kKind, "running_mean and running_var must be given together");
    require(training || running_, kKind, "inference needs running_mean and running_var");
    channels_ = x[1];
    pixels_ = x.size() / channels_;
    require(!training || pixels_ != 1, kKind, "expected more than 1 value per channel when training, got x: ", x);
    training_ = training;
    return {inputs[kX]};
  }

  OpNeeds needs() const override {
    OpNeeds needs;
    const size_t row = static_cast<size_t>(channels_) * sizeof(float);
    needs.saved = training_ ? 2 * row : 0;  // mean, invstd
    needs.forward = 4 * row + 3 * row + (training_ ? chunks() * 2 * row : 0);
    needs.backward = training_ ? needs.forward : 0;
    return needs;
  }

  void forward(const OpCall& call) const override {
    if (pixels_ == 0) return;
    const Tensor &x = call.inputs[kX], &y = call.outputs[0];
    const float *weight = tensor_at(call.inputs, kWeight).f32(), *bias = tensor_at(call.inputs, kBias).f32();
    const Scratch scratch(call.workspace, channels_);
    float *scale = scratch.coefficients, *shift = scale + channels_, *mean = nullptr;
    if (training_) {
      mean = reinterpret_cast<float*>(call.saved);
      const float* invstd = mean + channels_;
      batch_moments(call, scratch);
      for (int64_t c = 0; c < channels_; ++c) {
        scale[c] = weight ? weight[c] * invstd[c] : invstd[c];
        shift[c] = bias ? bias[c] : 0.0f;
      }
    } else {
      table().norm.fold(channels_, call.inputs[kRunningMean].f32(), call.inputs[kRunningVar].f32(), weight, bias,
                        static_cast<float>(eps_), scale, shift);
    }
    for_chunks([&](int64_t, int64_t first, int64_t pixels) {
      table().norm.normalize({pixels, channels_, x.pitch, y.pitch}, x.f32() + first * x.pitch, mean, scale, shift,
                             y.f32() + first * y.pitch);
    });
  }

  void backward(const OpCall& call) const override {
    require(training_, kKind, "backward needs a plan for training");
    const Tensor &x = call.inputs[kX], &dy = call.grad_outputs[0];
    const float *mean = reinterpret_cast<const float*>(call.saved), *invstd = mean + channels_;
    const Scratch scratch(call.workspace, channels_);
    const double *sum = scratch.total, *dot = sum + channels_;
    for_chunks([&](int64_t chunk, int64_t first, int64_t pixels) {
      float* part = scratch.parts + 2 * chunk * channels_;
      table().norm.backward_sums({pixels, channels_, x.pitch, dy.pitch}, x.f32() + first * x.pitch,
                                 dy.f32() + first * dy.pitch, mean, part, part + channels_);
    });
    table().norm.combine(chunks(), 2 * channels_, scratch.parts, scratch.total);

    const Tensor dx = tensor_at(call.grad_inputs, kX);
    if (float* dweight = tensor_at(call.grad_inputs, kWeight).f32())  // an empty batch saves no invstd
      for (int64_t c = 0; c < channels_; ++c) dweight[c] = pixels_ ? static_cast<float>(dot[c] * invstd[c]) : 0.0f;
    if (float* dbias = tensor_at(call.grad_inputs, kBias).f32())
      for (int64_t c = 0; c < channels_; ++c) dbias[c] = static_cast<float>(sum[c]);
    if (!dx || pixels_ == 0) return;

    const float* weight = tensor_at(call.inputs, kWeight).f32();
    float *scale = scratch.coefficients, *offset = scale + channels_, *slope = offset + channels_;
    const double n = static_cast<double>(pixels_);
    for (int64_t c = 0; c < channels_; ++c) {
      scale[c] = weight ? weight[c] * invstd[c] : invstd[c];
      offset[c] = static_cast<float>(sum[c] / n);
      slope[c] = static_cast<float>(dot[c] / n * invstd[c] * invstd[c]);
    }
    for_chunks([&](int64_t, int64_t first, int64_t pixels) {
      table().norm.backward_input({pixels, channels_, x.pitch, dy.pitch}, x.f32() + first * x.pitch,
                                  dy.f32() + first * dy.pitch, mean, scale, offset, slope, dx.f32() + first * dx.pitch,
                                  dx.pitch);
    });
  }

 private:
  struct Scratch {
    Scratch(std::byte* workspace, int64_t channels)
        : total(reinterpret_cast<double*>(workspace)),
          coefficients(reinterpret_cast<float*>(total + 2 * channels)),
          parts(coefficients + 3 * channels) {}
    double* total;        // 2 rows: what the parts add up to
    float* coefficients;  // 3 rows
    float* parts;         // 2 rows for each chunk
  };

  // Reductions are cut by shape: about 128 KB of x, so that its second reading comes from the cache, and not so many
  // pixels that float32 sums lose bits.
  int64_t chunk_pixels() const { return std::clamp<int64_t>(32768 / channels_, 32, 512); }
  int64_t chunks() const { return (pixels_ + chunk_pixels() - 1) / chunk_pixels(); }

  // body(chunk, first pixel, pixels), in parallel
  template <class Body>
  void for_chunks(Body&& body) const {
    const int64_t step = chunk_pixels();
    parallel_for(chunks(), 1, step * channels_, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) body(i, i * step, std::min(step, pixels_ - i * step));
    });
  }

  // Saves mean and invstd; moves the running statistics.
  void batch_moments(const OpCall& call, const Scratch& scratch) const {
    const Tensor& x = call.inputs[kX];
    for_chunks([&](int64_t chunk, int64_t first, int64_t pixels) {
      float* part = scratch.parts + 2 * chunk * channels_;
      table().norm.moments({pixels, channels_, x.pitch, x.pitch}, x.f32() + first * x.pitch, part, part + channels_);
    });
    table().norm.combine_moments(chunk_pixels(), pixels_, channels_, scratch.parts, scratch.total);
    const double *total = scratch.total, *square = total + channels_;

    float *mean = reinterpret_cast<float*>(call.saved), *invstd = mean + channels_;
    const double n = static_cast<double>(pixels_);
    for (int64_t c = 0; c < channels_; ++c) {
      mean[c] = static_cast<float>(total[c]);
      invstd[c] = static_cast<float>(1.0 / std::sqrt(square[c] / n + eps_));
    }
    if (!running_) return;
    float *running_mean = call.inputs[kRunningMean].f32(), *running_var = call.inputs[kRunningVar].f32();
    for (int64_t c = 0; c < channels_; ++c) {
      running_mean[c] = static_cast<float>((1 - momentum_) * running_mean[c] + momentum_ * total[c]);
      running_var[c] = static_cast<float>((1 - momentum_) * running_var[c] + momentum_ * square[c] / (n - 1));
    }
  }

  double eps_, momentum_;
  bool training_ = false, running_ = false;
  int64_t pixels_ = 0, channels_ = 0;
};

}  // namespace

std::unique_ptr<Op> make_batch_norm(const Attributes& attributes) { return std::make_unique<BatchNorm>(attributes); }

}  // namespace convcore
