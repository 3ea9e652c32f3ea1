// SPDX-License-Identifier: BSD-3-Clause
#include "ops/convolution_op.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/blocks.h"
#include "ops/checks.h"

namespace convcore {
namespace {

constexpr int64_t kFinishCost = 16;  // operations per element, roughly

std::string known_algorithms() {
  std::string names = "auto, exact";
  for (const ConvAlgorithm& a : conv_algorithms()) names.append(", ").append(a.name);
  return names;
}

}  // namespace

ConvolutionOp::ConvolutionOp(std::string_view kind, Pass forward_pass, const Attributes& attributes, std::string wanted)
    : kind_(kind), forward_pass_(forward_pass), wanted_(std::move(wanted)) {
  const auto& known = conv_algorithms();
  const auto is_wanted = [&](const ConvAlgorithm& a) { return wanted_ == a.name; };
  require(wanted_ == "auto" || wanted_ == "exact" || std::any_of(known.begin(), known.end(), is_wanted), kind_,
          "algorithm must be one of ", known_algorithms(), ", got '", wanted_, "'");
  activation_ = activation_of(kind_, attributes);
  input_activation_ = norm_activation(kind_, "input_activation", attributes);
  wants_statistics_ = attributes.flag(kind_, "statistics", false);
  cold_weights_ = attributes.flag(kind_, "cold_weights", false);
  if (!attributes.has("batch_norm_eps")) return;
  batch_norm_eps_ = attributes.number(kind_, "batch_norm_eps", 0);
  require(std::isfinite(batch_norm_eps_) && batch_norm_eps_ > 0, kind_,
          "batch_norm_eps must be positive and finite, got ", batch_norm_eps_);
}

std::vector<TensorSpec> ConvolutionOp::plan(std::span<const TensorSpec> inputs, bool training) {
  folds_ = has_norm() || is_present(inputs, kScale) || is_present(inputs, kShift);
  check_kinds(inputs, training);
  has_bias_ = is_present(inputs, kBias);
  Shape output;
  g_ = geometry(inputs[kX].shape, inputs[kWeight].shape, has_bias_ ? inputs[kBias].shape : Shape{}, &output);
  g_.cold = cold_weights_ && !training;
  g_.prepared = is_present(inputs, kInScale);
  check_prologue(inputs, training);
  output_channels_ = output[1];
  check_fused(inputs, output);
  const Pass other = forward_pass_ == Pass::forward ? Pass::backward_input : Pass::forward;
  const ConvAlgorithm& chosen = choose_algorithm(kind_, g_, forward_pass_, g_.prepared ? "direct" : wanted_);
  algorithm_ = chosen.name;
  forward_ = chosen.map(g_, forward_pass_);
  if (training) {
    const ConvAlgorithm& input = choose_algorithm(kind_, g_, other, wanted_);
    const ConvAlgorithm& weight = choose_algorithm(kind_, g_, Pass::backward_weight, wanted_);
    input_algorithm_ = input.name, weight_algorithm_ = weight.name;
    backward_input_ = input.map(g_, other);
    backward_weight_ = weight.reduce(g_);
  }
  if (statistic_parts() == 0) return {{output}};
  return {{output}, {{statistic_parts(), 1 + 2 * output_channels_}}};
}

void ConvolutionOp::check_kinds(std::span<const TensorSpec> inputs, bool training) const {
  require(!training || !has_norm(), kind_, "batch_norm_eps is for inference only");
  require(!training || !folds_, kind_, "scale and shift are for inference only");
  require(!training || !activation_ || clamps(), kind_, "in training, activation must be none, relu or relu6");
  const size_t count = inputs.size();
  require((count > kResidual && count <= kInputs) ||
              (has_norm() ? count == kResidual : count == kBias || count == kNormWeight),
          kind_, has_norm() ? "takes x, weight, bias and the four of a batch norm" : "takes x, weight and an optional bias",
          ", got ", count, " inputs");
  for (const TensorSpec& input : inputs)
    require<TypeError>(input.dtype == DType::f32, kind_, "inputs must be float32, got ", name_of(input.dtype));
}

void ConvolutionOp::check_fused(std::span<const TensorSpec> inputs, const Shape& output) const {
  static constexpr const char* names[] = {"weight", "bias", "running_mean", "running_var"};
  for (size_t i = kNormWeight; i < std::min<size_t>(inputs.size(), kResidual); ++i) {
    if ((i < kNormMean || !has_norm()) && !is_present(inputs, i)) continue;
    require(has_norm(), kind_, "the inputs of a batch norm need batch_norm_eps");
    require<ShapeError>(inputs[i].shape == Shape{output_channels_}, kind_, "the batch norm's ", names[i - kNormWeight],
                        " needs one value for each of ", output_channels_, " channels, got ", inputs[i].shape);
  }
  require<ShapeError>(!is_present(inputs, kResidual) || inputs[kResidual].shape == output, kind_,
                      "the residual must have the output's shape ", output, ", got ", inputs[kResidual].shape);
  for (size_t i : {kScale, kShift})
    require<ShapeError>(!is_present(inputs, i) || inputs[i].shape.size() == output_channels_, kind_,
                        i == kScale ? "scale" : "shift", " needs one value for each of ", output_channels_,
                        " channels, got ", inputs[i].shape);
}

void ConvolutionOp::check_prologue(std::span<const TensorSpec> inputs, bool training) const {
  if (!g_.prepared) {
    require(!is_present(inputs, kInShift) && input_activation_ == NormActivation::none, kind_,
            "in_shift and input_activation need in_scale");
    return;
  }
  require(!training && kind_ == "conv2d", kind_, "in_scale is for inference, and for conv2d");
  require(wanted_ == "auto" || wanted_ == "exact" || wanted_ == "direct", kind_,
          "algorithm must be auto, exact or direct where there is in_scale, got '", wanted_, "'");
  const Shape& x = inputs[kX].shape;
  for (const size_t i : {kInScale, kInShift}) {
    if (!is_present(inputs, i)) continue;
    const Shape& s = inputs[i].shape;
    const bool fits = s.rank() == x.rank() && s[1] == x[1] && s.size() == s[0] * x[1];
    require<ShapeError>(fits && (s[0] == 1 || (s[0] == x[0] && i == kInScale)), kind_,
                        i == kInScale ? "in_scale" : "in_shift", " needs shape (1, ", x[1],
                        ", 1, ...), or in_scale one for each image, got ", s, " (x: ", x, ")");
  }
}

size_t ConvolutionOp::prologue_bytes() const {
  return g_.prepared ? align_up(static_cast<size_t>(g_.c) * sizeof(float)) : 0;
}

Prologue ConvolutionOp::prologue(const OpCall& call) const {
  const Tensor &scale = call.inputs[kInScale], shift = tensor_at(call.inputs, kInShift);
  float* zeros = reinterpret_cast<float*>(call.workspace + align_up(forward_->workspace_bytes()));
  std::fill_n(zeros, g_.c, 0.0f);
  return {{zeros, scale.f32(), shift ? shift.f32() : zeros}, scale.shape[0] > 1 ? scale.pitch : 0, input_activation_};
}

OpNeeds ConvolutionOp::needs() const {
  OpNeeds needs;
  if (backward_weight_) {
    needs.forward = forward_->once_bytes();
    needs.backward = std::max({backward_input_->once_bytes(), backward_weight_->workspace_bytes(),
                               bias_gradient_bytes(output_channels_)});
    return needs;
  }
  needs.packed = forward_->packed_bytes();
  needs.forward = align_up(forward_->workspace_bytes()) + prologue_bytes();
  if (folds_) {
    const size_t channels = static_cast<size_t>(output_channels_) * 4;
    const size_t weights = static_cast<size_t>(g_.o * g_.c_per_group() * g_.taps()) * 4;
    needs.packed = align_up(needs.packed) + channels;
    needs.forward = std::max(needs.forward, align_up(channels) + weights);  // pack()'s
  }
  return needs;
}

std::string ConvolutionOp::backward_algorithm(bool wants_input) const {
  return (wants_input ? "input: " + input_algorithm_ + ", weight: " : "weight: ") + weight_algorithm_;
}

float* ConvolutionOp::folded_bias(const OpCall& call) const {
  return reinterpret_cast<float*>(call.packed + align_up(forward_->packed_bytes()));
}

// scaled[i][j][tap] = weight[i][j][tap] * scale[o], where o, the output channel, is i, or j of i's group if transposed
void ConvolutionOp::scale_weights(const float* weight, const float* scale, float* scaled) const {
  const int64_t columns = g_.c_per_group(), taps = g_.taps();
  const bool transposed = forward_pass_ != Pass::forward;
  parallel_for(g_.o, 1, columns * taps, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t j = 0; j < columns; ++j) {
        const float s = scale[transposed ? i / g_.o_per_group() * columns + j : i];
        const int64_t first = (i * columns + j) * taps;
        for (int64_t k = first; k < first + taps; ++k) scaled[k] = weight[k] * s;
      }
  });
}

// Into the workspace go scale and the scaled weights, which are then packed as weights are.
void ConvolutionOp::pack(const OpCall& call) const {
  const float* weight = call.inputs[kWeight].f32();
  if (!folds_) return forward_->pack(weight, call.packed);
  const auto given = [&](Input i) { return tensor_at(call.inputs, i).f32(); };
  const float *mean = given(kNormMean), *own = bias(call), *by = given(kScale), *added = given(kShift);
  float *shift = folded_bias(call), *scale = reinterpret_cast<float*>(call.workspace);
  float* scaled = reinterpret_cast<float*>(call.workspace + align_up(static_cast<size_t>(output_channels_) * 4));
  for (int64_t o = 0; o < output_channels_; ++o) shift[o] = (mean ? mean[o] : 0.0f) - (own ? own[o] : 0.0f);
  if (has_norm()) {
    table().norm.fold(output_channels_, shift, given(kNormVariance), given(kNormWeight), given(kNormBias),
                      static_cast<float>(batch_norm_eps_), scale, shift);
  } else {
    for (int64_t o = 0; o < output_channels_; ++o) scale[o] = 1, shift[o] = -shift[o];
  }
  for (int64_t o = 0; by && o < output_channels_; ++o) scale[o] *= by[o], shift[o] *= by[o];
  for (int64_t o = 0; added && o < output_channels_; ++o) shift[o] += added[o];
  scale_weights(weight, scale, scaled);
  forward_->pack(scaled, call.packed);
}

// rows, parts of 1 + 2 * channels, end with what a map left, parts of 2 * channels. Each is moved to the end of its
// row, which lies where it stood or before.
void ConvolutionOp::widen_statistics(float* rows) const {
  const int64_t parts = statistic_parts(), width = 2 * output_channels_;
  const float* moments = rows + parts;
  for (int64_t i = 0; i < parts; ++i, rows += 1 + width, moments += width) {
    std::memmove(rows + 1, moments, static_cast<size_t>(width) * sizeof(float));
    *rows = static_cast<float>(forward_->statistic_pixels(i));
  }
}

bool ConvolutionOp::clamps() const {
  return activation_->function == Activation::relu || activation_->function == Activation::relu6;
}

// relu, relu6 and clamp are done by the tiles; other functions by maps that can, or else in a pass of their own.
void ConvolutionOp::set_activation(Epilogue& epilogue) const {
  if (!activation_) return;
  const Coefficients& c = activation_->coefficients;
  switch (activation_->function) {
    case Activation::relu6:
      epilogue.upper = 6;
      [[fallthrough]];
    case Activation::relu:
      epilogue.lower = 0;
      break;
    case Activation::clamp:
      if (c.a <= c.b) {
        epilogue.lower = c.a, epilogue.upper = c.b;
        break;
      }
      [[fallthrough]];
    default:
      epilogue.finish = {activation_->kernels().forward, c};
  }
}

// y = activation(x * w + bias + residual)
void ConvolutionOp::forward(const OpCall& call) const {
  const Tensor residual = tensor_at(call.inputs, kResidual);
  Epilogue epilogue;
  epilogue.bias = folds_ ? folded_bias(call) : bias(call);
  epilogue.residual = residual.f32();
  epilogue.residual_pitch = residual.pitch;
  set_activation(epilogue);
  const Finish own_pass = forward_->finishes() ? Finish{} : std::exchange(epilogue.finish, {});
  float* statistics = statistic_parts() > 0 ? call.outputs[1].f32() : nullptr;
  if (statistics) epilogue.statistics = statistics + statistic_parts();
  if (backward_weight_)  // training: the weights are new at each step
    forward_->run_once(call.inputs[kX], call.inputs[kWeight].f32(), epilogue, call.outputs[0], call.workspace);
  else if (g_.prepared)
    forward_->run_prepared(prologue(call), call.inputs[kX], call.packed, epilogue, call.outputs[0], call.workspace);
  else
    forward_->run(call.inputs[kX], call.packed, epilogue, call.outputs[0], call.workspace);
  if (statistics) widen_statistics(statistics);
  if (own_pass) {
    const Tensor& y = call.outputs[0];
    parallel_blocks({&y}, kFinishCost, [&](const RowBlock& b) { own_pass(b.out(y).data, y.pitch, b.rows, b.columns); });
  }
}

void ConvolutionOp::backward(const OpCall& call) const {
  const Tensor &x = call.inputs[kX], &dy = call.grad_outputs[0], &dx = call.grad_inputs[kX];
  // db: dy summed over pixels, of dy = dy * activation'
  float* db = has_bias_ ? call.grad_inputs[kBias].f32() : nullptr;
  if (activation_)
    activation_gradient(activation_->function, call.outputs[0], dy, db, call.workspace);
  else if (db)
    bias_gradient(dy, db, call.workspace);
  // dx: dy through the transposed weights
  if (dx) {
    Epilogue epilogue;
    if (call.adds >> kX & 1) epilogue.residual = dx.f32(), epilogue.residual_pitch = dx.pitch;
    backward_input_->run_once(dy, call.inputs[kWeight].f32(), epilogue, dx, call.workspace);
  }
  // dw: x against dy, summed over pixels
  if (call.grad_inputs[kWeight]) {
    const bool turned = forward_pass_ != Pass::forward;
    backward_weight_->run(turned ? dy : x, turned ? x : dy, call.grad_inputs[kWeight].f32(), call.workspace);
  }
  // the residual's: dy
  if (const Tensor dresidual = tensor_at(call.grad_inputs, kResidual)) copy(dy, dresidual);
}

}  // namespace convcore
