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

const char* name_of(DType t) { return t == DType::f32 ? "float32" : t == DType::u8 ? "uint8" : "int64"; }

}  // namespace convcore
