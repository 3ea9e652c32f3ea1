// SPDX-License-Identifier: BSD-3-Clause
#include "bindings/attributes.h"

#include <optional>
#include <string>
#include <variant>

namespace convcore::bindings {
namespace {

std::string type_name(py::handle value) { return Py_TYPE(value.ptr())->tp_name; }

// An int or a float; nothing if `value` is neither. `what` names it in the error of an int beyond 64 bits.
std::optional<std::variant<int64_t, double>> to_number(py::handle value, std::string_view who, std::string_view what) {
  if (PyFloat_Check(value.ptr())) return PyFloat_AS_DOUBLE(value.ptr());
  if (PyIndex_Check(value.ptr())) {
    const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    if (!index)
      PyErr_Clear();  // an array of several integers has the method, but is no index
    else {
      int overflow = 0;
      const long long integer = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
      require(overflow == 0, who, what, " does not fit in 64 bits");
      return int64_t{integer};
    }
  }
  // NumPy's floats other than float64. Arrays and strings have no tp_as_number->nb_float that fits, or fail here.
  const PyNumberMethods* methods = Py_TYPE(value.ptr())->tp_as_number;
  if (methods != nullptr && methods->nb_float != nullptr && !PySequence_Check(value.ptr())) {
    const double real = PyFloat_AsDouble(value.ptr());
    if (!PyErr_Occurred()) return real;
    PyErr_Clear();
  }
  return std::nullopt;
}

Attribute to_list(const py::tuple& items, std::string_view who, const std::string& key) {
  std::vector<int64_t> integers;
  std::vector<double> reals;
  for (const py::handle item : items) {
    const auto number = to_number(item, who, key);
    require<TypeError>(number.has_value(), who, "attribute '", key, "' must hold numbers, got ", type_name(item));
    if (const int64_t* integer = std::get_if<int64_t>(&*number)) integers.push_back(*integer);
    reals.push_back(std::visit([](auto v) { return static_cast<double>(v); }, *number));
  }
  if (integers.size() == reals.size()) return integers;
  return reals;
}

Attribute to_attribute(py::handle value, std::string_view who, const std::string& key) {
  if (PyBool_Check(value.ptr())) return value.ptr() == Py_True;
  if (PyUnicode_Check(value.ptr())) return value.cast<std::string>();
  if (PyList_Check(value.ptr()) || PyTuple_Check(value.ptr()))
    return to_list(py::tuple(py::reinterpret_borrow<py::object>(value)), who, key);
  if (type_name(value).rfind("numpy.bool", 0) == 0) return PyObject_IsTrue(value.ptr()) == 1;
  const auto number = to_number(value, who, key);
  require<TypeError>(number.has_value(), who, "attribute '", key,
                     "' must be a bool, int, float, str, or a list or tuple of numbers, got ", type_name(value));
  return std::visit([](auto v) { return Attribute(v); }, *number);
}

}  // namespace

Attributes to_attributes(py::handle mapping, std::string_view who) {
  require<TypeError>(PyMapping_Check(mapping.ptr()) && !PySequence_Check(mapping.ptr()), who,
                     "attributes must be a mapping of names to values, got ", type_name(mapping));
  Attributes attributes;
  if (PyDict_CheckExact(mapping.ptr()) && PyDict_GET_SIZE(mapping.ptr()) == 0) return attributes;
  py::dict items;  // a copy, because reading numbers may run Python code that changes the mapping
  if (PyDict_Update(items.ptr(), mapping.ptr()) != 0) throw py::error_already_set();
  for (const auto& [key, value] : items) {
    require<TypeError>(PyUnicode_Check(key.ptr()), who, "attribute names must be str, got ", type_name(key));
    const auto name = key.cast<std::string>();
    attributes.set(name, to_attribute(value, who, name));
  }
  return attributes;
}

Shape to_shape(py::handle sequence, std::string_view who) {
  require<TypeError>(PySequence_Check(sequence.ptr()) && !PyUnicode_Check(sequence.ptr()), who,
                     "a shape must be a sequence of ints, got ", type_name(sequence));
  const py::tuple items(py::reinterpret_borrow<py::object>(sequence));
  require<ShapeError>(items.size() <= kMaxRank, who, "at most ", kMaxRank, " dimensions are supported, got ",
                      items.size());
  Shape shape;
  for (const py::handle item : items) {
    const auto number = to_number(item, who, "shape");
    require<TypeError>(number && std::holds_alternative<int64_t>(*number), who, "a shape must hold ints, got ",
                       type_name(item));
    shape.push_back(std::get<int64_t>(*number));
    require<ShapeError>(shape[shape.rank() - 1] >= 0, who, "dimensions must not be negative, got ",
                        shape[shape.rank() - 1]);
  }
  shape.size(who);  // throws where it overflows
  return shape;
}

py::tuple to_tuple(const Shape& shape) {
  py::tuple result(shape.rank());
  for (int i = 0; i < shape.rank(); ++i) result[i] = shape[i];
  return result;
}

}  // namespace convcore::bindings
