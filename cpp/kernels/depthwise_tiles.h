// SPDX-License-Identifier: BSD-3-Clause
// What the depthwise kernels share: how rows of outputs are cut into register tiles, and which taps lie inside.
#pragma once

#include "kernels/depthwise.h"
#include "simd/loop.h"

namespace convcore::CONVCORE_ISA {

// Compile-time loops, so that accumulators are registers.
#define CC_UNROLL _Pragma("GCC unroll 32")

// AVX-512 and NEON have 32 vector registers, the others 16.
constexpr bool kManyRegisters = CC_ISA_NUMBER == CC_ISA_avx512 || CC_ISA_NUMBER == CC_ISA_neon;

struct Range {
  int64_t begin, end;
};

CC_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
CC_INLINE int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
CC_INLINE int64_t ceil_div(int64_t a, int64_t b) { return a > 0 ? (a + b - 1) / b : 0; }

// The taps of output i that lie inside. (A division takes as long as many products: mostly there is none.)
CC_INLINE Range taps_inside(const DepthwiseAxis& a, int64_t i) {
  const int64_t first = i * a.step + a.first;
  if (a.tap_step == 1) {
    const int64_t end = most(0, least(a.taps, a.size - first));
    return {least(most(0, -first), end), end};
  }
  const int64_t end = least(a.taps, ceil_div(a.size - first, a.tap_step));
  return {least(ceil_div(-first, a.tap_step), end), end};
}
// The outputs below `count` whose tap k lies inside.
CC_INLINE Range outputs_inside(const DepthwiseAxis& a, int64_t k, int64_t count) {
  const int64_t first = a.first + k * a.tap_step, end = least(count, ceil_div(a.size - first, a.step));
  return {least(ceil_div(-first, a.step), end), end};
}

// Of the `columns` neighbours that a tile reads from input `first` on, those inside.
struct Inside {
  int begin, end;
};
CC_INLINE Inside columns_inside(int64_t first, int columns, int64_t size) {
  return {static_cast<int>(most(0, least(-first, columns))), static_cast<int>(most(0, least(size - first, columns)))};
}
// Whether column u of a tile is inside, where only the outermost K columns on each side may be outside.
template <int K>
CC_INLINE bool is_inside(const Inside& inside, int u, int columns) {
  return (u >= K || u >= inside.begin) && (u < columns - K || u < inside.end);
}
// That holds for all tiles, unless some outputs see nothing but padding.
CC_INLINE bool all_see_input(const DepthwiseAxis& a, int64_t count) {
  return a.first > -a.taps && a.input(count - 1, 0) < a.size;
}

// The next pointer is computed from this one: with many multiples of a pitch in registers there would be too few.
CC_INLINE const float* next(const float* p, int64_t pitch) {
  p += pitch;
  __asm__("" : "+r"(p));
  return p;
}

// Fetches `count` pixels into L2. They may lie beyond the end of memory.
CC_INLINE void fetch_pixels(const float* p, int64_t pitch, int count) {
  CC_UNROLL for (int i = 0; i < count; ++i, p = next(p, pitch)) __builtin_prefetch(p, 0, 2);
}

// A width of tiles, for generic lambdas.
template <int T>
struct TileOf {
  static constexpr int size = T;
};

// Calls body(col, count, TileOf<T>) for runs of `count` tiles of T columns from `col` on, which cover [0, cols). T is
// one of 8, 7 (maps of 7, 14 and 28 columns are common), 4, 2, 1; at most Most (8, 7 or 4), and 4 for tails, which are
// not worth more code.
template <int T, class Body>
CC_INLINE void for_rest(int64_t col, int64_t cols, Body&& body) {
  if (cols - col >= T) {
    body(col, (cols - col) / T, TileOf<T>{});
    col += (cols - col) / T * T;
  }
  if constexpr (T > 1) for_rest<T / 2>(col, cols, body);
}
template <int Most, class Body>
CC_INLINE void for_tiles(int64_t cols, bool single, Whole, Body&& body) {
  if (single) return for_rest<1>(0, cols, body);
  if constexpr (Most >= 7)
    if (cols % 7 == 0 && (Most == 7 || cols % 8)) return body(int64_t{0}, cols / 7, TileOf<7>{});
  for_rest<Most == 8 ? 8 : 4>(0, cols, body);
}
template <int Most, class Body>
CC_INLINE void for_tiles(int64_t cols, bool single, Tail, Body&& body) {
  single ? for_rest<1>(0, cols, body) : for_rest<4>(0, cols, body);
}

// acc: the sum with bias and residual. In this order a NaN stays a NaN.
template <class Part>
CC_INLINE void store_output(float* y, Vec acc, Vec lower, Vec upper, Part part) {
  store(y, min(upper, max(lower, acc)), part);
}

}  // namespace convcore::CONVCORE_ISA
