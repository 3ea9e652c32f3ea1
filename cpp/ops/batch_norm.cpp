// SPDX-License-Identifier: BSD-3-Clause
#include "ops/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/activation.h"
#include "ops/checks.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "batch_norm";
constexpr int64_t kCachedShare = 4;  // outputs larger than this part of L3 go past it
enum Input { kX, kWeight, kBias, kRunningMean, kRunningVar, kResidual, kStatistics, kScale, kShift, kInputs };

// From pixel `first` on; null for an absent tensor.
ConstRows rows_in(const Tensor& t, int64_t first) { return {t ? t.f32() + first * t.pitch : nullptr, t.pitch}; }
Rows rows_out(const Tensor& t, int64_t first) { return {t ? t.f32() + first * t.pitch : nullptr, t.pitch}; }

class BatchNorm : public Op {
 public:
  explicit BatchNorm(const Attributes& attributes)
      : eps_(attributes.number(kKind, "eps", 1e-5)),
        momentum_(attributes.number(kKind, "momentum", 0.1)),
        activation_(norm_activation(kKind, "activation", attributes)),
        gives_coefficients_(attributes.flag(kKind, "coefficients", false)) {
    attributes.check_known(kKind, {"eps", "momentum", "activation", "coefficients"});
    require(std::isfinite(eps_) && eps_ > 0, kKind, "eps must be positive and finite, got ", eps_);
    require(momentum_ >= 0 && momentum_ <= 1, kKind, "momentum must be in [0, 1], got ", momentum_);
  }

  std::string_view kind() const override { return kKind; }
  bool is_dense(int input) const override { return input != kX && input != kResidual; }
  bool forward_reads_input(int input) const override { return input != kX || !gives_coefficients_; }
  bool can_run_in_place(int input) const override {
    return !gives_coefficients_ && (input == kX || input == kResidual);
  }
  bool backward_reads_input(int input) const override {
    return input == kX || input == kWeight || (input == kBias && masks() && !residual_);
  }
  bool backward_reads_outputs() const override { return masks() && residual_; }
  bool spends_grad_outputs() const override { return masks() && residual_; }
  bool passes_gradient(int input) const override { return input == kResidual; }
  bool can_replace_input(int input) const override { return input == kX; }
  std::string algorithm() const override { return gives_coefficients_ ? "coefficients" : ""; }
  int64_t flops() const override { return (training_ ? 7 : 2) * (gives_coefficients_ ? 1 : pixels_) * channels_; }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool training) override {
    check_count(kKind, inputs, 1, kInputs);
    check_activation(kKind, "x", inputs[kX]);
    const Shape& x = inputs[kX].shape;
    for (int i = 1; i < x.rank(); ++i)
      require<ShapeError>(x[i] > 0, kKind, "channels and sides must be positive, got x: ", x);
    channels_ = x[1];
    pixels_ = x.size() / channels_;
    training_ = training;
    check_channel_inputs(inputs);
    require(!training || pixels_ != 1, kKind, "expected more than 1 value per channel when training, got x: ", x);
    residual_ = is_present(inputs, kResidual);
    if (residual_) {
      check_dtype(kKind, "residual", inputs[kResidual], DType::f32);
      require<ShapeError>(inputs[kResidual].shape == x, kKind, "residual must have the shape of x, got residual: ",
                          inputs[kResidual].shape, ", x: ", x);
    }
    for (size_t i : {kScale, kShift}) {
      if (!is_present(inputs, i)) continue;
      const char* name = i == kScale ? "scale" : "shift";
      check_dtype(kKind, name, inputs[i], DType::f32);
      require(!training, kKind, "scale and shift are for inference only");
      require<ShapeError>(inputs[i].shape.size() == channels_, kKind, name, " needs one value for each of ", channels_,
                          " channels, got ", inputs[i].shape);
    }
    given_rows_ = is_present(inputs, kStatistics) ? check_statistics(inputs[kStatistics]) : 0;
    if (!gives_coefficients_) return {inputs[kX]};
    require(!training && !residual_ && !masks(), kKind, "coefficients are for inference, and of a batch norm alone");
    Shape each = x;
    for (int i = 0; i < x.rank(); ++i) each[i] = i == 1 ? channels_ : 1;
    return {{each}, {each}};
  }

  OpNeeds needs() const override {
    OpNeeds needs;
    const size_t row = static_cast<size_t>(channels_) * sizeof(float);
    needs.forward = Scratch::kFixedRows * row;
    if (!training_) return needs;
    needs.saved = 2 * row;  // mean, invstd
    needs.backward = needs.forward + static_cast<size_t>(chunks()) * 2 * row;
    if (given_rows_ == 0) needs.forward += static_cast<size_t>(chunks()) * (2 * row + sizeof(float));
    return needs;
  }

  void check_inputs(const OpCall& call) const override {
    if (given_rows_ == 0) return;
    const float* row = call.inputs[kStatistics].f32();
    double pixels = 0;
    for (int64_t i = 0; i < given_rows_; ++i, row += 1 + 2 * channels_) pixels += row[0];
    require(pixels == static_cast<double>(pixels_), kKind, "statistics must be of the ", pixels_, " pixels of x, got ",
            pixels);
  }

  void forward(const OpCall& call) const override {
    if (pixels_ == 0 && !gives_coefficients_) return;
    const Tensor &x = call.inputs[kX], residual = tensor_at(call.inputs, kResidual), &y = call.outputs[0];
    const Scratch scratch(call.workspace, channels_);
    if (training_) save_moments(call, scratch);
    const NormCoefficients k = training_ ? batch_coefficients(call, scratch) : running_coefficients(call, scratch);
    if (gives_coefficients_) {
      float *scale = call.outputs[0].f32(), *shift = call.outputs[1].f32();
      for (int64_t c = 0; c < channels_; ++c) scale[c] = k.scale[c], shift[c] = k.shift[c] - k.mean[c] * k.scale[c];
      return;
    }
    const bool past_caches =
        y.data != x.data && y.data != residual.data && pixels_ * channels_ * 4 > cpu_info().l3 / kCachedShare;
    for_chunks(Direction::backwards, [&](int64_t, int64_t first, int64_t pixels) {
      kernels().normalize(pixels, channels_, rows_in(x, first), k, rows_in(residual, first), rows_out(y, first),
                          past_caches);
    });
  }

  void backward(const OpCall& call) const override {
    require(training_, kKind, "backward needs a plan for training");
    const Tensor &x = call.inputs[kX], &dy = call.grad_outputs[0];
    const Tensor y = backward_reads_outputs() ? call.outputs[0] : Tensor{};
    const Tensor dx = tensor_at(call.grad_inputs, kX), residual = tensor_at(call.grad_inputs, kResidual);
    const Scratch scratch(call.workspace, channels_);
    if (pixels_ == 0) return finish_sums(call, scratch);

    const NormCoefficients k = batch_coefficients(call, scratch);
    // Without an activation the residual's gradient is dy: there is nothing to write over it.
    const Tensor kept = masks() || residual.data != dy.data ? residual : Tensor{};
    for_chunks(Direction::forwards, [&](int64_t chunk, int64_t first, int64_t pixels) {
      float* part = scratch.parts + 2 * chunk * channels_;
      kernels().backward_sums(pixels, channels_, rows_in(x, first), rows_in(dy, first), rows_in(y, first), k,
                              rows_out(kept, first), part, part + channels_);
    });
    table().norm.add_parts(chunks(), 2 * channels_, scratch.parts, scratch.total);
    finish_sums(call, scratch);
    if (!dx) return;

    const float* invstd = saved_invstd(call);
    const double n = static_cast<double>(pixels_);
    for (int64_t c = 0; c < channels_; ++c) {
      scratch.slope[c] = static_cast<float>(-k.scale[c] * scratch.total[channels_ + c] / n * invstd[c] * invstd[c]);
      scratch.offset[c] = static_cast<float>(-k.scale[c] * scratch.total[c] / n);
    }
    const NormActivationKernels& second = residual ? table().norm.with[0] : kernels();
    const Tensor& g = residual ? residual : dy;
    for_chunks(Direction::backwards, [&](int64_t, int64_t first, int64_t pixels) {
      second.backward_input(pixels, channels_, rows_in(x, first), rows_in(g, first), rows_in(y, first), k,
                            scratch.slope, scratch.offset, rows_out(dx, first));
    });
  }

 private:
  struct Scratch {
    static constexpr size_t kFixedRows = 8;  // of floats; a double is two

    Scratch(std::byte* workspace, int64_t channels)
        : total(reinterpret_cast<double*>(workspace)),
          scale(reinterpret_cast<float*>(total + 2 * channels)),
          shift(scale + channels),
          slope(shift + channels),
          offset(slope + channels),
          parts(offset + channels) {}
    double* total;  // 2 per channel: what the parts add up to
    float *scale, *shift, *slope, *offset;
    float* parts;  // for each chunk, its sums or its row of statistics
  };

  bool masks() const { return activation_ != NormActivation::none; }
  const NormActivationKernels& kernels() const { return table().norm.with[static_cast<int>(activation_)]; }
  static const float* saved_mean(const OpCall& call) { return reinterpret_cast<const float*>(call.saved); }
  const float* saved_invstd(const OpCall& call) const { return saved_mean(call) + channels_; }

  void check_channel_inputs(std::span<const TensorSpec> inputs) {
    static constexpr const char* names[] = {"x", "weight", "bias", "running_mean", "running_var"};
    const Shape& x = inputs[kX].shape;
    for (size_t i = kWeight; i <= kRunningVar; ++i) {
      if (!is_present(inputs, i)) continue;
      check_dtype(kKind, names[i], inputs[i], DType::f32);
      require<ShapeError>(inputs[i].shape == Shape{x[1]}, kKind, names[i], " needs one value for each of ", x[1],
                          " channels, got ", names[i], ": ", inputs[i].shape, " (x: ", x, ")");
    }
    running_ = is_present(inputs, kRunningMean);
    require(running_ == is_present(inputs, kRunningVar), kKind, "running_mean and running_var must be given together");
    require(training_ || running_, kKind, "inference needs running_mean and running_var");
  }

  int64_t check_statistics(const TensorSpec& given) const {
    require(training_, kKind, "statistics of the batch are for training only");
    check_dtype(kKind, "statistics", given, DType::f32);
    const Shape& s = given.shape;
    require<ShapeError>(s.rank() == 2 && s[0] > 0 && s[1] == 1 + 2 * channels_, kKind,
                        "statistics must have shape (parts, ", 1 + 2 * channels_, ") for ", channels_,
                        " channels, got ", s);
    return s[0];
  }

  // Reductions are cut by shape: into about 128 KB of x, over which sums in float32 lose few bits. Kernels may take 32
  // or 64 narrow pixels at a time.
  int64_t chunk_pixels() const { return std::clamp<int64_t>(32768 / channels_, 32, 4096) / 32 * 32; }
  int64_t chunks() const { return (pixels_ + chunk_pixels() - 1) / chunk_pixels(); }

  // body(chunk, first pixel, pixels), in parallel. A second pass goes backwards: it begins with what the first, or the
  // op before, left in the cache, and ends with what the next op, going forwards, will read first.
  enum class Direction { forwards, backwards };
  template <class Body>
  void for_chunks(Direction direction, Body&& body) const {
    const int64_t step = chunk_pixels();
    parallel_for(chunks(), 1, step * channels_, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        const int64_t i = direction == Direction::forwards ? k : begin + end - 1 - k;
        body(i, i * step, std::min(step, pixels_ - i * step));
      }
    });
  }

  // Saves mean and invstd; moves the running statistics.
  void save_moments(const OpCall& call, const Scratch& scratch) const {
    const Tensor& x = call.inputs[kX];
    const int64_t row = 1 + 2 * channels_, count = given_rows_ ? given_rows_ : chunks();
    const float* rows = given_rows_ ? call.inputs[kStatistics].f32() : scratch.parts;
    if (given_rows_ == 0)
      for_chunks(Direction::forwards, [&](int64_t chunk, int64_t first, int64_t pixels) {
        float* part = scratch.parts + chunk * row;
        part[0] = static_cast<float>(pixels);
        float *mean = part + 1, *square = mean + channels_;
        if (x.packed())
          table().norm.joined_moments(pixels, channels_, x.f32() + first * channels_, mean, square);
        else
          table().norm.moments({pixels, channels_, x.pitch, 0}, x.f32() + first * x.pitch, mean, square);
      });
    double *mean = scratch.total, *square = mean + channels_;
    parallel_for(channels_, 64, 8 * count, [&](int64_t begin, int64_t end) {
      table().norm.merge_moments(count, channels_, rows, begin, end, mean, square);
    });

    float *saved = reinterpret_cast<float*>(call.saved), *invstd = saved + channels_;
    const double n = static_cast<double>(pixels_);
    for (int64_t c = 0; c < channels_; ++c) {
      saved[c] = static_cast<float>(mean[c]);
      invstd[c] = static_cast<float>(1.0 / std::sqrt(square[c] / n + eps_));
    }
    if (!running_) return;
    float *running_mean = call.inputs[kRunningMean].f32(), *running_var = call.inputs[kRunningVar].f32();
    for (int64_t c = 0; c < channels_; ++c) {
      running_mean[c] = static_cast<float>((1 - momentum_) * running_mean[c] + momentum_ * mean[c]);
      running_var[c] = static_cast<float>((1 - momentum_) * running_var[c] + momentum_ * square[c] / (n - 1));
    }
  }

  // Forward and backward compute the same ones.
  NormCoefficients batch_coefficients(const OpCall& call, const Scratch& scratch) const {
    const float *weight = tensor_at(call.inputs, kWeight).f32(), *bias = tensor_at(call.inputs, kBias).f32();
    const float* invstd = saved_invstd(call);
    for (int64_t c = 0; c < channels_; ++c) {
      scratch.scale[c] = weight ? weight[c] * invstd[c] : invstd[c];
      scratch.shift[c] = bias ? bias[c] : 0.0f;
    }
    return {saved_mean(call), scratch.scale, scratch.shift};
  }

  NormCoefficients running_coefficients(const OpCall& call, const Scratch& scratch) const {
    const float *weight = tensor_at(call.inputs, kWeight).f32(), *bias = tensor_at(call.inputs, kBias).f32();
    const float *by = tensor_at(call.inputs, kScale).f32(), *added = tensor_at(call.inputs, kShift).f32();
    const float* mean = call.inputs[kRunningMean].f32();
    table().norm.fold(channels_, mean, call.inputs[kRunningVar].f32(), weight, bias, static_cast<float>(eps_),
                      scratch.scale, scratch.shift);
    for (int64_t c = 0; c < channels_; ++c) {
      const float factor = by ? by[c] : 1.0f;
      scratch.scale[c] *= factor;
      scratch.shift[c] = (bias ? bias[c] * factor : 0.0f) + (added ? added[c] : 0.0f);
    }
    return {mean, scratch.scale, scratch.shift};
  }

  // The gradients of weight and bias. An empty batch has no sums, and saved no invstd.
  void finish_sums(const OpCall& call, const Scratch& scratch) const {
    const double *sum = scratch.total, *dot = sum + channels_;
    const float* invstd = saved_invstd(call);
    if (float* dweight = tensor_at(call.grad_inputs, kWeight).f32())
      for (int64_t c = 0; c < channels_; ++c) dweight[c] = pixels_ ? static_cast<float>(dot[c] * invstd[c]) : 0.0f;
    if (float* dbias = tensor_at(call.grad_inputs, kBias).f32())
      for (int64_t c = 0; c < channels_; ++c) dbias[c] = pixels_ ? static_cast<float>(sum[c]) : 0.0f;
  }

  double eps_, momentum_;
  NormActivation activation_;
  bool gives_coefficients_;
  bool training_ = false, running_ = false, residual_ = false;
  int64_t pixels_ = 0, channels_ = 0;
  int64_t given_rows_ = 0;  // of statistics; 0: x is read for them
};

}  // namespace

std::unique_ptr<Op> make_batch_norm(const Attributes& attributes) { return std::make_unique<BatchNorm>(attributes); }

}  // namespace convcore
