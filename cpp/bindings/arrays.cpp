// SPDX-License-Identifier: BSD-3-Clause
#include "bindings/arrays.h"

#include <string>

#include "bindings/pool.h"

namespace convcore::bindings {
namespace {

constexpr size_t kPooledBytes = 128 << 10;

Element element_of(char kind, int64_t bytes) {
  switch (kind) {
    case 'f':
      return bytes == 4 ? Element::f32 : bytes == 8 ? Element::f64 : bytes == 2 ? Element::f16 : Element::other;
    case 'b':
      return Element::boolean;
    case 'i':
      return bytes == 8 ? Element::i64 : bytes == 4 ? Element::i32 : bytes == 2 ? Element::i16 : Element::i8;
    case 'u':
      return bytes == 8 ? Element::u64 : bytes == 4 ? Element::u32 : bytes == 2 ? Element::u16 : Element::u8;
    default:
      return Element::other;
  }
}

std::string dtype_name(const py::array& array) { return py::str(array.dtype()); }

const char* element_name(Element element) {
  static constexpr const char* kNames[] = {"float32", "float64", "float16", "bool",   "int8",   "int16", "int32",
                                           "int64",   "uint8",   "uint16",  "uint32", "uint64", "other"};
  return kNames[static_cast<int>(element)];
}

py::dtype dtype_of(DType type) {
  switch (type) {
    case DType::u8:
      return py::dtype::of<uint8_t>();
    case DType::i64:
      return py::dtype::of<int64_t>();
    default:
      return py::dtype::of<float>();
  }
}

py::array as_array(py::handle object, const Label& label) {
  if (py::isinstance<py::array>(object)) return py::reinterpret_borrow<py::array>(object);
  auto array = py::array::ensure(object);  // clears Python's error
  require<TypeError>(static_cast<bool>(array), label.who, label.name, ": cannot make an array of ",
                     Py_TYPE(object.ptr())->tp_name);
  return array;
}

}  // namespace

Items::Items(py::handle sequence, std::string_view who, std::string_view name) {
  require<TypeError>(PySequence_Check(sequence.ptr()) && !PyUnicode_Check(sequence.ptr()), who, name,
                     " must be a sequence, got ", Py_TYPE(sequence.ptr())->tp_name);
  items_ = py::reinterpret_steal<py::object>(PySequence_Tuple(sequence.ptr()));
  if (!items_) throw py::error_already_set();
}

InputArray::InputArray(py::handle object, const Label& label) : owner_(as_array(object, label)) {
  const py::dtype dtype = owner_.dtype();
  element_ = element_of(dtype.kind(), dtype.itemsize());
  if (element_ == Element::other)  // no require(): the dtype's name would be made every time, which is slow
    throw TypeError(message(label.who, label.name, ": dtype ", dtype_name(owner_),
                            " is not supported (float32, float64, float16, bool and integers are)"));
  if (const char order = dtype.byteorder(); order != '=' && order != '|')  // the other byte order
    owner_ = owner_.attr("astype")(dtype.attr("newbyteorder")("="));
  require<ShapeError>(owner_.ndim() <= kMaxRank, label.who, label.name, ": at most ", kMaxRank,
                      " dimensions are supported, got ", owner_.ndim());
  for (py::ssize_t i = 0; i < owner_.ndim(); ++i) {
    shape_.push_back(owner_.shape()[i]);
    strides_[static_cast<size_t>(i)] = owner_.strides()[i];
  }
  shape_.size(label.who);  // throws where it overflows
  static constexpr std::byte kEmpty{};
  data_ = owner_.data() != nullptr ? static_cast<const std::byte*>(owner_.data()) : &kEmpty;
  aligned_ = (owner_.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
  writable_ = owner_.writeable();
}

bool InputArray::is_state() const { return writable_ && static_cast<bool>(borrow(DType::f32, true)); }

void InputArray::require_convertible(DType type, const Label& label) const {
  if (type == DType::f32) return;
  const bool ok = type == DType::u8 ? element_ == Element::u8 : is_integer(element_);
  require<TypeError>(ok, label.who, label.name, type == DType::u8 ? ": expects uint8" : ": expects integers", ", got ",
                     element_name(element_));
}

Tensor InputArray::borrow(DType type, bool dense) const {
  const bool same = (type == DType::f32 && element_ == Element::f32) || (type == DType::u8 && element_ == Element::u8);
  if (!same || !aligned_) return {};
  const Layout layout(shape_, strides_.data(), dense);
  const int64_t pitch = layout.pitch(size_of(element_));
  if (pitch == 0 || (dense && pitch != std::max<int64_t>(layout.channels, 1))) return {};
  return {const_cast<std::byte*>(data_), shape_, type, pitch};  // inputs are only read, states excepted
}

Tensor InputArray::convert_into(void* memory, DType type, bool dense) const {
  convert(data_, element_, Layout(shape_, strides_.data(), dense), type, memory);
  return packed_tensor(memory, shape_, type, dense);
}

Tensor packed_tensor(void* memory, const Shape& shape, DType type, bool dense) {
  Tensor tensor{memory, shape, type, 0};
  tensor.pitch = dense || shape.rank() == 0 ? 1 : tensor.c();
  return tensor;
}

OutputArray make_output(const TensorSpec& spec, bool dense) {
  const Shape& shape = spec.shape;
  const int rank = shape.rank(), channel = dense || rank < 2 || rank > 4 ? rank - 1 : 1;
  const int64_t item = size_of(spec.dtype);
  py::array::ShapeContainer dims(shape.begin(), shape.end());
  py::array::StridesContainer strides(dims->begin(), dims->end());
  int64_t stride = item;
  if (rank > 0) {
    (*strides)[static_cast<size_t>(channel)] = stride;
    stride *= std::max<int64_t>(shape[channel], 1);
  }
  for (int i = rank - 1; i >= 0; --i) {
    if (i == channel) continue;
    (*strides)[static_cast<size_t>(i)] = stride;
    stride *= std::max<int64_t>(shape[i], 1);
  }
  const auto bytes = static_cast<size_t>(shape.size() * item);
  py::array array;
  if (bytes < kPooledBytes) {
    array = py::array(dtype_of(spec.dtype), std::move(dims), std::move(strides));
  } else {
    const PooledMemory memory = take_pooled(bytes);
    array = py::array(dtype_of(spec.dtype), std::move(dims), std::move(strides), memory.data, memory.owner);
  }
  return {array, packed_tensor(array.mutable_data(), shape, spec.dtype, dense)};
}

py::list to_list(const std::vector<OutputArray>& outputs) {
  py::list result(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) result[i] = outputs[i].array;
  return result;
}

}  // namespace convcore::bindings
