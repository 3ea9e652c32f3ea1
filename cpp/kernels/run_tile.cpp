// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/run_tile.h"

#include "simd/loop.h"

namespace convcore::CONVCORE_ISA {
namespace {

#define CC_UNROLL _Pragma("GCC unroll 32")

// Accumulators, a row of weights and a broadcast fill the registers: 32 of them, or 16.
#if CC_ISA_NUMBER == CC_ISA_avx512 || CC_ISA_NUMBER == CC_ISA_neon
constexpr int kMaxRows = 28;
#else
constexpr int kMaxRows = 13;
#endif

// Five pixels share a pointer q: x86 computes the addresses q, q + step, q + 2 step, q + 3 step and q + 4 step of two
// registers each.
constexpr int kShared = 5;
constexpr int64_t kLongSum = 24;  // time enough to fetch what will be overwritten

template <int M>
void run_tile(const RunArgs& g) {
  if (g.segments * g.length >= kLongSum) {
    CC_UNROLL for (int p = 0; p < M; ++p) __builtin_prefetch(g.y + p * g.y_step, 1);
  }
  Vec acc[M];
  CC_UNROLL for (int p = 0; p < M; ++p) acc[p] = zero();
  constexpr int kPointers = (M + kShared - 1) / kShared;
  const int64_t step = g.x_step * static_cast<int64_t>(sizeof(float)), step3 = 3 * step;
  const float* w = g.w;
  for (int64_t s = 0; s < g.segments; ++s) {
    const char* q[kPointers];
    CC_UNROLL for (int i = 0; i < kPointers; ++i)
      q[i] = reinterpret_cast<const char*>(g.x + g.offsets[s] + i * kShared * g.x_step);
    for (int64_t k = 0; k < g.length; ++k) {
      const Vec b = load(w);
      w += kLanes;
      CC_UNROLL for (int p = 0; p < M; ++p) {
        const int i = p % kShared;
        const char* at = q[p / kShared] + (i == 3 ? step3 : i * step);
        acc[p] = fma(set1(*reinterpret_cast<const float*>(at)), b, acc[p]);
      }
      CC_UNROLL for (int i = 0; i < kPointers; ++i) q[i] += sizeof(float);
    }
  }
  const Vec lower = set1(g.lower), upper = set1(g.upper);
  const Vec bias = g.bias ? load_some(g.bias, g.columns) : zero();
  CC_UNROLL for (int p = 0; p < M; ++p) {
    Vec r = add(acc[p], bias);
    if (g.add) r = add(r, load_some(g.add + p * g.add_step, g.columns));
    store_some(g.y + p * g.y_step, min(upper, max(lower, r)), g.columns);  // in this order a NaN stays a NaN
  }
}

// The row count picks the instantiation: M, M - 1, ..., 1.
template <int M>
void pick_rows(int rows, const RunArgs& g) {
  if constexpr (M > 1) {
    if (rows < M) return pick_rows<M - 1>(rows, g);
  }
  run_tile<M>(g);
}

}  // namespace

RunKernels run_kernels() { return {kMaxRows, pick_rows<kMaxRows>}; }

}  // namespace convcore::CONVCORE_ISA
