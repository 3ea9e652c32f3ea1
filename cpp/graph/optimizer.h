// SPDX-License-Identifier: BSD-3-Clause
// Optimizers: one update of all parameters from one contiguous block of gradients. Formulas: PyTorch's torch.optim.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/memory.h"
#include "ops/attributes.h"

namespace convcore {

// Attributes beside weight_decay and max_grad_norm, by kind, with PyTorch's defaults.
struct OptimizerSettings {
  enum class Kind { sgd, adam, adamw, rmsprop, adagrad } kind;
  double weight_decay = 0;                             // adamw: 0.01, decoupled
  double max_grad_norm = 0;                            // 0: no clipping
  double momentum = 0, dampening = 0;                  // sgd; momentum: rmsprop too
  bool nesterov = false;                               // sgd
  double beta1 = 0.9, beta2 = 0.999;                   // adam, adamw: betas
  double eps = 1e-8;                                   // adagrad: 1e-10
  double alpha = 0.99;                                 // rmsprop
  bool centered = false;                               // rmsprop
  double lr_decay = 0, initial_accumulator_value = 0;  // adagrad
};

// Throws ValueError for an unknown kind or attribute and for a value out of range.
OptimizerSettings parse_optimizer(const std::string& kind, const Attributes& attributes);

class Optimizer {
 public:
  // kind: sgd | adam | adamw | rmsprop | adagrad. attributes: PyTorch's names and defaults (momentum, dampening,
  // weight_decay, nesterov, betas, eps, alpha, centered, initial_accumulator_value, lr_decay, ...) and max_grad_norm
  // (0: no clipping; else gradients are scaled as torch.nn.utils.clip_grad_norm_ does). lr is given per update.
  Optimizer(const std::string& kind, const Attributes& attributes, std::vector<int64_t> sizes);

  // parameters[i] has sizes[i] floats; its gradient stands at gradients + offsets[i]. Clipping scales the gradients on
  // their way into the update. Allocates nothing.
  void update(std::span<float* const> parameters, const float* gradients, std::span<const size_t> offsets, float lr);

  const std::string& kind() const { return kind_; }
  // State for checkpoints: slot(s)[i] is parameter i's s-th state array (sgd: momentum; adam: m, v).
  std::vector<std::string> slot_names() const { return slot_names_; }
  float* slot(int s, int parameter);
  int64_t step_count() const { return steps_; }
  void set_step_count(int64_t steps);
  double last_grad_norm() const { return grad_norm_; }  // before clipping; 0 when not clipping

 private:
  // A piece of one parameter. All threads share the list, and its pieces do not depend on how many there are.
  struct Chunk {
    size_t parameter;
    int64_t begin, size;
  };
  template <class Body>
  void each_chunk(Body&& body) const;
  double gradient_norm(const float* gradients, std::span<const size_t> offsets);
  float* state(size_t s, const Chunk& chunk) const;

  std::string kind_;
  OptimizerSettings settings_;
  std::vector<int64_t> sizes_;
  std::vector<Chunk> chunks_;
  std::vector<double> sums_;  // by chunk
  int64_t total_ = 0;         // elements
  std::vector<std::string> slot_names_;
  std::vector<AlignedBuffer> slots_;   // each as long as all parameters, each of these 64-byte aligned
  std::vector<int64_t> slot_offsets_;  // by parameter
  int64_t steps_ = 0;
  double grad_norm_ = 0;
};

}  // namespace convcore
