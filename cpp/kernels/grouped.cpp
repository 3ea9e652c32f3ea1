// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/grouped.h"

#include "simd/loop.h"

namespace convcore::CONVCORE_ISA {
namespace {

using Source = GroupedLanes::Source;

// Compile-time loops, so that accumulators are registers.
#define CC_UNROLL _Pragma("GCC unroll 32")

// Input channel k of each lane's group, from any pixel.
template <Source S>
struct Channel {
  int64_t start0, start1;
  Index index;

  CC_LAMBDA Channel(const GroupedLanes& l, int64_t k) {
    start0 = l.input + (S == Source::broadcast ? k : l.start[S == Source::single ? 0 : 2 * k]);
    if constexpr (S == Source::pair) start1 = l.input + l.start[2 * k + 1];
    if constexpr (S != Source::broadcast) index = load_index(l.index + k * kLanes);
  }
  CC_LAMBDA Vec of(const float* pixel) const {
    if constexpr (S == Source::broadcast) return set1(pixel[start0]);
    if constexpr (S == Source::pair) return permute2(load(pixel + start0), load(pixel + start1), index);
    return permute(load(pixel + start0), index);
  }
};

// An input pixel is permuted once for all of the segment's taps.
template <int P, int T, Source S>
CC_INLINE void add_segment(Vec (&acc)[P], const float* const* x, const GroupedLanes& l, const float* w) {
  for (int64_t k = 0; k < l.depth; ++k, w += T * kLanes) {
    const Channel<S> channel(l, k);
    __asm__("" : "+r"(x));  // pointers are loaded where they are used: there are not enough registers to keep them
    Vec b[T];
    CC_UNROLL for (int t = 0; t < T; ++t) b[t] = load(w + t * kLanes);
    CC_UNROLL for (int j = 0; j < P + T - 1; ++j) {
      const Vec a = channel.of(x[j]);
      CC_UNROLL for (int t = 0; t < T; ++t)
        if (j >= t && j - t < P) acc[j - t] = fma(a, b[t], acc[j - t]);
    }
  }
}

// One for all tiles, which would otherwise be twice the code.
__attribute__((noinline)) void finish(const GroupedTile& g, const GroupedLanes& l, const Vec* acc) {
  const Vec lower = set1(g.lower), upper = set1(g.upper);
  const Vec bias = g.bias ? load_some(g.bias + l.channel, l.columns) : zero();
  float* y = g.y + l.channel;
  const float* residual = g.residual ? g.residual + l.channel : nullptr;
  for (int p = 0; p < g.pixels; ++p, y += g.y_step) {
    Vec r = add(acc[p], bias);
    if (residual) r = add(r, load_some(residual + p * g.residual_step, l.columns));
    store_some(y, min(upper, max(lower, r)), l.columns);  // in this order a NaN stays a NaN
  }
}

template <int P, Source S>
void tile(const GroupedTile& g, const GroupedLanes& l, const float* w) {
  Vec acc[P];
  CC_UNROLL for (int p = 0; p < P; ++p) acc[p] = zero();
  for (int64_t s = 0; s < g.segments; ++s) {
    const GroupedSegment& segment = g.segment[s];
    if (segment.taps == 3)
      add_segment<P, 3, S>(acc, segment.x, l, w + segment.weights);
    else if (segment.taps == 2)
      add_segment<P, 2, S>(acc, segment.x, l, w + segment.weights);
    else
      add_segment<P, 1, S>(acc, segment.x, l, w + segment.weights);
  }
  if (l.columns == kLanes && !g.residual) {
    const Vec lower = set1(g.lower), upper = set1(g.upper), bias = g.bias ? load(g.bias + l.channel) : zero();
    float* y = g.y + l.channel;
    CC_UNROLL for (int p = 0; p < P; ++p, y += g.y_step) store(y, min(upper, max(lower, add(acc[p], bias))));
    return;
  }
  Vec result[P];
  CC_UNROLL for (int p = 0; p < P; ++p) result[p] = acc[p];
  finish(g, l, result);
}

// The pixel count picks the instantiation: P, P - 1, ..., 1.
template <int P, Source S>
void tile_pixels(const GroupedTile& g, const GroupedLanes& l, const float* w) {
  if constexpr (P > 1) {
    if (g.pixels < P) return tile_pixels<P - 1, S>(g, l, w);
  }
  tile<P, S>(g, l, w);
}

template <int P>
void tile_source(const GroupedTile& g, const GroupedLanes& l, const float* w) {
  if (l.source == Source::broadcast) return tile_pixels<P, Source::broadcast>(g, l, w);
  if (l.source == Source::pair) return tile_pixels<P, Source::pair>(g, l, w);
  tile_pixels<P, Source::shifted>(g, l, w);
}

// The input channels of each lane's group, of one pixel.
template <Source S>
struct Pixel {
  const GroupedLanes& l;
  const float* x;
  Vec v;

  CC_LAMBDA Pixel(const GroupedLanes& lanes, const float* pixel) : l(lanes), x(pixel) {
    if constexpr (S == Source::single) v = load(x + l.input + l.start[0]);
  }
  CC_LAMBDA Vec channel(int64_t k) const {
    if constexpr (S == Source::single) return permute(v, load_index(l.index + k * kLanes));
    return Channel<S>(l, k).of(x);
  }
};

// Stride and dilation 1: input column j is permuted once, and meets the T outputs that see it, j - offset and those
// before.
template <int T, int K, Source S>
CC_INLINE void sum_sliding(Vec (&acc)[K][T], const GroupedSums& g, const GroupedLanes& l, int64_t k0) {
  const int64_t begin = g.offset > 0 ? g.offset : 0, reach = g.out_width + T - 1 + g.offset;
  const int64_t end = reach < g.width ? reach : g.width;
  for (int64_t r = 0; r < g.rows; ++r) {
    const float *x = g.x[r], *dy = g.dy[r] + l.channel;
    const auto output = [&](int64_t i) CC_LAMBDA {
      return load(i >= 0 && i < g.out_width ? dy + i * g.dy_pitch : g.zeros);
    };
    Vec d[T];
    CC_UNROLL for (int t = 0; t + 1 < T; ++t) d[t] = output(begin - g.offset - 1 - t);
    for (int64_t j = begin; j < end; ++j) {
      CC_UNROLL for (int t = T - 1; t > 0; --t) d[t] = d[t - 1];
      d[0] = output(j - g.offset);
      const Pixel<S> pixel(l, x + j * g.x_pitch);
      CC_UNROLL for (int k = 0; k < K; ++k) {
        const Vec a = pixel.channel(k0 + k);
        CC_UNROLL for (int t = 0; t < T; ++t) acc[k][t] = fma(a, d[t], acc[k][t]);
      }
    }
  }
}

// Any stride and dilation: output i is loaded once, and meets the T inputs that it sees.
template <int T, int K, Source S>
CC_INLINE void sum_strided(Vec (&acc)[K][T], const GroupedSums& g, const GroupedLanes& l, int64_t k0) {
  const int64_t step = g.stride * g.x_pitch, reach = g.dilation * g.x_pitch;
  const uint64_t width = static_cast<uint64_t>(g.width);
  for (int64_t r = 0; r < g.rows; ++r) {
    const float *x = g.x[r] + g.offset * g.x_pitch, *dy = g.dy[r] + l.channel;
    int64_t j = g.offset;
    for (int64_t i = 0; i < g.out_width; ++i, j += g.stride, x += step, dy += g.dy_pitch) {
      const Vec d = load(dy);
      CC_UNROLL for (int t = 0; t < T; ++t) {
        const bool inside = static_cast<uint64_t>(j + t * g.dilation) < width;
        const Pixel<S> pixel(l, inside ? x + t * reach : g.zeros);
        CC_UNROLL for (int k = 0; k < K; ++k) acc[k][t] = fma(pixel.channel(k0 + k), d, acc[k][t]);
      }
    }
  }
}

template <int T, int K, Source S>
void sum_channels(const GroupedSums& g, const GroupedLanes& l, int64_t k0, float* sums) {
  sums += k0 * T * kLanes;
  Vec acc[K][T];
  CC_UNROLL for (int k = 0; k < K; ++k) CC_UNROLL for (int t = 0; t < T; ++t)
    acc[k][t] = load(sums + (k * T + t) * kLanes);
  if (g.stride == 1 && g.dilation == 1)
    sum_sliding<T, K, S>(acc, g, l, k0);
  else
    sum_strided<T, K, S>(acc, g, l, k0);
  CC_UNROLL for (int k = 0; k < K; ++k) CC_UNROLL for (int t = 0; t < T; ++t)
    store(sums + (k * T + t) * kLanes, acc[k][t]);
}

// As many input channels at a time as accumulators fit the registers.
template <int T, Source S>
void sum_depth(const GroupedSums& g, const GroupedLanes& l, float* sums) {
  int64_t k = 0;
#if CC_ISA_NUMBER == CC_ISA_avx512 || CC_ISA_NUMBER == CC_ISA_neon
  for (; k + 8 <= l.depth; k += 8) sum_channels<T, 8, S>(g, l, k, sums);
#endif
  for (; k + 4 <= l.depth; k += 4) sum_channels<T, 4, S>(g, l, k, sums);
  if (k + 3 == l.depth) return sum_channels<T, 3, S>(g, l, k, sums);
  if (k + 2 == l.depth) return sum_channels<T, 2, S>(g, l, k, sums);
  if (k + 1 == l.depth) return sum_channels<T, 1, S>(g, l, k, sums);
}

template <int T>
void sum_source(const GroupedSums& g, const GroupedLanes& l, float* sums) {
  if (l.source == Source::broadcast) return sum_depth<T, Source::broadcast>(g, l, sums);
  if (l.source == Source::single) return sum_depth<T, Source::single>(g, l, sums);
  if (l.source == Source::shifted) return sum_depth<T, Source::shifted>(g, l, sums);
  sum_depth<T, Source::pair>(g, l, sums);
}

void sums(const GroupedSums& g, const GroupedLanes& l, float* sums) {
  if (g.taps == 3) return sum_source<3>(g, l, sums);
  if (g.taps == 2) return sum_source<2>(g, l, sums);
  sum_source<1>(g, l, sums);
}

void copy(int64_t pixels, int64_t channels, const float* from, int64_t from_pitch, float* to, int64_t to_pitch) {
  const int64_t whole = channels / kLanes * kLanes;
  const int rest = static_cast<int>(channels - whole);
  for (; pixels > 0; --pixels, from += from_pitch, to += to_pitch) {
    for (int64_t c = 0; c < whole; c += kLanes) store(to + c, load(from + c));
    if (rest) store_n(to + whole, load_n(from + whole, rest), rest);
  }
}

}  // namespace

// Accumulators, the weights of three taps, an index and a permuted input must fit the registers.
GroupedKernels grouped_kernels() {
#if CC_ISA_NUMBER == CC_ISA_avx512
  return {kLanes, 14, {{0.6f, 0.6f, 0.6f, 0.37f}, {0.92f, 0.8f, 0.8f, 0.58f}}, tile_source<14>, copy, sums};
#elif CC_ISA_NUMBER == CC_ISA_avx2
  return {kLanes, 11, {{0.6f, 0.6f, 0.6f, 0.3f}, {0.9f, 0.8f, 0.8f, 0.5f}}, tile_source<11>, copy, sums};
#elif CC_ISA_NUMBER == CC_ISA_neon
  return {kLanes, 14, {{0.6f, 0.6f, 0.6f, 0.37f}, {0.9f, 0.8f, 0.8f, 0.58f}}, tile_source<14>, copy, sums};
#else
  return {kLanes, 8, {{0.6f, 0.2f, 0.2f, 0.1f}, {0.8f, 0.3f, 0.3f, 0.15f}}, tile_source<8>, copy, sums};
#endif
}

}  // namespace convcore::CONVCORE_ISA
