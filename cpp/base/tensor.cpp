// SPDX-License-Identifier: BSD-3-Clause
#include "base/tensor.h"

#include <algorithm>

namespace convcore {

int64_t Shape::size(std::string_view who) const {
  int64_t total = 1;
  for (int64_t d : *this) {
    require<ShapeError>(d >= 0, who, "dimensions must not be negative, got ", *this);
    require<ShapeError>(!__builtin_mul_overflow(total, d, &total) && total <= INT64_MAX / 8, who,
                        "number of elements overflows 64 bits: ", *this);
  }
  return total;
}

bool Shape::operator==(const Shape& other) const { return std::equal(begin(), end(), other.begin(), other.end()); }

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '(';
  for (int i = 0; i < shape.rank(); ++i) out << (i ? ", " : "") << shape[i];
  return out << (shape.rank() == 1 ? ",)" : ")");
}

int64_t channels_of(const Shape& shape) {
  return shape.rank() > 4 ? shape[shape.rank() - 1] : shape.rank() > 1 ? shape[1] : 1;
}

int64_t pixels_of(const Shape& shape) {
  const int64_t channels = channels_of(shape);
  return channels ? shape.size() / channels : 0;
}

Strides strides_of(const Tensor& activation) {
  const Shape& shape = activation.shape;
  const int rank = shape.rank(), channel = rank > 4 ? rank - 1 : 1;
  Strides strides{};
  int64_t stride = activation.pitch;
  for (int i = rank - 1; i >= 0; --i) {
    if (i == channel) continue;
    strides[i] = stride;
    stride *= shape[i];
  }
  if (rank > 1) strides[channel] = 1;
  return strides;
}

Strides row_major(const Shape& shape) {
  Strides strides{};
  int64_t stride = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

const char* name_of(DType t) { return t == DType::f32 ? "float32" : t == DType::u8 ? "uint8" : "int64"; }

}  // namespace convcore
