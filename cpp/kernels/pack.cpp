// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/pack.h"

#include "simd/loop.h"

namespace convcore::CONVCORE_ISA {
namespace {

enum { kChunk = 64 };  // floats of each row that are read together: whole cache lines, few pages

CC_INLINE int at_most_lanes(int64_t n) { return n < kLanes ? static_cast<int>(n) : kLanes; }

// Columns [begin, begin + n) of `rows` rows; c and t are those of `begin`, stored: how many floats of a vector.
CC_INLINE void transpose_square(const TransposeArgs& a, const float* src, int rows, int n, int64_t c, int64_t t,
                                float* dst, int stored) {
  Vec r[kLanes];
  if (rows == kLanes && n == kLanes) {
#pragma GCC unroll 16
    for (int j = 0; j < kLanes; ++j) r[j] = load(src + j * a.pitch);
  } else {
#pragma GCC unroll 16
    for (int j = 0; j < kLanes; ++j) r[j] = j < rows ? load_n(src + j * a.pitch, n) : zero();
  }
  transpose(r);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i >= n) return;
    if (a.place[t] >= 0) store_some(dst + a.place[t] + c * a.step, r[i], stored);
    if (++t == a.taps) t = 0, ++c;
  }
}

void transpose_blocks(const TransposeArgs& a) {
  const int64_t columns = a.channels * a.taps, channel_step = kLanes / a.taps, tap_step = kLanes % a.taps;
  int64_t c0 = 0, t0 = 0;  // of column i0
  for (int64_t i0 = 0; i0 < columns; i0 += kChunk) {
    const int64_t i1 = i0 + kChunk < columns ? i0 + kChunk : columns;
    int64_t c = c0, t = t0;
    for (int64_t j = 0; j < a.width; j += kLanes) {
      const int rows = a.rows > j ? at_most_lanes(a.rows - j) : 0, stored = at_most_lanes(a.width - j);
      c = c0, t = t0;
      for (int64_t i = i0; i < i1; i += kLanes) {
        transpose_square(a, a.src + j * a.pitch + i, rows, at_most_lanes(i1 - i), c, t, a.dst + j, stored);
        c += channel_step, t += tap_step;
        if (t >= a.taps) t -= a.taps, ++c;
      }
    }
    c0 = c, t0 = t;
  }
}

void copy_rows(const float* src, int64_t pitch, int64_t rows, int64_t columns, float* dst, int64_t width) {
  for (int64_t i = 0; i < rows; ++i, src += pitch, dst += width) {
    for_row(columns, [&](int64_t j, auto part) CC_LAMBDA { store(dst + j, load(src + j, part), part); });
    for (int64_t j = columns; j < width; ++j) dst[j] = 0.0f;
  }
}

}  // namespace

PackKernels pack_kernels() { return {transpose_blocks, copy_rows}; }

}  // namespace convcore::CONVCORE_ISA
