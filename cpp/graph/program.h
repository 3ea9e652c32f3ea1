// SPDX-License-Identifier: BSD-3-Clause
// How to compute a Graph: ops planned for their shapes, every buffer placed in one arena by its lifetime, a fixed list
// of steps. Running a Program allocates nothing.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/memory.h"
#include "graph/graph.h"
#include "graph/optimizer.h"
#include "graph/step_info.h"

namespace convcore {

// Bytes. `arena` is what the plan needs at once: `activations`, the most that live activations, their gradients and
// saved state need at one step, and the rest, `workspace`. Outputs of the graph stand in the caller's memory and are
// not counted. In training, ops pack weights into the workspace where they use them: `packed` is for inference.
struct MemoryReport {
  size_t parameters = 0, buffers = 0, gradients = 0, packed = 0, activations = 0, workspace = 0, arena = 0;
  size_t total() const { return parameters + buffers + gradients + packed + arena; }
};

// Not for several threads at once: each call waits for the one before it to end (the Python class sees to that).
class Program {
 public:
  // training: graph.outputs()[0] is a scalar loss (float32, one element); the Program holds forward and backward.
  // Throws ShapeError if the loss is not a scalar, ValueError if a parameter cannot reach it.
  explicit Program(Graph graph);
  ~Program();

  // Memory of parameters and buffers, in of_kind() order, dense float32; kept by the caller for the Program's life.
  // gradients: gradient_size() floats, contiguous, each parameter's part at gradient_offset(i); null for inference.
  // The block is zeroed here, once; later only the parameters' parts are written. Allocates the arena.
  void bind(std::span<float* const> parameters, std::span<float* const> buffers, float* gradients);
  size_t gradient_size() const;                 // floats
  size_t gradient_offset(int parameter) const;  // floats, a multiple of 16

  // Packed weights are renewed when the version differs from the last run's. Throws ValueError after pack().
  void set_version(uint64_t version);
  // Inference: packs all weights now, and calls `release` with each parameter (its place in of_kind() order) as soon as
  // no run will read it any more: its memory may go. From then on the version cannot change.
  void pack(const std::function<void(int)>& release);

  // inputs in of_kind(input) order, with the planned shapes: activations channels-last, labels dense. They must not
  // change during the call. Throws ValueError for labels out of range, before anything is computed or updated.
  // outputs: packed memory of the outputs' shapes, written; they overlap neither each other nor the inputs.
  void run(std::span<const Tensor> inputs, std::span<const Tensor> outputs);
  // Training: forward and backward; gradients are overwritten. `step` numbers the run, for random ops.
  void forward_backward(std::span<const Tensor> inputs, std::span<const Tensor> outputs, uint64_t seed, uint64_t step);
  // An op reads this input (in of_kind(input) order) as dense memory: there may be no gaps between its pixels.
  bool input_must_be_packed(int input) const;
  // As run(), or for training forward_backward(), timing each step.
  std::vector<StepInfo> profile(std::span<const Tensor> inputs, std::span<const Tensor> outputs);

  const Graph& graph() const { return graph_; }
  MemoryReport memory() const;
  std::vector<StepInfo> steps() const;

 private:
  struct State;
  Graph graph_;  // as given
  std::unique_ptr<State> state_;
};

}  // namespace convcore
