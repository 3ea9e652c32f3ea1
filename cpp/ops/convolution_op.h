// SPDX-License-Identifier: BSD-3-Clause
// What conv2d, conv_transpose2d and linear share: an Op over one Conv2dGeometry.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ops/convolution.h"
#include "ops/op.h"

namespace convcore {

// Inputs x, weight, bias (absent or dense). `forward_pass` is the pass of the geometry that forward() runs: conv2d and
// linear run Pass::forward; a transposed convolution is Pass::backward_input of the convolution it transposes, with the
// two other passes in turned roles.
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
  ConvolutionOp(std::string_view kind, Pass forward_pass, std::string wanted);
  // Checks shapes; throws ShapeError. Also gives the output's shape.
  virtual Conv2dGeometry geometry(const Shape& x, const Shape& weight, const Shape& bias, Shape* output) const = 0;

 private:
  std::string_view kind_;
  Pass forward_pass_;
  std::string wanted_, algorithm_;
  Conv2dGeometry g_;
  int64_t output_channels_ = 0;
  std::unique_ptr<ConvMap> forward_, backward_input_;
  std::unique_ptr<ConvReduce> backward_weight_;
};

}  // namespace convcore
