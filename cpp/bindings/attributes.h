// SPDX-License-Identifier: BSD-3-Clause
// Attributes from a Python mapping, shapes from and to Python.
#pragma once

#include <pybind11/pybind11.h>

#include <string_view>

#include "base/tensor.h"
#include "ops/attributes.h"

namespace convcore::bindings {

namespace py = pybind11;

// bool, int, float (NumPy's scalars too), str, and lists or tuples of numbers; ints among floats become floats.
// Throws TypeError naming `who` and the key for anything else, ValueError for an int beyond 64 bits.
Attributes to_attributes(py::handle mapping, std::string_view who);

Shape to_shape(py::handle sequence, std::string_view who);  // throws TypeError, ShapeError
py::tuple to_tuple(const Shape& shape);

}  // namespace convcore::bindings
