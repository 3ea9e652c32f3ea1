// SPDX-License-Identifier: BSD-3-Clause
// What conv2d, conv_transpose2d and linear share: an Op over one Conv2dGeometry,
//   y = activation(x * w + bias + residual)
// It can do the work of the nodes behind it; graph/fuse.h adds these attributes and inputs:
//   activation      "none", "relu", "relu6", or, for inference, any function of one variable, with its settings as
//                   activation.alpha and so on
//   input 7         the residual, of y's shape, is added before that
//   batch_norm_eps  inference only: inputs 3 to 6 are a batch norm's weight, bias (each may be absent), running_mean,
//                   running_var; with scale[o] = weight[o] / sqrt(running_var[o] + eps), what is packed is
//                   w[o] * scale[o]  and  (bias[o] - running_mean[o]) * scale[o] + batch norm's bias[o]
//   inputs 8, 9     inference only: after the batch norm, each channel is multiplied with its value of 8, and gets that
//                   of 9 added, which is packed as well
//   inputs 10, 11   of conv2d, inference only: (1 or N, C, 1, 1), and (1, C, 1, 1) or absent. x is multiplied with the
//                   first, the second is added, and then comes input_activation, "none", "relu" or "relu6". By the
//                   algorithm "direct"
//   cold_weights    true, for inference: the network's weights outgrow the caches
//   statistics      true: where the algorithm can (ConvMap::statistic_parts()), there is a second output, (parts,
//                   1 + 2 * channels): of each part of y its number of pixels, and each channel's mean and sum of
//                   (y - mean)^2
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ops/activation.h"
#include "ops/convolution.h"
#include "ops/op.h"

namespace convcore {

// Inputs x, weight, bias (absent or dense), and those above. `forward_pass` is the pass of the geometry that
// forward() runs: conv2d and linear run Pass::forward; a transposed convolution is Pass::backward_input of the
// convolution it transposes, with the two other passes in turned roles.
class ConvolutionOp : public Op {
 public:
  std::string_view kind() const override { return kind_; }
  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool training) override;
  OpNeeds needs() const override;
  bool is_dense(int input) const override { return input > 0 && input != kResidual && input < kInScale; }
  bool forward_reads_input(int input) const override {
    return backward_weight_ || (input != kWeight && (!folds_ || input < kBias || input == kResidual ||
                                                       input >= kInScale));
  }
  bool can_run_in_place(int input) const override { return input == kResidual; }
  bool can_prepare_input() const override { return kind_ == "conv2d" && forward_->prepares(); }
  bool has_gradient(int output) const override { return output == 0; }
  bool backward_reads_input(int input) const override { return input <= kWeight; }
  bool backward_reads_outputs() const override { return activation_.has_value(); }
  bool spends_grad_outputs() const override { return activation_.has_value(); }
  bool passes_gradient(int input) const override { return input == kResidual; }
  bool can_add_gradient(int input) const override { return input == kX; }
  void pack(const OpCall& call) const override;
  void forward(const OpCall& call) const override;
  void backward(const OpCall& call) const override;
  std::string algorithm() const override { return algorithm_; }
  int64_t flops() const override { return g_.flops(); }
  std::string backward_algorithm(bool wants_input) const override;
  int64_t backward_flops(bool wants_input) const override { return g_.flops() * (wants_input ? 2 : 1); }

 protected:
  // Reads what fusion adds; wanted: the algorithm.
  ConvolutionOp(std::string_view kind, Pass forward_pass, const Attributes& attributes, std::string wanted);
  // Checks shapes; throws ShapeError. Also gives the output's shape.
  virtual Conv2dGeometry geometry(const Shape& x, const Shape& weight, const Shape& bias, Shape* output) const = 0;

 private:
  enum Input { kX, kWeight, kBias, kNormWeight, kNormBias, kNormMean, kNormVariance, kResidual, kScale, kShift,
               kInScale, kInShift, kInputs };

  bool has_norm() const { return batch_norm_eps_ > 0; }
  void check_kinds(std::span<const TensorSpec> inputs, bool training) const;
  void check_fused(std::span<const TensorSpec> inputs, const Shape& output) const;
  void check_prologue(std::span<const TensorSpec> inputs, bool training) const;
  size_t prologue_bytes() const;
  Prologue prologue(const OpCall& call) const;  // what is absent are zeros, at the end of the workspace
  int64_t statistic_parts() const { return wants_statistics_ ? forward_->statistic_parts() : 0; }
  const float* bias(const OpCall& call) const { return has_bias_ ? call.inputs[2].f32() : nullptr; }
  // Where pack() leaves the bias that all folded together make.
  float* folded_bias(const OpCall& call) const;
  void scale_weights(const float* weight, const float* scale, float* scaled) const;
  void widen_statistics(float* rows) const;
  bool clamps() const;  // the activation is relu or relu6
  void set_activation(Epilogue& epilogue) const;

  std::string_view kind_;
  Pass forward_pass_;
  std::string wanted_, algorithm_, input_algorithm_, weight_algorithm_;
  Conv2dGeometry g_;
  int64_t output_channels_ = 0;
  bool has_bias_ = false, folds_ = false, wants_statistics_ = false, cold_weights_ = false;
  double batch_norm_eps_ = 0;  // 0: no batch norm
  std::optional<ActivationFunction> activation_;
  NormActivation input_activation_ = NormActivation::none;
  std::unique_ptr<ConvMap> forward_, backward_input_;
  std::unique_ptr<ConvReduce> backward_weight_;
};

}  // namespace convcore
