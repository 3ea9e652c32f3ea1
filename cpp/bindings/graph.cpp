// SPDX-License-Identifier: BSD-3-Clause
// Graph and Optimizer.
#include "bindings/graph.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/attributes.h"
#include "bindings/bindings.h"
#include "graph/graph.h"

namespace convcore::bindings {
namespace {

DType to_dtype(const std::string& name, const std::string& input) {
  for (const DType type : {DType::f32, DType::u8, DType::i64})
    if (name == name_of(type)) return type;
  throw ValueError(message("add_input", input, ": dtype must be float32, uint8 or int64, got '", name, "'"));
}

const TensorSpec& spec_of(const Graph& graph, int value) {
  const auto count = static_cast<int>(graph.values().size());
  require(value >= 0 && value < count, "graph", "value must be from 0 to ", count - 1, ", got ", value);
  return graph.values()[static_cast<size_t>(value)].spec;
}

std::vector<std::string> names(const Graph& graph, ValueKind kind) {
  std::vector<std::string> result;
  for (const int id : graph.of_kind(kind)) result.push_back(graph.values()[static_cast<size_t>(id)].name);
  return result;
}

py::array slot(const py::object& self, const std::string& name, int parameter) {
  auto& shared = self.cast<SharedOptimizer&>();
  const std::vector<std::string> slots = shared.unlocked().slot_names();
  const auto found = std::find(slots.begin(), slots.end(), name);
  require(found != slots.end(), "optimizer", "has no slot '", name, "'");
  const auto count = static_cast<int>(shared.sizes().size());
  require(parameter >= 0 && parameter < count, "optimizer", "parameter must be from 0 to ", count - 1, ", got ",
          parameter);
  float* data = shared.unlocked().slot(static_cast<int>(found - slots.begin()), parameter);
  return py::array_t<float>(shared.sizes()[static_cast<size_t>(parameter)], data, self);
}

void bind_optimizer(py::module_& m) {
  py::class_<SharedOptimizer>(m, "Optimizer")
      .def(py::init([](const std::string& kind, const py::object& attributes, const std::vector<int64_t>& sizes) {
             for (const int64_t size : sizes) require(size >= 0, "optimizer", "sizes must not be negative, got ", size);
             return std::make_unique<SharedOptimizer>(kind, to_attributes(attributes, kind), sizes);
           }),
           py::arg("kind"), py::arg("attributes"), py::arg("sizes"))
      .def("slot_names", [](SharedOptimizer& self) { return self.unlocked().slot_names(); })
      .def("slot", &slot, py::arg("name"), py::arg("parameter"))
      .def_property(
          "step_count", [](SharedOptimizer& self) { return self.unlocked().step_count(); },
          [](SharedOptimizer& self, int64_t steps) {
            require(steps >= 0, "optimizer", "step_count must not be negative, got ", steps);
            self.unlocked().set_step_count(steps);
          })
      .def_property_readonly("last_grad_norm", [](SharedOptimizer& self) { return self.unlocked().last_grad_norm(); });
}

}  // namespace

void bind_graph(py::module_& m) {
  py::class_<Graph>(m, "Graph")
      .def(py::init<bool>(), py::arg("training") = false)
      .def(
          "add_input",
          [](Graph& self, const std::string& name, const py::object& shape, const std::string& dtype) {
            return self.add_input(name, {to_shape(shape, name), to_dtype(dtype, name)});
          },
          py::arg("name"), py::arg("shape"), py::arg("dtype") = "float32")
      .def(
          "add_parameter",
          [](Graph& self, const std::string& name, const py::object& shape) {
            return self.add_parameter(name, to_shape(shape, name));
          },
          py::arg("name"), py::arg("shape"))
      .def(
          "add_buffer",
          [](Graph& self, const std::string& name, const py::object& shape, bool channels_last) {
            return self.add_buffer(name, to_shape(shape, name), channels_last);
          },
          py::arg("name"), py::arg("shape"), py::arg("channels_last") = false)
      .def(
          "add_node",
          [](Graph& self, const std::string& kind, const std::string& name, const py::object& attributes,
             const std::vector<int>& inputs) {
            return self.add_node(kind, name, to_attributes(attributes, name), inputs);
          },
          py::arg("kind"), py::arg("name"), py::arg("attributes"), py::arg("inputs"))
      .def(
          "outputs_of",
          [](const Graph& self, int value) {
            spec_of(self, value);  // checks
            const int node = self.values()[static_cast<size_t>(value)].producer;
            require(node >= 0, "graph", "value ", value, " is computed by no node");
            return self.nodes()[static_cast<size_t>(node)].outputs;
          },
          py::arg("value"))
      .def("set_outputs", &Graph::set_outputs, py::arg("values"))
      .def(
          "shape", [](const Graph& self, int value) { return to_tuple(spec_of(self, value).shape); }, py::arg("value"))
      .def(
          "dtype", [](const Graph& self, int value) { return name_of(spec_of(self, value).dtype); }, py::arg("value"))
      .def("parameter_names", [](const Graph& self) { return names(self, ValueKind::parameter); })
      .def("buffer_names", [](const Graph& self) { return names(self, ValueKind::buffer); });
  bind_optimizer(m);
}

}  // namespace convcore::bindings
