// SPDX-License-Identifier: BSD-3-Clause
// The parts of the Python module `convcore._core`, one function per source file.
#pragma once

#include <pybind11/pybind11.h>

namespace convcore::bindings {

namespace py = pybind11;

void bind_errors(py::module_& m);
void bind_ops(py::module_& m);
void bind_graph(py::module_& m);
void bind_program(py::module_& m);
void bind_machine(py::module_& m);

}  // namespace convcore::bindings
