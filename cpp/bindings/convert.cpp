// SPDX-License-Identifier: BSD-3-Clause
#include "bindings/convert.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "base/parallel.h"
#include "kernels/table.h"

namespace convcore::bindings {
namespace {

constexpr int64_t kBlock = 16;  // a block of 16 x 16 floats: one cache line per pixel and per channel

struct Half {
  uint16_t bits;
  explicit operator float() const {
    const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
    const uint32_t exponent = bits >> 10 & 31, mantissa = bits & 0x3ff;
    if (exponent == 0) {  // subnormal: mantissa * 2^-24, exact
      const float value = static_cast<float>(mantissa) * 0x1p-24f;
      return sign ? -value : value;
    }
    const uint32_t rebiased = exponent == 31 ? 255 : exponent + 112;
    const uint32_t word = sign | rebiased << 23 | mantissa << 13;
    float value;
    std::memcpy(&value, &word, sizeof(value));
    return value;
  }
};

// Elements may be unaligned.
template <class From, class To>
To load(const std::byte* from) {
  From value;
  std::memcpy(&value, from, sizeof(value));
  return static_cast<To>(value);
}

// to[p * channels + c] = from[p * pixel_stride + c * channel_stride], any strides, in blocks.
template <class From, class To>
void convert_any(const std::byte* from, int64_t pixels, int64_t pixel_stride, int64_t channels, int64_t channel_stride,
                 To* to) {
  for (int64_t c0 = 0; c0 < channels; c0 += kBlock) {
    const int64_t c1 = std::min(channels, c0 + kBlock);
    for (int64_t p = 0; p < pixels; ++p) {
      const std::byte* pixel = from + p * pixel_stride;
      for (int64_t c = c0; c < c1; ++c) to[p * channels + c] = load<From, To>(pixel + c * channel_stride);
    }
  }
}

// The same for channels in a row.
template <class From, class To>
void convert_rows(const std::byte* from, int64_t pixels, int64_t pixel_stride, int64_t channels, To* to) {
  for (int64_t p = 0; p < pixels; ++p) {
    const std::byte* pixel = from + p * pixel_stride;
    if constexpr (std::is_same_v<From, To>) {
      std::memcpy(to + p * channels, pixel, static_cast<size_t>(channels) * sizeof(To));
    } else {
      for (int64_t c = 0; c < channels; ++c)
        to[p * channels + c] = load<From, To>(pixel + c * static_cast<int64_t>(sizeof(From)));
    }
  }
}

// Planes of one picture (NCHW) with 2, 3 or 4 channels: to[p * kChannels + c] = plane c [p].
template <int kChannels>
void interleave(const std::byte* from, int64_t pixels, int64_t channel_stride, float* to) {
  for (int64_t p = 0; p < pixels; ++p)
    for (int c = 0; c < kChannels; ++c)
      to[p * kChannels + c] = load<float, float>(from + c * channel_stride + p * static_cast<int64_t>(sizeof(float)));
}

// Planes of one picture (NCHW) with any number of channels.
void transpose(const std::byte* from, int64_t pixels, int64_t channels, int64_t channel_stride, float* to) {
  constexpr int64_t kFloat = sizeof(float);
  if (reinterpret_cast<uintptr_t>(from) % kFloat || channel_stride % kFloat)
    return convert_any<float, float>(from, pixels, kFloat, channels, channel_stride, to);
  table().elementwise.transpose(channels, pixels, {reinterpret_cast<const float*>(from), channel_stride / kFloat},
                                {to, channels});
}

template <class From, class To>
void convert_pixels(const std::byte* from, int64_t pixels, int64_t pixel_stride, int64_t channels,
                    int64_t channel_stride, To* to) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(From));
  if (channels == 1 && pixel_stride == kSize) return convert_rows<From, To>(from, 1, 0, pixels, to);
  if (channel_stride == kSize) {
    if (pixel_stride == channels * kSize) return convert_rows<From, To>(from, 1, 0, pixels * channels, to);
    return convert_rows<From, To>(from, pixels, pixel_stride, channels, to);
  }
  if constexpr (std::is_same_v<From, float> && std::is_same_v<To, float>) {
    if (pixel_stride == kSize) {
      switch (channels) {
        case 2:
          return interleave<2>(from, pixels, channel_stride, to);
        case 3:
          return interleave<3>(from, pixels, channel_stride, to);
        case 4:
          return interleave<4>(from, pixels, channel_stride, to);
        default:
          return transpose(from, pixels, channels, channel_stride, to);
      }
    }
  }
  convert_any<From, To>(from, pixels, pixel_stride, channels, channel_stride, to);
}

// Cuts the innermost pixel dimension into blocks, which are spread over threads together with the outer dimensions.
template <class From, class To>
void convert_all(const std::byte* from, const Layout& l, To* to) {
  const int last = l.dims - 1;
  const int64_t row = l.dims > 0 ? l.size[last] : 1, row_stride = l.dims > 0 ? l.stride[last] : 0;
  const int64_t block = l.channels < 8 ? kBlock * kBlock : kBlock;
  const int64_t blocks = (row + block - 1) / block, rows = l.pixels() / row;
  const int64_t cost = std::min(block, row) * l.channels * static_cast<int64_t>(sizeof(From) + sizeof(To));
  parallel_for(rows * blocks, 1, cost, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t first = unit % blocks * block;
      int64_t index = unit / blocks, offset = first * row_stride;
      const int64_t pixel = index * row + first;
      for (int d = last - 1; d >= 0; --d) {
        offset += index % l.size[d] * l.stride[d];
        index /= l.size[d];
      }
      convert_pixels<From, To>(from + offset, std::min(block, row - first), row_stride, l.channels, l.channel_stride,
                               to + pixel * l.channels);
    }
  });
}

}  // namespace

int64_t size_of(Element element) {
  switch (element) {
    case Element::f64:
    case Element::i64:
    case Element::u64:
      return 8;
    case Element::f32:
    case Element::i32:
    case Element::u32:
      return 4;
    case Element::f16:
    case Element::i16:
    case Element::u16:
      return 2;
    default:
      return 1;
  }
}

Layout::Layout(const Shape& shape, const int64_t* strides, bool dense) {
  const int rank = shape.rank(), channel = dense || rank > 4 ? rank - 1 : 1;
  for (int i = 0; i < rank; ++i) {
    if (i == channel) {
      channels = shape[i];
      channel_stride = strides[i];
    } else if (shape[i] != 1) {
      if (dims > 0 && stride[dims - 1] == shape[i] * strides[i]) {
        size[dims - 1] *= shape[i];
        stride[dims - 1] = strides[i];
      } else {
        size[dims] = shape[i];
        stride[dims++] = strides[i];
      }
    }
  }
}

int64_t Layout::pixels() const {
  int64_t count = 1;
  for (int i = 0; i < dims; ++i) count *= size[i];
  return count;
}

int64_t Layout::pitch(int64_t bytes) const {
  if (channels == 0 || pixels() == 0 || (dims == 0 && channels == 1)) return std::max<int64_t>(channels, 1);
  if (channels > 1 && channel_stride != bytes) return 0;
  if (dims == 0) return channels;
  if (dims > 1 || stride[0] % bytes != 0) return 0;
  const int64_t elements = stride[0] / bytes;
  return elements >= channels ? elements : 0;
}

void convert(const std::byte* from, Element element, const Layout& layout, DType type, void* to) {
  if (layout.channels == 0 || layout.pixels() == 0) return;
  if (type == DType::u8) return convert_all<uint8_t>(from, layout, static_cast<uint8_t*>(to));
  const auto run = [&](auto* out) {
    using To = std::remove_pointer_t<decltype(out)>;
    switch (element) {
      case Element::i8:
        return convert_all<int8_t>(from, layout, out);
      case Element::i16:
        return convert_all<int16_t>(from, layout, out);
      case Element::i32:
        return convert_all<int32_t>(from, layout, out);
      case Element::i64:
        return convert_all<int64_t>(from, layout, out);
      case Element::boolean:
      case Element::u8:
        return convert_all<uint8_t>(from, layout, out);
      case Element::u16:
        return convert_all<uint16_t>(from, layout, out);
      case Element::u32:
        return convert_all<uint32_t>(from, layout, out);
      case Element::u64:
        return convert_all<uint64_t>(from, layout, out);
      default:
        break;
    }
    if constexpr (std::is_same_v<To, float>) {
      if (element == Element::f32) return convert_all<float>(from, layout, out);
      if (element == Element::f64) return convert_all<double>(from, layout, out);
      if (element == Element::f16) return convert_all<Half>(from, layout, out);
    }
  };
  type == DType::f32 ? run(static_cast<float*>(to)) : run(static_cast<int64_t*>(to));
}

}  // namespace convcore::bindings
