// SPDX-License-Identifier: BSD-3-Clause
#include "ops/convolution_op.h"

#include <algorithm>

#include "base/memory.h"

namespace convcore {

ConvolutionOp::ConvolutionOp(std::string_view kind, Pass forward_pass, std::string wanted)
    : kind_(kind), forward_pass_(forward_pass), wanted_(std::move(wanted)) {
  const auto& known = conv_algorithms();
  require(wanted_ == "auto" || std::any_of(known.begin(), known.end(), [&](const auto& a) { return wanted_ == a.name; }),
          kind_, "algorithm must be auto, direct or im2col, got '", wanted_, "'");
}

std::vector<TensorSpec> ConvolutionOp::plan(std::span<const TensorSpec> inputs, bool training) {
  require(inputs.size() == 2 || inputs.size() == 3, kind_, "takes x, weight and an optional bias, got ", inputs.size(),
          " inputs");
  for (const TensorSpec& input : inputs)
    require<TypeError>(input.dtype == DType::f32, kind_, "inputs must be float32, got ", name_of(input.dtype));
  Shape output;
  g_ = geometry(inputs[0].shape, inputs[1].shape, inputs.size() > 2 ? inputs[2].shape : Shape{}, &output);
  output_channels_ = output[1];
  const Pass other = forward_pass_ == Pass::forward ? Pass::backward_input : Pass::forward;
  const ConvAlgorithm& chosen = choose_algorithm(g_, forward_pass_, wanted_);
  algorithm_ = chosen.name;
  forward_ = chosen.map(g_, forward_pass_);
  if (training) {
    backward_input_ = choose_algorithm(g_, other, wanted_).map(g_, other);
    backward_weight_ = choose_algorithm(g_, Pass::backward_weight, wanted_).reduce(g_);
  }
  return {{output}};
}

OpNeeds ConvolutionOp::needs() const {
  OpNeeds needs;
  needs.packed = forward_->packed_bytes();
  needs.forward = forward_->workspace_bytes();
  if (backward_weight_)
    needs.backward = std::max({align_up(backward_input_->packed_bytes()) + backward_input_->workspace_bytes(),
                               backward_weight_->workspace_bytes(), bias_gradient_bytes(output_channels_)});
  return needs;
}

void ConvolutionOp::pack(const OpCall& call) const { forward_->pack(call.inputs[1].f32(), call.packed); }

// y = x * w + bias
void ConvolutionOp::forward(const OpCall& call) const {
  const float* bias = call.inputs.size() > 2 ? call.inputs[2].f32() : nullptr;
  forward_->run(call.inputs[0], call.packed, bias, call.outputs[0], call.workspace);
}

void ConvolutionOp::backward(const OpCall& call) const {
  const Tensor &x = call.inputs[0], &dy = call.grad_outputs[0];
  // dx: dy through the transposed weights
  if (call.grad_inputs[0]) {
    std::byte* workspace = call.workspace + align_up(backward_input_->packed_bytes());
    backward_input_->pack(call.inputs[1].f32(), call.workspace);
    backward_input_->run(dy, call.workspace, nullptr, call.grad_inputs[0], workspace);
  }
  // dw: x against dy, summed over pixels
  if (call.grad_inputs[1]) {
    const bool turned = forward_pass_ != Pass::forward;
    backward_weight_->run(turned ? dy : x, turned ? x : dy, call.grad_inputs[1].f32(), call.workspace);
  }
  // db: dy summed over pixels
  if (call.grad_inputs.size() > 2 && call.grad_inputs[2])
    bias_gradient(dy, call.grad_inputs[2].f32(), call.workspace);
}

}  // namespace convcore
