// SPDX-License-Identifier: BSD-3-Clause
// Single ops on NumPy arrays: plan, or take the plan of an earlier call, and run.
#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/threads.h"
#include "bindings/arrays.h"
#include "bindings/attributes.h"
#include "bindings/bindings.h"
#include "bindings/planned_op.h"
#include "bindings/scratch.h"
#include "bindings/signature.h"
#include "ops/conv2d.h"
#include "ops/op.h"

namespace convcore::bindings {
namespace {

// An array on its way into an op: borrowed, or converted into `offset` of the scratch memory once the GIL is gone.
struct Operand {
  InputArray array;
  InputRole role;
  TensorSpec spec;
  bool dense = false;
  Tensor tensor;
  size_t offset = 0;

  bool present() const { return static_cast<bool>(array); }

  void place(Scratch& scratch, bool may_borrow) {
    if (may_borrow) tensor = array.borrow(spec.dtype, dense);
    if (!tensor) offset = scratch.reserve(static_cast<size_t>(spec.shape.size() * size_of(spec.dtype)));
  }
  void fill(const Scratch& scratch) {
    if (!tensor) tensor = array.convert_into(scratch.at(offset), spec.dtype, dense);
  }
};

struct Call {
  std::string kind;
  std::shared_ptr<const Op> op;
  std::vector<Operand> inputs;
  std::vector<TensorSpec> outputs;

  Call(PlannedOp& planned, const py::handle& arrays, bool training) : kind(planned.kind()) {
    const Items items(arrays, kind, "inputs");
    std::vector<TensorSpec> specs(items.size());
    inputs.resize(items.size());
    for (size_t i = 0; i < items.size(); ++i) {
      if (items[i].is_none()) continue;
      Operand& in = inputs[i];
      in.role = role_of(kind, i);
      const Label label{kind, in.role.name};
      in.array = InputArray(items[i], label);
      if (in.role.role == Role::labels) in.spec.dtype = DType::i64;
      if (in.role.role == Role::image && in.array.element() == Element::u8) in.spec.dtype = DType::u8;
      in.array.require_convertible(in.spec.dtype, label);
      // A spec of rank 0 means "absent", so a scalar must not get through.
      require<ShapeError>(in.array.shape().rank() > 0, kind, in.role.name, " must have at least 1 dimension");
      in.spec.shape = in.array.shape();
      specs[i] = in.spec;
    }
    const Plan& plan = planned.plan(specs, training);
    op = plan.op;
    outputs = plan.outputs;
    for (size_t i = 0; i < items.size(); ++i) {
      Operand& in = inputs[i];
      in.dense = op->is_dense(static_cast<int>(i));
    }
  }

  std::vector<Tensor> input_tensors(const Scratch& scratch) {
    std::vector<Tensor> tensors(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i].present()) continue;
      inputs[i].fill(scratch);
      tensors[i] = inputs[i].tensor;
    }
    return tensors;
  }
};

// The op's own memory within the scratch of a call.
struct OpMemory {
  OpNeeds needs;
  size_t packed, saved, workspace;

  OpMemory(const Op& op, Scratch& scratch)
      : needs(op.needs()),
        packed(scratch.reserve(needs.packed)),
        saved(scratch.reserve(needs.saved)),
        workspace(scratch.reserve(std::max(needs.forward, needs.backward))) {}

  void give(OpCall& call, const Scratch& scratch) const {
    call.packed = scratch.at(packed);
    call.saved = scratch.at(saved);
    call.workspace = scratch.at(workspace);
  }
};

py::list forward(PlannedOp& planned, const py::object& arrays, bool training, uint64_t seed, uint64_t stream) {
  Call call(planned, arrays, training);
  Scratch scratch;
  for (Operand& in : call.inputs) {
    if (!in.present()) continue;
    const bool updated = training && in.role.role == Role::state;
    require(!updated || in.array.is_state(), call.kind, in.role.name,
            " must be a writable C-contiguous float32 array, because training updates it in place");
    in.place(scratch, true);
  }
  const OpMemory memory(*call.op, scratch);
  std::vector<OutputArray> outputs;
  std::vector<Tensor> output_tensors;
  for (const TensorSpec& spec : call.outputs) {
    outputs.push_back(make_output(spec, false));
    output_tensors.push_back(outputs.back().tensor);
  }
  {
    const py::gil_scoped_release unlocked;
    const FlushDenormals flush;
    scratch.allocate();
    const std::vector<Tensor> input_tensors = call.input_tensors(scratch);
    OpCall run{.inputs = input_tensors, .outputs = output_tensors, .grad_outputs = {}, .grad_inputs = {}};
    run.seed = seed;
    run.stream = stream;
    memory.give(run, scratch);
    call.op->check_inputs(run);
    if (memory.needs.packed > 0) call.op->pack(run);
    call.op->forward(run);
  }
  return to_list(outputs);
}

// Gradients of the outputs, checked against what forward gives.
std::vector<Operand> gradient_operands(const Call& call, const py::handle& arrays, Scratch& scratch) {
  const Items items(arrays, call.kind, "grad_outputs");
  require(items.size() == call.outputs.size(), call.kind, "expects ", call.outputs.size(), " grad_outputs, got ",
          items.size());
  std::vector<Operand> gradients(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    const Label label{call.kind, "grad_output"};
    Operand& gradient = gradients[i];
    require<TypeError>(!items[i].is_none(), call.kind, "grad_output must be an array, got None");
    gradient.array = InputArray(items[i], label);
    gradient.spec = {gradient.array.shape(), DType::f32};
    require<ShapeError>(gradient.spec.shape == call.outputs[i].shape, call.kind, "grad_output must have shape ",
                        call.outputs[i].shape, ", got ", gradient.spec.shape);
    gradient.place(scratch, !call.op->spends_grad_outputs());
  }
  return gradients;
}

// One fresh array per input that the mask wants; absent inputs and those masked out get none.
std::vector<OutputArray> wanted_gradients(const Call& call, const std::vector<bool>& mask) {
  require(mask.size() == call.inputs.size(), call.kind, "expects one mask entry per input (", call.inputs.size(),
          "), got ", mask.size());
  std::vector<OutputArray> wanted(mask.size());
  for (size_t i = 0; i < mask.size(); ++i) {
    const Operand& in = call.inputs[i];
    if (!mask[i] || !in.present()) continue;
    const bool kept_constant = in.role.role == Role::constant || in.role.role == Role::state;
    require(in.spec.dtype == DType::f32 && !kept_constant, call.kind, in.role.name, " has no gradient");
    wanted[i] = make_output({in.spec.shape, DType::f32}, in.dense);
  }
  return wanted;
}

py::list backward(PlannedOp& planned, const py::object& arrays, const py::object& grad_outputs,
                  const std::vector<bool>& mask, uint64_t seed, uint64_t stream) {
  Call call(planned, arrays, true);
  Scratch scratch;
  // Forward runs again where it leaves something for backward; it must not update the caller's state a second time.
  for (Operand& in : call.inputs)
    if (in.present()) in.place(scratch, in.role.role != Role::state);
  std::vector<Operand> gradients = gradient_operands(call, grad_outputs, scratch);
  const std::vector<OutputArray> wanted = wanted_gradients(call, mask);

  const OpMemory memory(*call.op, scratch);
  const bool forward_first = memory.needs.saved > 0 || call.op->backward_reads_outputs();
  std::vector<size_t> output_offsets;
  for (const TensorSpec& spec : call.outputs)
    output_offsets.push_back(
        scratch.reserve(forward_first ? static_cast<size_t>(spec.shape.size() * size_of(spec.dtype)) : 0));
  std::vector<Tensor> grad_inputs;
  for (const OutputArray& output : wanted) grad_inputs.push_back(output.tensor);
  {
    const py::gil_scoped_release unlocked;
    const FlushDenormals flush;
    scratch.allocate();
    const std::vector<Tensor> input_tensors = call.input_tensors(scratch);
    std::vector<Tensor> outputs, gradient_tensors;
    for (size_t i = 0; i < call.outputs.size(); ++i) {
      const TensorSpec& spec = call.outputs[i];
      outputs.push_back(packed_tensor(scratch.at(output_offsets[i]), spec.shape, spec.dtype, false));
      gradients[i].fill(scratch);
      gradient_tensors.push_back(gradients[i].tensor);
    }
    OpCall run{.inputs = input_tensors, .outputs = outputs, .grad_outputs = {}, .grad_inputs = {}};
    run.seed = seed;
    run.stream = stream;
    memory.give(run, scratch);
    call.op->check_inputs(run);
    if (forward_first) {  // no backward pass reads what pack() leaves
      if (memory.needs.packed > 0) call.op->pack(run);
      call.op->forward(run);
    }
    run.grad_outputs = gradient_tensors;
    run.grad_inputs = grad_inputs;
    call.op->backward(run);
  }
  py::list result(wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i)
    result[i] = wanted[i].tensor ? py::object(wanted[i].array) : py::object(py::none());
  return result;
}

}  // namespace

void bind_ops(py::module_& m) {
  m.def("op_kinds", &op_kinds);
  m.def(
      "is_dense",
      [](const std::string& kind, const py::object& attributes, int input) {
        return make_op(kind, to_attributes(attributes, kind))->is_dense(input);
      },
      py::arg("kind"), py::arg("attributes"), py::arg("input"));
  py::class_<PlannedOp>(m, "PlannedOp")
      .def(py::init([](const std::string& kind, const py::object& attributes) {
             return PlannedOp(kind, to_attributes(attributes, kind));
           }),
           py::arg("kind"), py::arg("attributes"))
      .def("forward", &forward, py::arg("inputs"), py::arg("training") = false, py::arg("seed") = 0,
           py::arg("stream") = 0)
      .def("backward", &backward, py::arg("inputs"), py::arg("grad_outputs"), py::arg("mask"), py::arg("seed") = 0,
           py::arg("stream") = 0);
  m.def(
      "forward",
      [](const std::string& kind, const py::object& attributes, const py::object& inputs, bool training, uint64_t seed,
         uint64_t stream) {
        PlannedOp op(kind, to_attributes(attributes, kind));
        return forward(op, inputs, training, seed, stream);
      },
      py::arg("kind"), py::arg("attributes"), py::arg("inputs"), py::arg("training") = false, py::arg("seed") = 0,
      py::arg("stream") = 0);
  m.def(
      "backward",
      [](const std::string& kind, const py::object& attributes, const py::object& inputs, const py::object& grad_outputs,
         const std::vector<bool>& mask, uint64_t seed, uint64_t stream) {
        PlannedOp op(kind, to_attributes(attributes, kind));
        return backward(op, inputs, grad_outputs, mask, seed, stream);
      },
      py::arg("kind"), py::arg("attributes"), py::arg("inputs"), py::arg("grad_outputs"), py::arg("mask"),
      py::arg("seed") = 0, py::arg("stream") = 0);
  m.def(
      "conv_algorithms",
      [](const py::object& attributes, const py::object& x_shape, const py::object& weight_shape) {
        return conv_algorithms(to_attributes(attributes, "conv2d"), to_shape(x_shape, "conv2d"),
                               to_shape(weight_shape, "conv2d"));
      },
      py::arg("attributes"), py::arg("x_shape"), py::arg("weight_shape"));
}

}  // namespace convcore::bindings
