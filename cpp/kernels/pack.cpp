// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/pack.h"

#include "simd/loop.h"

namespace convcore::CONVCORE_ISA {
namespace {

enum {
  kChunk = 64,  // floats of each row that are read together: whole cache lines, few pages
  kLine = 16,   // floats of a cache line
};

CC_INLINE int at_most_lanes(int64_t n) { return n < kLanes ? static_cast<int>(n) : kLanes; }

// Columns [begin, begin + n) of `rows` rows; c and t are those of `begin`, stored: how many floats of a vector.
template <bool PastCaches>
CC_INLINE void transpose_square(const TransposeArgs& a, const float* src, int rows, int n, int64_t c, int64_t t,
                                float* dst, int stored) {
  for (int j = 0; j < rows; ++j) __builtin_prefetch(src + j * a.pitch + a.ahead);
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
    float* out = dst + (a.place[t] + c) * a.step;
    if (a.place[t] >= 0) PastCaches ? stream(out, r[i]) : store_some(out, r[i], stored);
    if (++t == a.taps) t = 0, ++c;
  }
}

template <bool PastCaches>
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
        transpose_square<PastCaches>(a, a.src + j * a.pitch + i, rows, at_most_lanes(i1 - i), c, t, a.dst + j, stored);
        c += channel_step, t += tap_step;
        if (t >= a.taps) t -= a.taps, ++c;
      }
    }
    c0 = c, t0 = t;
  }
}

// A vector that is less than a cache line would go to memory as such.
void transpose_weights(const TransposeArgs& a) {
  a.past_caches && kLanes == kLine ? transpose_blocks<true>(a) : transpose_blocks<false>(a);
}

// Taps t0 .. t0 + n - 1 of kLanes columns. Vectors are stored whole: what lies beyond the taps is a later column's.
CC_INLINE void interleave_square(const float* src, int64_t pitch, int64_t taps, int n, int columns, float* dst) {
  Vec r[kLanes];
#pragma GCC unroll 16
  for (int t = 0; t < kLanes; ++t) r[t] = t < n ? load_some(src + t * pitch, columns) : zero();
  transpose(r);
#pragma GCC unroll 16
  for (int j = 0; j < kLanes; ++j) store(dst + j * taps, r[j]);
}

// The last taps first: what they leave in the columns behind them is then overwritten.
void interleave(const float* src, int64_t pitch, int64_t taps, int64_t columns, float* dst) {
  for (int64_t j = 0; j < columns; j += kLanes)
    for (int64_t t = (taps - 1) / kLanes * kLanes; t >= 0; t -= kLanes)
      interleave_square(src + t * pitch + j, pitch, taps, at_most_lanes(taps - t), at_most_lanes(columns - j),
                        dst + j * taps + t);
}

template <bool PastCaches>
CC_INLINE void store_lines(const float* src, int64_t count, float* dst) {
  int64_t i = static_cast<int64_t>((64 - (reinterpret_cast<uintptr_t>(dst) & 63)) / sizeof(float)) % kLine;
  if (i > count) i = count;
  for (int64_t k = 0; k < i; ++k) dst[k] = src[k];
  for (; i + kLine <= count; i += kLine) {
#pragma GCC unroll 4
    for (int v = 0; v < kLine; v += kLanes) {
      if constexpr (PastCaches)
        stream(dst + i + v, load(src + i + v));
      else
        store(dst + i + v, load(src + i + v));
    }
  }
  for (; i < count; ++i) dst[i] = src[i];
}

void store_rows(const float* src, int64_t src_pitch, int64_t rows, int64_t columns, float* dst, int64_t dst_pitch,
                bool past_caches) {
  for (int64_t i = 0; i < rows; ++i, src += src_pitch, dst += dst_pitch)
    past_caches ? store_lines<true>(src, columns, dst) : store_lines<false>(src, columns, dst);
}

void fence() { stream_fence(); }

void copy_rows(const float* src, int64_t pitch, int64_t rows, int64_t columns, float* dst, int64_t width) {
  for (int64_t i = 0; i < rows; ++i, src += pitch, dst += width) {
    for_row(columns, [&](int64_t j, auto part) CC_LAMBDA { store(dst + j, load(src + j, part), part); });
    for (int64_t j = columns; j < width; ++j) dst[j] = 0.0f;
  }
}

}  // namespace

PackKernels pack_kernels() { return {transpose_weights, interleave, store_rows, fence, copy_rows}; }

}  // namespace convcore::CONVCORE_ISA
