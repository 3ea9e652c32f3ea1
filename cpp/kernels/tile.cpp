// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/tile.h"

#include "simd/vec.h"

namespace convcore::CONVCORE_ISA {
namespace {

// Compile-time loops, so that accumulators are registers.
#define CC_UNROLL _Pragma("GCC unroll 32")

template <int M, int V>
CC_INLINE void store_tile(const Vec (&acc)[M][V], int columns, float* const* y, const TileStore& st) {
  if (columns == V * kLanes && !st.bias && !st.add && st.lower == -__builtin_inff() && st.upper == __builtin_inff()) {
    CC_UNROLL for (int p = 0; p < M; ++p) CC_UNROLL for (int v = 0; v < V; ++v) store(y[p] + v * kLanes, acc[p][v]);
    return;
  }
  const Vec lower = set1(st.lower), upper = set1(st.upper);
  CC_UNROLL for (int v = 0; v < V; ++v) {
    const int n = columns - v * kLanes;
    if (n <= 0) return;
    const bool whole = n >= kLanes;
    const Vec bias = !st.bias ? zero() : whole ? load(st.bias + v * kLanes) : load_n(st.bias + v * kLanes, n);
    CC_UNROLL for (int p = 0; p < M; ++p) {
      float* out = y[p] + v * kLanes;
      Vec r = add(acc[p][v], bias);
      if (st.add) r = add(r, whole ? load(st.add[p] + v * kLanes) : load_n(st.add[p] + v * kLanes, n));
      r = min(upper, max(lower, r));  // in this order a NaN stays a NaN
      if (whole)
        store(out, r);
      else
        store_n(out, r, n);
    }
  }
}

constexpr int kLine = 16;  // floats of a cache line

// What will be added to, or overwritten, is fetched while a tile is computed.
template <int V>
CC_INLINE void prefetch_row(int columns, const float* y) {
  CC_UNROLL for (int v = 0; v < V; v += kLine / kLanes ? kLine / kLanes : 1)
    if (v * kLanes < columns) __builtin_prefetch(y + v * kLanes, 1);
}

template <int M, int V>
CC_INLINE void prefetch_tile(int columns, const float* const* y) {
  CC_UNROLL for (int p = 0; p < M; ++p) prefetch_row<V>(columns, y[p]);
}

// InRuns: the sum of the runs that are done waits in memory.
template <int M, int V, bool InRuns>
void gather(int columns, const float* const* x, const int64_t* offsets, int64_t segments, int64_t length,
            const float* w, float* const* y, const TileStore& st, int following) {
  if (st.add) prefetch_tile<M, V>(columns, st.add);
  for (int p = M; p < M + following; ++p) prefetch_row<V>(columns, y[p]);
  if (segments > 1) following = 0;  // the neighbours of these pixels are in the cache
  Vec acc[M][V];
  CC_UNROLL for (int p = 0; p < M; ++p) CC_UNROLL for (int v = 0; v < V; ++v) acc[p][v] = zero();
  Vec sums[M][V], lost[M][V];
  if constexpr (InRuns)
    CC_UNROLL for (int p = 0; p < M; ++p) CC_UNROLL for (int v = 0; v < V; ++v) sums[p][v] = lost[p][v] = zero();
  int64_t blocks = 0;  // of kTileSteps products or fewer, that are done
  const float* ahead = st.ahead;
  for (int64_t s = 0; s < segments; ++s) {
    const int64_t end = offsets[s] + length;
    for (int64_t i = offsets[s]; i < end;) {
      for (int p = M; p < M + following; ++p) __builtin_prefetch(x[p] + i);
      for (int line = 0; line < st.ahead_lines; ++line, ahead += kLine) __builtin_prefetch(ahead, 0, 2);
      for (const int64_t stop = i + kTileSteps < end ? i + kTileSteps : end; i < stop; ++i) {
        Vec b[V];
        CC_UNROLL for (int v = 0; v < V; ++v) b[v] = load(w + v * kLanes);
        w += V * kLanes;
        CC_UNROLL for (int p = 0; p < M; ++p) {
          const Vec a = set1(x[p][i]);
          CC_UNROLL for (int v = 0; v < V; ++v) acc[p][v] = fma(a, b[v], acc[p][v]);
        }
      }
      if (InRuns && ++blocks % (kRunSteps / kTileSteps) == 0)
        CC_UNROLL for (int p = 0; p < M; ++p) CC_UNROLL for (int v = 0; v < V; ++v) {
          const Vec run = sub(acc[p][v], lost[p][v]), sum = add(sums[p][v], run);
          const Vec rest = sub(sub(sum, sums[p][v]), run);
          lost[p][v] = if_eq(sub(rest, rest), zero(), rest, zero());  // not of an infinite sum
          sums[p][v] = sum;
          acc[p][v] = zero();
        }
    }
  }
  if constexpr (InRuns)
    CC_UNROLL for (int p = 0; p < M; ++p) CC_UNROLL for (int v = 0; v < V; ++v) acc[p][v] =
        add(sums[p][v], sub(acc[p][v], lost[p][v]));
  store_tile<M, V>(acc, columns, y, st);
}

// Partial: fewer columns than NR, so that the last vector of b is read with a mask.
template <int M, int V, bool Partial>
void outer(int columns, const OuterArgs& g) {
  float* rows[M];
  CC_UNROLL for (int p = 0; p < M; ++p) rows[p] = g.c + p * g.c_pitch;
  if (g.accumulate) prefetch_tile<M, V>(columns, rows);
  Vec acc[M][V];
  CC_UNROLL for (int p = 0; p < M; ++p) CC_UNROLL for (int v = 0; v < V; ++v) acc[p][v] = zero();
  for (int64_t s = 0; s < g.segments; ++s) {
    const float* a = g.a + g.a_off[s];
    const float* b = g.b + g.b_off[s];
    for (int64_t k = 0; k < g.length; ++k) {
      Vec bv[V];
      CC_UNROLL for (int v = 0; v < V; ++v) {
        const int n = columns - v * kLanes;
        bv[v] = !Partial || n >= kLanes ? load(b + v * kLanes) : load_n(b + v * kLanes, n > 0 ? n : 0);
      }
      CC_UNROLL for (int p = 0; p < M; ++p) {
        const Vec av = set1(a[p]);
        CC_UNROLL for (int v = 0; v < V; ++v) acc[p][v] = fma(av, bv[v], acc[p][v]);
      }
      a += g.a_step;
      b += g.b_step;
    }
  }
  store_tile<M, V>(acc, columns, rows, {.add = g.accumulate ? rows : nullptr});
}

// The row count picks the instantiation: M, M - 1, ..., 1.
template <int M, int V>
void gather_rows(int rows, int columns, const float* const* x, const int64_t* offsets, int64_t segments, int64_t length,
                 const float* w, float* const* y, const TileStore& st, int following) {
  if constexpr (M > 1) {
    if (rows < M) return gather_rows<M - 1, V>(rows, columns, x, offsets, segments, length, w, y, st, following);
  }
  if (st.in_runs) return gather<M, V, true>(columns, x, offsets, segments, length, w, y, st, following);
  gather<M, V, false>(columns, x, offsets, segments, length, w, y, st, following);
}

template <int M, int V>
void outer_rows(int rows, int columns, const OuterArgs& args) {
  if constexpr (M > 1) {
    if (rows < M) return outer_rows<M - 1, V>(rows, columns, args);
  }
  columns < V * kLanes ? outer<M, V, true>(columns, args) : outer<M, V, false>(columns, args);
}

template <int M, int V>
TileShape tile(float efficiency) {
  static_assert(M <= kMaxTileRows);
  return {M, V * kLanes, efficiency, gather_rows<M, V>, outer_rows<M, V>};
}

void column_sum(const float* x, int64_t pixels, int64_t channels, int64_t pitch, float* out) {
  int64_t done = 0;
  for (int64_t c = 0; c < channels; ++c) out[c] = 0.0f;
  if (channels < kLanes && pitch == channels) {
    // kLanes pixels are `channels` whole vectors: lane l of vector v belongs to channel (v * kLanes + l) % channels.
    Vec acc[kLanes];
    for (int64_t v = 0; v < channels; ++v) acc[v] = zero();
    for (; done + kLanes <= pixels; done += kLanes)
      for (int64_t v = 0; v < channels; ++v) acc[v] = add(acc[v], load(x + done * channels + v * kLanes));
    for (int64_t v = 0; v < channels; ++v) {
      float lanes[kLanes];
      store(lanes, acc[v]);
      for (int l = 0; l < kLanes; ++l) out[(v * kLanes + l) % channels] += lanes[l];
    }
  }
  for (int64_t c = 0; c < channels; c += kLanes) {
    const int n = channels - c < kLanes ? static_cast<int>(channels - c) : kLanes;
    Vec acc[4] = {load_n(out + c, n), zero(), zero(), zero()};  // hides the latency of the addition
    int64_t p = done;
    for (; p + 4 <= pixels; p += 4) {
      CC_UNROLL for (int i = 0; i < 4; ++i) acc[i] = add(acc[i], load_n(x + (p + i) * pitch + c, n));
    }
    for (; p < pixels; ++p) acc[0] = add(acc[0], load_n(x + p * pitch + c, n));
    store_n(out + c, add(add(acc[0], acc[1]), add(acc[2], acc[3])), n);
  }
}

double fma_peak(int64_t steps) {
  constexpr int kChains = 12;  // hides a latency of 4 to 5 cycles on two pipes
  Vec acc[kChains];
  for (int i = 0; i < kChains; ++i) acc[i] = set1(static_cast<float>(i));
  Vec a = set1(0.999f), b = set1(1e-3f);
  for (int64_t s = 0; s < steps; ++s) {
    CC_UNROLL for (int i = 0; i < kChains; ++i) acc[i] = fma(acc[i], a, b);
  }
  Vec total = zero();
  for (int i = 0; i < kChains; ++i) total = add(total, acc[i]);
  volatile float sink = sum(total);
  (void)sink;
  return 2.0 * kChains * kLanes * static_cast<double>(steps);
}

}  // namespace

// Narrowest first. Accumulators, one row of weights and a broadcast must fit the registers.
TileKernels tile_kernels() {
#if CC_ISA_NUMBER == CC_ISA_avx512
  return {kLanes, 4, {tile<14, 1>(0.73f), tile<14, 2>(0.95f), tile<8, 3>(0.92f), tile<6, 4>(0.96f)}, column_sum, fma_peak};
#elif CC_ISA_NUMBER == CC_ISA_avx2
  return {kLanes, 2, {tile<12, 1>(0.75f), tile<6, 2>(0.93f)}, column_sum, fma_peak};
#elif CC_ISA_NUMBER == CC_ISA_neon
  return {kLanes, 3, {tile<12, 1>(0.75f), tile<12, 2>(0.92f), tile<8, 3>(0.92f)}, column_sum, fma_peak};
#else
  return {kLanes, 2, {tile<8, 1>(0.7f), tile<6, 2>(0.9f)}, column_sum, fma_peak};
#endif
}

}  // namespace convcore::CONVCORE_ISA
