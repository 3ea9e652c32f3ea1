// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/row_product.h"

#include "simd/loop.h"

namespace convcore::CONVCORE_ISA {
namespace {

#define CC_UNROLL _Pragma("GCC unroll 32")

// Accumulators, a row of b and a broadcast fill the registers: 32 of them, or 16.
#if CC_ISA_NUMBER == CC_ISA_avx512 || CC_ISA_NUMBER == CC_ISA_neon
constexpr int kMaxRows[2] = {28, 14};
#else
constexpr int kMaxRows[2] = {13, 6};
#endif

template <int B, int R, int V>
void product(const RowProductArgs& g) {
  Vec acc[B][R][V];
  CC_UNROLL for (int i = 0; i < B; ++i) CC_UNROLL for (int r = 0; r < R; ++r) CC_UNROLL for (int v = 0; v < V; ++v)
    acc[i][r][v] = zero();
  const int tail = g.columns - (V - 1) * kLanes;
  const char* fetch = g.fetch;
  for (int64_t s = 0; s < g.segments; ++s) {
    const float* a[B];
    CC_UNROLL for (int i = 0; i < B; ++i) a[i] = g.a + g.a_off[s] + g.base[i];
    const float* b = g.b + g.b_off[s];
    for (int64_t k = 0; k < g.length; ++k) {
      Vec bv[V];
      CC_UNROLL for (int v = 0; v < V - 1; ++v) bv[v] = load(b + v * kLanes);
      bv[V - 1] = load_some(b + (V - 1) * kLanes, tail);
      CC_UNROLL for (int i = 0; i < B; ++i) {
        CC_UNROLL for (int r = 0; r < R; ++r) {
          const Vec av = set1(a[i][r]);
          CC_UNROLL for (int v = 0; v < V; ++v) acc[i][r][v] = fma(av, bv[v], acc[i][r][v]);
        }
        a[i] += g.a_step;
      }
      b += g.b_step;
      __builtin_prefetch(fetch, 0, 2);
      fetch += g.fetch_step;
    }
  }
  CC_UNROLL for (int i = 0; i < B; ++i) CC_UNROLL for (int r = 0; r < R; ++r) {
    float* c = g.c + i * g.c_base + r * g.c_pitch;
    CC_UNROLL for (int v = 0; v < V; ++v) {
      const int n = v < V - 1 ? kLanes : tail;
      Vec sum = acc[i][r][v];
      if (g.accumulate) sum = add(load_some(c + v * kLanes, n), sum);
      store_some(c + v * kLanes, sum, n);
    }
  }
}

// The counts pick the instantiation, from the largest down.
template <int B, int R, int V>
void pick_rows(int rows, const RowProductArgs& g) {
  if constexpr (R > 1) {
    if (rows < R) return pick_rows<B, R - 1, V>(rows, g);
  }
  product<B, R, V>(g);
}

template <int B, int V>
void pick_bases(int bases, int rows, const RowProductArgs& g) {
  if constexpr (B > 1) {
    if (bases < B) return pick_bases<B - 1, V>(bases, rows, g);
  }
  pick_rows<B, kMaxRows[V - 1] / B, V>(rows, g);
}

void any_product(int bases, int rows, int vectors, const RowProductArgs& g) {
  vectors == 1 ? pick_bases<kMaxBases, 1>(bases, rows, g) : pick_bases<kMaxBases, 2>(bases, rows, g);
}

void pad_rows(const float* in, int64_t in_pitch, int64_t rows, int64_t left, int64_t middle, int64_t right,
              float* out) {
  for (int64_t r = 0; r < rows; ++r, in += in_pitch) {
    for_row(left, [&](int64_t j, auto part) CC_LAMBDA { store(out + j, zero(), part); });
    out += left;
    for_row(middle, [&](int64_t j, auto part) CC_LAMBDA { store(out + j, load(in + j, part), part); });
    out += middle;
    for_row(right, [&](int64_t j, auto part) CC_LAMBDA { store(out + j, zero(), part); });
    out += right;
  }
}

}  // namespace

RowProductKernels row_product_kernels() { return {kLanes, {kMaxRows[0], kMaxRows[1]}, any_product, pad_rows}; }

}  // namespace convcore::CONVCORE_ISA
