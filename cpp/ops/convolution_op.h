// SPDX-License-Identifier: BSD-3-Clause
// What conv2d, conv_transpose2d and linear share: an Op over one Conv2dGeometry, y = x * w + bias. For inference it can
// do the work of the nodes behind it; graph/fuse.h sets these attributes:
//   activation      "none" | "relu" | "relu6": the output is clamped before it is stored
//   batch_norm_eps  there are four more inputs, of a batch norm: weight, bias (each may be absent), running_mean,
//                   running_var; with scale[o] = weight[o] / sqrt(running_var[o] + eps), what is packed is
//                   w[o] * scale[o]  and  (bias[o] - running_mean[o]) * scale[o] + batch norm's bias[o]
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ops/convolution.h"
#include "ops/op.h"

namespace convcore {

// Inputs x, weight, bias (absent or dense), and a batch norm's. `forward_pass` is the pass of the geometry that
// forward() runs: conv2d and linear run Pass::forward; a transposed convolution is Pass::backward_input of the
// convolution it transposes, with the two other passes in turned roles.
class ConvolutionOp : public Op {
 public:
  std::string_view kind() const override { return kind_; }
  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool training) override;
  OpNeeds needs() const override;
  void pack(const OpCall& call) const override;
  void forward(const OpCall& call) const override;
  void backward(const OpCall& call) const override;
  std::string algorithm() const override { return algorithm_; }
  int64_t flops() const override { return g_.flops(); }

 protected:
  // Reads activation and batch_norm_eps; wanted: the algorithm.
  ConvolutionOp(std::string_view kind, Pass forward_pass, const Attributes& attributes, std::string wanted);
  // Checks shapes; throws ShapeError. Also gives the output's shape.
  virtual Conv2dGeometry geometry(const Shape& x, const Shape& weight, const Shape& bias, Shape* output) const = 0;

 private:
  bool folds() const { return batch_norm_eps_ > 0; }
  void check_batch_norm(std::span<const TensorSpec> inputs) const;
  const float* bias(const OpCall& call) const { return has_bias_ ? call.inputs[2].f32() : nullptr; }
  // Where pack() leaves the bias of a folded batch norm.
  float* folded_bias(const OpCall& call) const;
  void scale_weights(const float* weight, const float* scale, float* scaled) const;

  std::string_view kind_;
  Pass forward_pass_;
  std::string wanted_, algorithm_;
  Conv2dGeometry g_;
  int64_t output_channels_ = 0;
  bool has_bias_ = false;
  double batch_norm_eps_ = 0;  // 0: no batch norm
  Epilogue clamp_;             // without the bias
  std::unique_ptr<ConvMap> forward_, backward_input_;
  std::unique_ptr<ConvReduce> backward_weight_;
};

}  // namespace convcore
