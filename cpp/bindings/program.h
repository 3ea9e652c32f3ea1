// SPDX-License-Identifier: BSD-3-Clause
// A Program as Python holds it: NumPy in, NumPy out.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "base/lock.h"
#include "base/memory.h"
#include "bindings/arrays.h"
#include "bindings/graph.h"
#include "graph/program.h"

namespace convcore::bindings {

// Arrays are looked at with the GIL and computed on without it; the mutex is only taken without the GIL, so that
// threads waiting for their turn hold nobody up. Inputs that need conversion keep their memory between calls.
class ArrayProgram {
 public:
  explicit ArrayProgram(const Graph& graph);

  void bind(const py::object& parameters, const py::object& buffers, const py::object& gradients);
  // Packs all weights for good; release(i) is called for each parameter that is not needed any more.
  void pack(const py::function& release, uint64_t version);
  py::list run(const py::object& inputs, uint64_t version);
  py::list forward_backward(const py::object& inputs, uint64_t seed, uint64_t step);
  void update(SharedOptimizer& optimizer, double lr);
  py::list step(const py::object& inputs, SharedOptimizer& optimizer, double lr, uint64_t seed, uint64_t step);
  // With an optimizer (training), the update is made and timed too.
  std::vector<StepInfo> profile(const py::object& inputs, SharedOptimizer* optimizer, double lr);
  const Program& program() const { return program_; }

 private:
  struct Input {
    std::string name;
    TensorSpec spec;
    bool dense;
    bool packed;  // an op reads it as dense memory, so there may be no gaps between pixels
    AlignedBuffer converted;
  };
  struct Output {
    TensorSpec spec;
    bool dense;
    AlignedBuffer own;  // for runs whose outputs do not become arrays
  };
  struct Bound {
    std::vector<py::array> arrays;
    std::vector<float*> parameters, buffers;
    float* gradients = nullptr;
  };

  std::vector<InputArray> read(const py::object& inputs) const;
  std::vector<OutputArray> make_outputs(std::vector<Tensor>& tensors) const;
  void check_update(const SharedOptimizer& optimizer, double lr) const;
  // With the mutex held, without the GIL.
  void convert(const std::vector<InputArray>& arrays);
  void use_own_outputs();

  Program program_;
  std::vector<Input> inputs_;
  std::vector<Output> outputs_;
  std::vector<int64_t> sizes_;   // of parameters
  std::vector<size_t> offsets_;  // of their gradients
  ForkMutex mutex_{"program: was running when the process forked; compile it again"};
  Bound bound_;
  std::vector<Tensor> tensors_, output_tensors_;
};

}  // namespace convcore::bindings
