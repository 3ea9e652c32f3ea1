// SPDX-License-Identifier: BSD-3-Clause
// One conversion of strided elements into packed memory. No Python here: it runs without the GIL.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/tensor.h"

namespace convcore::bindings {

enum class Element : uint8_t { f32, f64, f16, boolean, i8, i16, i32, i64, u8, u16, u32, u64, other };

constexpr bool is_integer(Element e) { return e >= Element::i8 && e <= Element::u64; }
int64_t size_of(Element element);

// Strided memory seen as pixels of channels. Activations of up to 4 dimensions: channels are dimension 1, pixels all
// others. All else: channels are the last dimension. Strides are in bytes, of any sign; neighbouring pixel dimensions are merged where
// they can be, and those of size 1 are gone.
struct Layout {
  int64_t channels = 1, channel_stride = 0;
  int dims = 0;  // pixel dimensions, outermost first
  std::array<int64_t, kMaxRank> size{}, stride{};

  Layout(const Shape& shape, const int64_t* strides, bool dense);
  int64_t pixels() const;
  // Elements from one pixel to the next if the memory can be used as it is: channels in a row, one pixel dimension,
  // pitch >= channels. 0 if not.
  int64_t pitch(int64_t element_bytes) const;
};

// Writes pixels() * channels elements in a row to `to`: float32 from any Element, uint8 from u8, int64 from integers.
// In parallel where it is worth it.
void convert(const std::byte* from, Element element, const Layout& layout, DType type, void* to);

}  // namespace convcore::bindings
