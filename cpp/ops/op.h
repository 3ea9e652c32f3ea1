// SPDX-License-Identifier: BSD-3-Clause
// The one interface of all ops. An Op is made from attributes, planned once for given input shapes, then run many
// times; running allocates nothing. The functional Python calls and graph Programs both use it.
//
//   auto op = make_op("conv2d", {{"stride", std::vector<int64_t>{2, 2}}});
//   std::vector<TensorSpec> outputs = op->plan({{x}, {w}, {b}}, /*training=*/false);   // checks; throws ShapeError
//   op->forward(call);                                                              // call: the memory, see below
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"
#include "ops/attributes.h"

namespace convcore {

// Everything one run touches; the caller owns it all.
struct OpCall {
  std::span<const Tensor> inputs;        // as planned; an absent optional input has data == nullptr
  std::span<const Tensor> outputs;       // backward: only valid if backward_reads_outputs()
  std::span<const Tensor> grad_outputs;  // backward only; overwritten if spends_grad_outputs()
  std::span<const Tensor> grad_inputs;   // backward only; data == nullptr: not wanted
  uint32_t adds = 0;                     // bit i: added to grad_inputs[i], if can_add_gradient(i); else overwritten
  std::byte* packed = nullptr;           // needs().packed bytes, filled by pack(); only forward reads them
  std::byte* saved = nullptr;            // needs().saved bytes, from forward (training) to backward
  std::byte* workspace = nullptr;        // max of needs().forward / backward bytes; contents undefined
  uint64_t seed = 0;                     // random ops: with `stream`, names the random numbers of this run
  uint64_t stream = 0;
};

// Bytes, all known once plan() has run.
struct OpNeeds {
  size_t packed = 0;    // rearranged parameters, kept while they do not change; none in training, where they do
  size_t saved = 0;     // forward -> backward (window positions, batch statistics)
  size_t forward = 0;   // scratch
  size_t backward = 0;  // scratch
};

class Op {
 public:
  virtual ~Op() = default;

  // Checks the inputs, chooses algorithms, returns the outputs' specs. Throws ShapeError, ValueError, TypeError whose
  // message begins with kind(). An absent optional input is a spec with rank-0 shape. Zero-size batches are fine.
  // training: backward will follow, and batch norm / dropout behave as in training.
  virtual std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool training) = 0;

  virtual std::string_view kind() const = 0;
  virtual OpNeeds needs() const { return {}; }
  // forward() itself, not only pack(), reads input i.
  virtual bool forward_reads_input(int /*input*/) const { return true; }
  // Input i is dense (a parameter, labels, statistics) rather than a channels-last activation.
  virtual bool is_dense(int input) const { return input > 0; }
  // Output 0 may be the very memory of input i, and the gradient of input i, but of no other, that of output 0's.
  virtual bool can_run_in_place(int /*input*/) const { return false; }
  // As planned, it could also take a batch norm or a gate before input 0 into its own pass over that.
  virtual bool can_prepare_input() const { return false; }
  // Output 0 is a part of input 0 that begins so many elements further on and has its pitch, which is given; -1: is none.
  // Where it stands there, forward need not run.
  virtual int64_t offset_in_input(int64_t /*pitch*/) const { return -1; }
  // Of an output without one, backward gets none (data == nullptr). If none has: backward() throws ValueError.
  virtual bool has_gradient(int /*output*/) const { return true; }
  virtual bool backward_reads_input(int /*input*/) const { return true; }
  virtual bool backward_reads_outputs() const { return false; }
  // Backward changes what stands in grad_outputs[0], as an activation's part of it does.
  virtual bool spends_grad_outputs() const { return false; }
  // The gradient of input i is what backward leaves in grad_outputs[0]; nothing is copied where grad_inputs[i] is that
  // very memory.
  virtual bool passes_gradient(int /*input*/) const { return false; }
  virtual bool can_add_gradient(int /*input*/) const { return false; }  // see OpCall::adds
  // The gradient of input i may stand over input i itself, where nobody reads that any more.
  virtual bool can_replace_input(int /*input*/) const { return false; }

  // Throws ValueError for values, not shapes, that cannot be computed with: labels. Called by whoever runs the op, on
  // his own thread, before forward, and before backward where no forward of the same inputs went before; as early as
  // he can, so that a refused run changes nothing. From then on to the end of backward these inputs must not change.
  virtual void check_inputs(const OpCall&) const {}
  virtual void pack(const OpCall&) const {}  // parameters -> call.packed; only when needs().packed > 0
  virtual void forward(const OpCall& call) const = 0;
  virtual void backward(const OpCall& call) const = 0;

  virtual std::string algorithm() const { return ""; }  // what plan() chose, for summaries and profiles
  virtual int64_t flops() const { return 0; }           // of forward; a multiply-add counts as 2
  // The same of backward. wants_input: is the gradient of input 0 wanted?
  virtual std::string backward_algorithm(bool /*wants_input*/) const { return ""; }
  virtual int64_t backward_flops(bool /*wants_input*/) const { return flops(); }
};

// Throws ValueError for an unknown kind or attribute.
std::unique_ptr<Op> make_op(std::string_view kind, const Attributes& attributes);
std::vector<std::string> op_kinds();

}  // namespace convcore
