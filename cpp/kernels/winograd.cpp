// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/winograd.h"

#include "simd/loop.h"

namespace convcore::CONVCORE_ISA {
namespace {

#define CC_UNROLL _Pragma("GCC unroll 8")

constexpr float kA = 0.70710678118654752f, kB = 1.41421356237309505f;  // the points of alpha = 6: +-a, +-b

// Rows 1 and 2, then 3 and 4, of B^T times a column: even part + and - odd part.
CC_INLINE void input6_12(Vec d1, Vec d2, Vec d3, Vec d4, Vec& t1, Vec& t2) {
  const Vec even = fma(set1(-2.0f), d2, d4), odd = fma(set1(-0.5f), d3, d1);
  t1 = fma(set1(2 * kA), odd, even);
  t2 = fma(set1(-2 * kA), odd, even);
}
CC_INLINE void input6_34(Vec d1, Vec d2, Vec d3, Vec d4, Vec& t3, Vec& t4) {
  const Vec even = fma(set1(-0.5f), d2, d4), odd = fma(set1(-2.0f), d3, d1);
  t3 = fma(set1(0.5f * kB), odd, even);
  t4 = fma(set1(-0.5f * kB), odd, even);
}
// Rows 0 and 5.
CC_INLINE Vec input6_05(Vec first, Vec middle, Vec last) { return fma(set1(-2.5f), middle, add(first, last)); }

// A row of B^T d, times B.
template <class Part>
CC_INLINE void input6_row(const Vec (&t)[6], float* v, int64_t step, Part part) {
  Vec plus, minus;
  store(v, input6_05(t[0], t[2], t[4]), part);
  input6_12(t[1], t[2], t[3], t[4], plus, minus);
  store(v + step, plus, part);
  store(v + 2 * step, minus, part);
  input6_34(t[1], t[2], t[3], t[4], plus, minus);
  store(v + 3 * step, plus, part);
  store(v + 4 * step, minus, part);
  store(v + 5 * step, input6_05(t[1], t[3], t[5]), part);
}

// B^T d B of a vector of channels, at most two rows of B^T d at a time: reading d again is cheaper than spilling.
template <class Part>
CC_INLINE void input6_vector(const float* d, int64_t row, int64_t pixel, float* v, int64_t step, Part part) {
  const auto at = [&](int i, int j) CC_LAMBDA { return load(d + i * row + j * pixel); };
  Vec s[6], t[6];
  CC_UNROLL for (int j = 0; j < 6; ++j) t[j] = input6_05(at(0, j), at(2, j), at(4, j));
  input6_row(t, v, step, part);
  CC_UNROLL for (int j = 0; j < 6; ++j) input6_12(at(1, j), at(2, j), at(3, j), at(4, j), s[j], t[j]);
  input6_row(s, v + 6 * step, step, part);
  input6_row(t, v + 12 * step, step, part);
  CC_UNROLL for (int j = 0; j < 6; ++j) input6_34(at(1, j), at(2, j), at(3, j), at(4, j), s[j], t[j]);
  input6_row(s, v + 18 * step, step, part);
  input6_row(t, v + 24 * step, step, part);
  CC_UNROLL for (int j = 0; j < 6; ++j) t[j] = input6_05(at(1, j), at(3, j), at(5, j));
  input6_row(t, v + 30 * step, step, part);
}

// body(floats, row pitch, pixel pitch, channel, part) for each vector of a patch's channels: in place, or, where pixels
// lie outside the image or lanes beyond the channels, a copy framed with zeros.
template <int Alpha, class Body>
CC_INLINE void for_vectors(const WinogradPatch& p, int64_t channels, Body&& body) {
  constexpr int kRow = Alpha * kLanes;
  float frame[Alpha * kRow];
  const auto copy = [&](int64_t c, auto part) CC_LAMBDA {
    for (int i = p.top; i < p.bottom; ++i)
      for (int j = p.left; j < p.right; ++j)
        store(frame + i * kRow + j * kLanes, load(p.x + i * p.row_pitch + j * p.pixel_pitch + c, part));
  };
  const bool inside = p.top == 0 && p.left == 0 && p.bottom == Alpha && p.right == Alpha;
  if (!inside)
    for (int i = 0; i < Alpha * Alpha; ++i) store(frame + i * kLanes, zero());
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
    if (inside) {
      body(p.x + c, p.row_pitch, p.pixel_pitch, c, Whole{});
    } else {
      copy(c, Whole{});
      body(frame, kRow, kLanes, c, Whole{});
    }
  }
  if (c < channels) {
    const Tail tail{static_cast<int>(channels - c)};
    copy(c, tail);
    body(frame, kRow, kLanes, c, tail);
  }
}

void input6(const WinogradPatch& d, int64_t channels, float* v, int64_t step) {
  for_vectors<6>(d, channels, [&](const float* x, int64_t row, int64_t pixel, int64_t c, auto part) CC_LAMBDA {
    input6_vector(x, row, pixel, v + c, step, part);
  });
}

}  // namespace

WinogradKernels winograd_kernels() { return {input6}; }

}  // namespace convcore::CONVCORE_ISA
