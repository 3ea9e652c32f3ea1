// SPDX-License-Identifier: BSD-3-Clause
#include "bindings/program.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/threads.h"
#include "bindings/attributes.h"
#include "bindings/bindings.h"
#include "graph/describe_steps.h"

namespace convcore::bindings {
namespace {

// Never 0: null memory means absent to an op.
size_t bytes_of(const TensorSpec& spec) {
  return static_cast<size_t>(std::max<int64_t>(1, spec.shape.size() * size_of(spec.dtype)));
}

py::array bindable(py::handle object, const std::string& who, const Shape& shape, bool dense, bool written) {
  constexpr std::string_view kProgram = "program";
  require(py::isinstance<py::array>(object), kProgram, who, " must be a NumPy array, got ",
          Py_TYPE(object.ptr())->tp_name);
  auto array = py::reinterpret_borrow<py::array>(object);
  require(array.dtype().equal(py::dtype::of<float>()), kProgram, who, " must be float32, got ",
          std::string(py::str(array.dtype())));
  const InputArray view(array, {kProgram, who});
  require<ShapeError>(view.shape() == shape, kProgram, who, " must have shape ", shape, ", got ", view.shape());
  const Tensor memory = view.borrow(DType::f32, dense);
  require(memory && (dense || memory.packed()), kProgram, who, " must be ", dense ? "C-contiguous" : "channels-last",
          " and aligned");
  require(!written || array.writeable(), kProgram, who, " must be writable, because training updates it in place");
  return array;
}

py::dict to_dict(const StepInfo& step) {
  py::dict result;
  result["name"] = step.name;
  result["kind"] = step.kind;
  result["pass"] = step.pass;
  result["algorithm"] = step.algorithm;
  result["output"] = to_tuple(step.output);
  result["parameters"] = step.parameters;
  result["flops"] = step.flops;
  result["bytes"] = step.bytes;
  return result;
}

py::dict to_dict(const MemoryReport& memory) {
  py::dict result;
  result["parameters"] = memory.parameters;
  result["buffers"] = memory.buffers;
  result["gradients"] = memory.gradients;
  result["packed"] = memory.packed;
  result["activations"] = memory.activations;
  result["workspace"] = memory.workspace;
  result["arena"] = memory.arena;
  result["total"] = memory.total();
  return result;
}

}  // namespace

ArrayProgram::ArrayProgram(const Graph& graph) : program_(graph) {
  for (const int id : graph.of_kind(ValueKind::input)) {
    const Value& value = graph.values()[static_cast<size_t>(id)];
    const bool packed = program_.input_must_be_packed(static_cast<int>(inputs_.size()));
    inputs_.push_back({value.name, value.spec, value.dense, packed, {}});
  }
  for (const int id : graph.outputs()) {
    const Value& value = graph.values()[static_cast<size_t>(id)];
    outputs_.push_back({value.spec, value.dense, {}});
  }
  for (const int id : graph.of_kind(ValueKind::parameter)) {
    offsets_.push_back(program_.gradient_offset(static_cast<int>(sizes_.size())));
    sizes_.push_back(graph.values()[static_cast<size_t>(id)].spec.shape.size());
  }
  tensors_.resize(inputs_.size());
  output_tensors_.resize(outputs_.size());
}

void ArrayProgram::bind(const py::object& parameters, const py::object& buffers, const py::object& gradients) {
  const Graph& graph = program_.graph();
  Bound next;
  const auto add = [&](const py::object& given, ValueKind kind, const std::string& role, std::vector<float*>& into) {
    const std::vector<int> ids = graph.of_kind(kind);
    const Items items(given, "program", role + "s");
    require(items.size() == ids.size(), "program", "has ", ids.size(), ' ', role, "s, got ", items.size());
    for (size_t i = 0; i < ids.size(); ++i) {
      const Value& value = graph.values()[static_cast<size_t>(ids[i])];
      next.arrays.push_back(bindable(items[i], role + " '" + value.name + "'", value.spec.shape, value.dense, graph.training()));
      into.push_back(const_cast<float*>(static_cast<const float*>(next.arrays.back().data())));
    }
  };
  add(parameters, ValueKind::parameter, "parameter", next.parameters);
  add(buffers, ValueKind::buffer, "buffer", next.buffers);
  if (!gradients.is_none()) {
    const Shape size{static_cast<int64_t>(program_.gradient_size())};
    next.arrays.push_back(bindable(gradients, "gradients", size, true, true));
    next.gradients = static_cast<float*>(next.arrays.back().mutable_data());
  }
  {
    const py::gil_scoped_release unlocked;
    const std::lock_guard lock(mutex_);
    program_.bind(next.parameters, next.buffers, next.gradients);
    std::swap(bound_, next);  // moves references without counting, so needs no GIL
  }
}

std::vector<InputArray> ArrayProgram::read(const py::object& inputs) const {
  const Items items(inputs, "program", "inputs");
  require(items.size() == inputs_.size(), "program", "expects ", inputs_.size(), " inputs, got ", items.size());
  std::vector<InputArray> arrays;
  arrays.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    const Input& input = inputs_[i];
    const Label label{"program", input.name};
    const InputArray& array = arrays.emplace_back(items[i], label);
    array.require_convertible(input.spec.dtype, label);
    require<ShapeError>(array.shape() == input.spec.shape, label.who, label.name, ": must have shape ",
                        input.spec.shape, ", got ", array.shape());
  }
  return arrays;
}

std::vector<OutputArray> ArrayProgram::make_outputs(std::vector<Tensor>& tensors) const {
  std::vector<OutputArray> arrays;
  arrays.reserve(outputs_.size());
  tensors.reserve(outputs_.size());
  for (const Output& output : outputs_) {
    arrays.push_back(make_output(output.spec, output.dense));
    tensors.push_back(arrays.back().tensor);
  }
  return arrays;
}

void ArrayProgram::convert(const std::vector<InputArray>& arrays) {
  for (size_t i = 0; i < arrays.size(); ++i) {
    Input& input = inputs_[i];
    Tensor& tensor = tensors_[i];
    tensor = arrays[i].borrow(input.spec.dtype, input.dense);
    if (tensor && !(input.packed && !input.dense && !tensor.packed())) continue;
    input.converted.reserve(bytes_of(input.spec));
    tensor = arrays[i].convert_into(input.converted.data(), input.spec.dtype, input.dense);
  }
}

void ArrayProgram::use_own_outputs() {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    Output& output = outputs_[i];
    output.own.reserve(bytes_of(output.spec));
    output_tensors_[i] = packed_tensor(output.own.data(), output.spec.shape, output.spec.dtype, output.dense);
  }
}

void ArrayProgram::check_update(const SharedOptimizer& optimizer, double lr) const {
  require(optimizer.sizes() == sizes_, "program", "the optimizer was made for other parameters (it has ",
          optimizer.sizes().size(), ", the program ", sizes_.size(), "; their sizes must be the same)");
  require(std::isfinite(lr) && lr >= 0, "program", "lr must be finite and not negative, got ", lr);
  require(program_.graph().training(), "program", "updates need a training graph, this one is for inference");
}

void ArrayProgram::pack(const py::function& release, uint64_t version) {
  const py::gil_scoped_release unlocked;
  const std::lock_guard lock(mutex_);
  const FlushDenormals flush;
  program_.set_version(version);
  constexpr int64_t kReturned = 4 << 20;  // bytes to free before they are given back, which takes time
  int64_t freed = 0;
  program_.pack([&](int parameter) {
    {
      const py::gil_scoped_acquire locked;
      py::array& array = bound_.arrays[static_cast<size_t>(parameter)];
      freed += array.nbytes();
      array = py::array();
      release(parameter);
    }
    if (freed < kReturned) return;
    return_freed_memory();
    freed = 0;
  });
  return_freed_memory();
}

py::list ArrayProgram::run(const py::object& inputs, uint64_t version) {
  const std::vector<InputArray> arrays = read(inputs);
  std::vector<Tensor> tensors;
  const std::vector<OutputArray> outputs = make_outputs(tensors);
  {
    const py::gil_scoped_release unlocked;
    const std::lock_guard lock(mutex_);
    convert(arrays);
    program_.set_version(version);
    program_.run(tensors_, tensors);
  }
  return to_list(outputs);
}

py::list ArrayProgram::forward_backward(const py::object& inputs, uint64_t seed, uint64_t step) {
  const std::vector<InputArray> arrays = read(inputs);
  std::vector<Tensor> tensors;
  const std::vector<OutputArray> outputs = make_outputs(tensors);
  {
    const py::gil_scoped_release unlocked;
    const std::lock_guard lock(mutex_);
    convert(arrays);
    program_.forward_backward(tensors_, tensors, seed, step);
  }
  return to_list(outputs);
}

void ArrayProgram::update(SharedOptimizer& optimizer, double lr) {
  check_update(optimizer, lr);
  const py::gil_scoped_release unlocked;
  const std::lock_guard lock(mutex_);
  require(bound_.gradients != nullptr || sizes_.empty(), "program", "bind parameters and gradients before an update");
  const FlushDenormals flush;
  optimizer.update(bound_.parameters, bound_.gradients, offsets_, static_cast<float>(lr));
}

py::list ArrayProgram::step(const py::object& inputs, SharedOptimizer& optimizer, double lr, uint64_t seed,
                            uint64_t step) {
  check_update(optimizer, lr);
  const std::vector<InputArray> arrays = read(inputs);
  std::vector<float> scalars;
  {
    const py::gil_scoped_release unlocked;
    const std::lock_guard lock(mutex_);
    convert(arrays);
    use_own_outputs();
    program_.forward_backward(tensors_, output_tensors_, seed, step);
    const FlushDenormals flush;
    optimizer.update(bound_.parameters, bound_.gradients, offsets_, static_cast<float>(lr));
    for (const Tensor& output : output_tensors_)
      if (output.shape.rank() == 0 && output.dtype == DType::f32) scalars.push_back(*output.f32());
  }
  py::list result(scalars.size());
  for (size_t i = 0; i < scalars.size(); ++i) result[i] = py::float_(scalars[i]);
  return result;
}

std::vector<StepInfo> ArrayProgram::profile(const py::object& inputs, SharedOptimizer* optimizer, double lr) {
  if (optimizer) check_update(*optimizer, lr);
  const std::vector<InputArray> arrays = read(inputs);
  const py::gil_scoped_release unlocked;
  const std::lock_guard lock(mutex_);
  convert(arrays);
  use_own_outputs();
  std::vector<StepInfo> steps = program_.profile(tensors_, output_tensors_);
  if (optimizer) {
    const FlushDenormals flush;
    Timing timing;
    timed(&timing, [&] {
      optimizer->update(bound_.parameters, bound_.gradients, offsets_, static_cast<float>(lr));
    });
    StepInfo& step = steps.emplace_back(optimizer->describe());
    step.seconds = timing.seconds;
    step.threads = timing.threads;
  }
  return steps;
}

void bind_program(py::module_& m) {
  py::class_<ArrayProgram>(m, "Program")
      .def(py::init<const Graph&>(), py::arg("graph"))
      .def("bind", &ArrayProgram::bind, py::arg("parameters"), py::arg("buffers"), py::arg("gradients") = py::none())
      .def_property_readonly("gradient_size", [](const ArrayProgram& self) { return self.program().gradient_size(); })
      .def(
          "gradient_offset",
          [](const ArrayProgram& self, int parameter) { return self.program().gradient_offset(parameter); },
          py::arg("parameter"))
      .def("pack", &ArrayProgram::pack, py::arg("release"), py::arg("version") = 0)
      .def("run", &ArrayProgram::run, py::arg("inputs"), py::arg("version") = 0)
      .def("forward_backward", &ArrayProgram::forward_backward, py::arg("inputs"), py::arg("seed") = 0,
           py::arg("step") = 0)
      .def("update", &ArrayProgram::update, py::arg("optimizer"), py::arg("lr"))
      .def("step", &ArrayProgram::step, py::arg("inputs"), py::arg("optimizer"), py::arg("lr"), py::arg("seed") = 0,
           py::arg("step") = 0)
      .def(
          "profile",
          [](ArrayProgram& self, const py::object& inputs, SharedOptimizer* optimizer, double lr) {
            py::list result;
            for (const StepInfo& step : self.profile(inputs, optimizer, lr)) {
              result.append(to_dict(step));
              result[result.size() - 1]["seconds"] = step.seconds;
              result[result.size() - 1]["threads"] = step.threads;
            }
            return result;
          },
          py::arg("inputs"), py::arg("optimizer") = py::none(), py::arg("lr") = 0.0)
      .def("steps",
           [](const ArrayProgram& self) {
             py::list result;
             for (const StepInfo& step : self.program().steps()) result.append(to_dict(step));
             return result;
           })
      .def("memory", [](const ArrayProgram& self) { return to_dict(self.program().memory()); });
}

}  // namespace convcore::bindings
