// SPDX-License-Identifier: BSD-3-Clause
// NumPy arrays as Tensors and back. Inputs are borrowed where their memory is what the core wants, else converted
// once; results are fresh arrays whose memory is channels-last and whose shape is NCHW.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <ostream>
#include <string_view>
#include <vector>

#include "base/tensor.h"
#include "bindings/convert.h"

namespace convcore::bindings {

namespace py = pybind11;

// Who speaks in an error, and of what: "conv2d: weight: ...".
struct Label {
  std::string_view who, name;
};

// Elements of a Python sequence (a str is none), as they were when this was made: turning them into arrays may run
// Python code that changes the sequence.
class Items {
 public:
  Items(py::handle sequence, std::string_view who, std::string_view name);  // throws TypeError
  size_t size() const { return static_cast<size_t>(PyTuple_GET_SIZE(items_.ptr())); }
  py::handle operator[](size_t i) const { return PyTuple_GET_ITEM(items_.ptr(), static_cast<Py_ssize_t>(i)); }

 private:
  py::object items_;
};

// An array that the caller gave, kept alive, with all that is needed to read it without the GIL.
class InputArray {
 public:
  InputArray() = default;  // absent
  // Anything that NumPy makes an array of. Throws TypeError for dtypes without a meaning here (complex, object, text).
  InputArray(py::handle object, const Label& label);

  explicit operator bool() const { return data_ != nullptr; }
  const Shape& shape() const { return shape_; }
  Element element() const { return element_; }
  bool is_state() const;  // may be written in place: writable, C-contiguous, aligned float32
  // Throws TypeError if `type` cannot be had: uint8 comes from uint8, int64 from integers, float32 from everything.
  void require_convertible(DType type, const Label& label) const;

  // The memory itself if it has the type and layout wanted, else a Tensor without data. Never that of int64: labels
  // are checked and later used as indices, so nobody may change them in between.
  Tensor borrow(DType type, bool dense) const;
  // Converts into `memory` (packed, size_of(type) * shape().size() bytes).
  Tensor convert_into(void* memory, DType type, bool dense) const;

 private:
  py::array owner_;
  const std::byte* data_ = nullptr;  // never null when present
  Shape shape_;
  std::array<int64_t, kMaxRank> strides_{};
  Element element_ = Element::other;
  bool aligned_ = false, writable_ = false;
};

// Packed memory as a Tensor.
Tensor packed_tensor(void* memory, const Shape& shape, DType type, bool dense);

// A fresh array and its Tensor. Big ones take their memory from a pool that gets it back when the array dies, because
// fresh pages are dear.
struct OutputArray {
  py::array array;
  Tensor tensor;
};
OutputArray make_output(const TensorSpec& spec, bool dense);
py::list to_list(const std::vector<OutputArray>& outputs);  // the arrays

}  // namespace convcore::bindings
