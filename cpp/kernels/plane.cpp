// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/plane.h"

#include "simd/loop.h"

namespace convcore::CONVCORE_ISA {
namespace {

#define CC_UNROLL _Pragma("GCC unroll 32")

// Accumulators and one operand's vectors fill the registers: 32 of them, or 16.
#if CC_ISA_NUMBER == CC_ISA_avx512 || CC_ISA_NUMBER == CC_ISA_neon
constexpr int kVectors[kMaxPlaneOutputs] = {8, 8, 8, 6, 5, 4, 3, 3}, kRows[kMaxPlaneOutputs] = {8, 8, 7, 6, 5, 4, 3, 3};
#else
constexpr int kVectors[kMaxPlaneOutputs] = {8, 6, 4, 3, 2, 2, 1, 1}, kRows[kMaxPlaneOutputs] = {7, 5, 3, 3, 2, 2, 1, 1};
#endif

// A value that is loaded once: without this GCC makes a memory operand of each use, and unaligned ones are dear.
CC_INLINE Vec load_once(const float* p) {
  Vec v = load(p);
#if defined(__x86_64__)
  __asm__("" : "+v"(v));
#elif defined(__aarch64__)
  __asm__("" : "+w"(v));
#endif
  return v;
}

constexpr int kHalf = kLanes / 2;
constexpr int kAhead = 32;  // pixels that are fetched early

CC_INLINE int at_most_lanes(int64_t n) { return n < kLanes ? static_cast<int>(n) : kLanes; }

void zeros(float* out, int64_t n) {
  for_row(n, [&](int64_t j, auto part) CC_LAMBDA { store(out + j, zero(), part); });
}

// Two pixels share a vector: less than half the work.
void few_to_planes(const float* in, int64_t pitch, int64_t pixels, int channels, float* out, int64_t plane) {
  for (int64_t p = 0; p < pixels; p += kLanes) {
    const int n = at_most_lanes(pixels - p);
    Vec r[kHalf];
    CC_UNROLL for (int i = 0; i < kHalf; ++i) {
      const float* at = in + (p + i) * pitch;
      r[i] = load_halves(at, i + kHalf < n ? at + kHalf * pitch : at, i < n ? channels : 0);
    }
    transpose_halves(r);
    CC_UNROLL for (int i = 0; i < kHalf; ++i)
      if (i < channels) store_some(out + i * plane + p, r[i], n);
  }
}

void to_planes(const float* in, int64_t pitch, int64_t pixels, int64_t channels, int64_t left, int64_t width,
               float* out, int64_t plane) {
  for (int64_t c = 0; c < channels; ++c) {
    zeros(out + c * plane, left);
    zeros(out + c * plane + left + pixels, width - left - pixels);
  }
  out += left;
  if (channels == 1 && pitch == 1) {
    for_row(pixels, [&](int64_t j, auto part) CC_LAMBDA { store(out + j, load(in + j, part), part); });
    return;
  }
  if (channels <= kHalf) return few_to_planes(in, pitch, pixels, static_cast<int>(channels), out, plane);
  for (int64_t p = 0; p < pixels; p += kLanes)
    for (int64_t c = 0; c < channels; c += kLanes) {
      const int rows = at_most_lanes(pixels - p), columns = at_most_lanes(channels - c);
      Vec r[kLanes];
      if (rows == kLanes && columns == kLanes) {
        CC_UNROLL for (int i = 0; i < kLanes; ++i) {
          r[i] = load(in + (p + i) * pitch + c);
          __builtin_prefetch(in + (p + i + kAhead) * pitch + c);
        }
      } else {
        CC_UNROLL for (int i = 0; i < kLanes; ++i) r[i] = i < rows ? load_n(in + (p + i) * pitch + c, columns) : zero();
      }
      transpose(r);
      CC_UNROLL for (int i = 0; i < kLanes; ++i)
        if (i < columns) store_some(out + (c + i) * plane + p, r[i], rows);
    }
}

// One vector of each output, to the pixels' places.
template <int M>
CC_INLINE void store_pixels(const Vec (&acc)[M], int pixels, float* y, const float* addend, const PlaneArgs& g) {
  const int64_t y_step = g.y_step, add_step = g.add_step;
  const Vec lower = set1(g.lower), upper = set1(g.upper);
  const auto finish = [&](Vec r) CC_LAMBDA { return min(upper, max(lower, r)); };  // in this order a NaN stays a NaN
  if (M == 1 && y_step == 1 && (!addend || add_step == 1)) {
    Vec r = add(acc[0], g.bias ? set1(g.bias[0]) : zero());
    if (addend) r = add(r, load_some(addend, pixels));
    return store_some(y, finish(r), pixels);
  }
  if constexpr (M <= kHalf) {
    const Vec bias = g.bias ? load_halves(g.bias, g.bias, M) : zero();
    Vec r[kHalf];
    CC_UNROLL for (int i = 0; i < kHalf; ++i) r[i] = i < M ? acc[i < M ? i : 0] : zero();
    transpose_halves(r);
    if (pixels == kLanes && !addend) {
      CC_UNROLL for (int i = 0; i < kHalf; ++i)
        store_halves(y + i * y_step, y + (i + kHalf) * y_step, finish(add(r[i], bias)), M);
      return;
    }
    CC_UNROLL for (int i = 0; i < kHalf; ++i) {
      if (i >= pixels) break;
      const int64_t other = i + kHalf < pixels ? kHalf : 0;  // the second pixel of the vector, if there is one
      Vec v = add(r[i], bias);
      if (addend) v = add(v, load_halves(addend + i * add_step, addend + (i + other) * add_step, M));
      v = finish(v);
      if (other)
        store_halves(y + i * y_step, y + (i + other) * y_step, v, M);
      else
        store_n(y + i * y_step, v, M);
    }
    return;
  }
  CC_UNROLL for (int m = 0; m < M; m += kLanes) {
    constexpr int kLast = M % kLanes ? M % kLanes : kLanes;
    const int n = m + kLanes < M ? kLanes : kLast;
    const Vec bias = g.bias ? load_some(g.bias + m, n) : zero();
    Vec r[kLanes];
    CC_UNROLL for (int i = 0; i < kLanes; ++i) r[i] = m + i < M ? acc[m + i < M ? m + i : 0] : zero();
    transpose(r);
    CC_UNROLL for (int i = 0; i < kLanes; ++i) {
      if (i >= pixels) break;
      Vec v = add(r[i], bias);
      if (addend) v = add(v, load_some(addend + i * add_step + m, n));
      store_some(y + i * y_step + m, finish(v), n);
    }
  }
}

template <int M>
void tile(const PlaneArgs& g) {
  constexpr int N = kVectors[M - 1];
  Vec acc[N][M];
  CC_UNROLL for (int n = 0; n < N; ++n) CC_UNROLL for (int m = 0; m < M; ++m) acc[n][m] = zero();
  const float* x[N];
  CC_UNROLL for (int n = 0; n < N; ++n) x[n] = g.x + g.at[n < g.vectors ? n : 0];
  const float* w = g.w;
  for (int64_t c = 0; c < g.channels; ++c)
    for (int64_t t = 0; t < g.taps; ++t, w += M) {
      const int64_t offset = c * g.plane + g.offsets[t];
      if constexpr (N < M) {
        Vec xv[N];
        CC_UNROLL for (int n = 0; n < N; ++n) xv[n] = load_once(x[n] + offset);
        CC_UNROLL for (int m = 0; m < M; ++m) {
          const Vec wv = set1(w[m]);
          CC_UNROLL for (int n = 0; n < N; ++n) acc[n][m] = fma(wv, xv[n], acc[n][m]);
        }
      } else {
        Vec wv[M];
        CC_UNROLL for (int m = 0; m < M; ++m) wv[m] = set1(w[m]);
        CC_UNROLL for (int n = 0; n < N; ++n) {
          const Vec xv = load_once(x[n] + offset);
          CC_UNROLL for (int m = 0; m < M; ++m) acc[n][m] = fma(wv[m], xv, acc[n][m]);
        }
      }
    }
  CC_UNROLL for (int n = 0; n < N; ++n)
    if (n < g.vectors) store_pixels<M>(acc[n], g.pixels[n], g.y[n], g.add ? g.add[n] : nullptr, g);
}

template <int M, int R>
void product(const PlaneProductArgs& g, int64_t first) {
  Vec acc[M][R];
  CC_UNROLL for (int m = 0; m < M; ++m) CC_UNROLL for (int r = 0; r < R; ++r) acc[m][r] = zero();
  const float* x[R];
  CC_UNROLL for (int r = 0; r < R; ++r) x[r] = g.x + g.offsets[first + r];
  for (int64_t i = 0; i < g.length; i += kLanes) {
    Vec xv[R];
    CC_UNROLL for (int r = 0; r < R; ++r) xv[r] = load_once(x[r] + i);
    CC_UNROLL for (int m = 0; m < M; ++m) {
      const Vec dv = load_once(g.dy + m * g.plane + i);
      CC_UNROLL for (int r = 0; r < R; ++r) acc[m][r] = fma(dv, xv[r], acc[m][r]);
    }
  }
  CC_UNROLL for (int m = 0; m < M; ++m) CC_UNROLL for (int r = 0; r < R; ++r) {
    float* sum = g.sums + (m * g.rows + first + r) * kLanes;
    store(sum, g.accumulate ? add(load(sum), acc[m][r]) : acc[m][r]);
  }
}

template <int M, int R>
void pick_rows(int64_t rows, const PlaneProductArgs& g, int64_t first) {
  if constexpr (R > 1) {
    if (rows < R) return pick_rows<M, R - 1>(rows, g, first);
  }
  product<M, R>(g, first);
}

// Rows are shared out evenly: no thin last tile.
template <int M>
void products(const PlaneProductArgs& g) {
  constexpr int R = kRows[M - 1];
  const int64_t tiles = (g.rows + R - 1) / R;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t first = g.rows * t / tiles;
    pick_rows<M, R>(g.rows * (t + 1) / tiles - first, g, first);
  }
}

template <int M>
void any_tile(int outputs, const PlaneArgs& g) {
  if constexpr (M > 1) {
    if (outputs < M) return any_tile<M - 1>(outputs, g);
  }
  tile<M>(g);
}

template <int M>
void any_product(int outputs, const PlaneProductArgs& g) {
  if constexpr (M > 1) {
    if (outputs < M) return any_product<M - 1>(outputs, g);
  }
  products<M>(g);
}

}  // namespace

PlaneKernels plane_kernels() {
  PlaneKernels k{kLanes, {}, {}, to_planes, any_tile<kMaxPlaneOutputs>, any_product<kMaxPlaneOutputs>};
  for (int i = 0; i < kMaxPlaneOutputs; ++i) k.tile_vectors[i] = kVectors[i], k.product_rows[i] = kRows[i];
  return k;
}

}  // namespace convcore::CONVCORE_ISA
