// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/winograd_weight.h"

#include "simd/loop.h"

namespace convcore::CONVCORE_ISA {
namespace {

#define CC_UNROLL _Pragma("GCC unroll 16")

constexpr float kA = 0.70710678118654752f, kB = 1.41421356237309505f;  // the points: 0, -a, a, -b, b, infinity
// N_0 = 1, N of -+a and of -+b; that of infinity is 1.
constexpr float kNa = -1.5f, kNb = 6.0f;

// t[i] = sum over k of p_i^k y[k]; t[0] and t[5] are y[0] and y[3].
CC_INLINE void gradient6_12(Vec y0, Vec y1, Vec y2, Vec y3, Vec& t1, Vec& t2) {
  const Vec even = fma(set1(0.5f), y2, y0), odd = fma(set1(0.5f), y3, y1);
  t1 = fma(set1(-kA), odd, even);
  t2 = fma(set1(kA), odd, even);
}
CC_INLINE void gradient6_34(Vec y0, Vec y1, Vec y2, Vec y3, Vec& t3, Vec& t4) {
  const Vec even = fma(set1(2.0f), y2, y0), odd = fma(set1(2.0f), y3, y1);
  t3 = fma(set1(-kB), odd, even);
  t4 = fma(set1(kB), odd, even);
}

// A row of G' y, times G'^T.
template <class Part>
CC_INLINE void gradient6_row(const Vec (&t)[4], float* w, int64_t step, Part part) {
  Vec minus, plus;
  store(w, t[0], part);
  gradient6_12(t[0], t[1], t[2], t[3], minus, plus);
  store(w + step, minus, part);
  store(w + 2 * step, plus, part);
  gradient6_34(t[0], t[1], t[2], t[3], minus, plus);
  store(w + 3 * step, minus, part);
  store(w + 4 * step, plus, part);
  store(w + 5 * step, t[3], part);
}

// G' y G'^T of a vector of channels.
template <class Part>
CC_INLINE void gradient6_vector(const Vec (&y)[4][4], float* w, int64_t step, Part part) {
  Vec s[4], t[4];
  gradient6_row(y[0], w, step, part);
  CC_UNROLL for (int j = 0; j < 4; ++j) gradient6_12(y[0][j], y[1][j], y[2][j], y[3][j], s[j], t[j]);
  gradient6_row(s, w + 6 * step, step, part);
  gradient6_row(t, w + 12 * step, step, part);
  CC_UNROLL for (int j = 0; j < 4; ++j) gradient6_34(y[0][j], y[1][j], y[2][j], y[3][j], s[j], t[j]);
  gradient6_row(s, w + 18 * step, step, part);
  gradient6_row(t, w + 24 * step, step, part);
  gradient6_row(y[3], w + 30 * step, step, part);
}

void gradient6(const WinogradPatch& p, int64_t channels, float* w, int64_t step) {
  const bool inside = p.top == 0 && p.left == 0 && p.bottom == 4 && p.right == 4;
  for_row(channels, [&](int64_t c, auto part) CC_LAMBDA {
    Vec y[4][4];
    const auto at = [&](int i, int j) CC_LAMBDA { return load(p.x + i * p.row_pitch + j * p.pixel_pitch + c, part); };
    if (inside) {
      CC_UNROLL for (int i = 0; i < 4; ++i) CC_UNROLL for (int j = 0; j < 4; ++j) y[i][j] = at(i, j);
    } else {
      CC_UNROLL for (int i = 0; i < 4; ++i) CC_UNROLL for (int j = 0; j < 4; ++j) {
        y[i][j] = i >= p.top && i < p.bottom && j >= p.left && j < p.right ? at(i, j) : zero();
      }
    }
    gradient6_vector(y, w + c, step, part);
  });
}

// r[k] = sum over i of p_i^k / N_i u[i], and u[5] in the last.
CC_INLINE void weights3_column(const Vec (&u)[6], Vec (&r)[3]) {
  const Vec even12 = add(u[1], u[2]), odd12 = sub(u[2], u[1]), even34 = add(u[3], u[4]), odd34 = sub(u[4], u[3]);
  r[0] = fma(set1(1 / kNa), even12, fma(set1(1 / kNb), even34, u[0]));
  r[1] = fma(set1(kA / kNa), odd12, mul(set1(kB / kNb), odd34));
  r[2] = fma(set1(0.5f / kNa), even12, fma(set1(2 / kNb), even34, u[5]));
}

// A' u A'^T of a vector of output channels to out[(k * 3 + l) * kLanes].
template <class Part>
CC_INLINE void weights3_vector(const float* u, int64_t step, float* out, Part part) {
  Vec t[3][6];  // A' u
  CC_UNROLL for (int j = 0; j < 6; ++j) {
    Vec column[6], r[3];
    CC_UNROLL for (int i = 0; i < 6; ++i) column[i] = load(u + (i * 6 + j) * step, part);
    weights3_column(column, r);
    CC_UNROLL for (int k = 0; k < 3; ++k) t[k][j] = r[k];
  }
  CC_UNROLL for (int k = 0; k < 3; ++k) {
    Vec r[3];
    weights3_column(t[k], r);
    CC_UNROLL for (int l = 0; l < 3; ++l) store(out + (k * 3 + l) * kLanes, r[l]);
  }
}

// to[j * pitch + i] = from[i * kLanes + j], i < rows, j < columns <= kLanes. Reads a multiple of kLanes rows.
CC_INLINE void store_transposed(const float* from, int64_t rows, int64_t columns, float* to, int64_t pitch) {
  for (int64_t i = 0; i < rows; i += kLanes) {
    Vec r[kLanes];
    CC_UNROLL for (int k = 0; k < kLanes; ++k) r[k] = load(from + (i + k) * kLanes);
    transpose(r);
    const int n = rows - i < kLanes ? static_cast<int>(rows - i) : kLanes;
    CC_UNROLL for (int j = 0; j < kLanes; ++j)
      if (j < columns) store_some(to + j * pitch + i, r[j], n);
  }
}

// Results lie in L1 on the way to dw, where channels are rows.
void weights3(int64_t rows, int64_t columns, const float* u, int64_t step, int64_t pitch, float* dw, int64_t dw_pitch) {
  constexpr int64_t kRows = 16;  // a multiple of kLanes, for store_transposed
  float results[kRows * 9 * kLanes] = {};
  for (int64_t first = 0; first < rows; first += kRows) {
    const int64_t count = rows - first < kRows ? rows - first : kRows;
    for_row(columns, [&](int64_t o, auto part) CC_LAMBDA {
      for (int64_t c = 0; c < count; ++c)
        weights3_vector(u + (first + c) * pitch + o, step, results + c * 9 * kLanes, part);
      const int64_t lanes = columns - o < kLanes ? columns - o : kLanes;
      store_transposed(results, count * 9, lanes, dw + o * dw_pitch + first * 9, dw_pitch);
    });
  }
}

}  // namespace

WinogradWeightKernels winograd_weight_kernels() { return {gradient6, weights3}; }

}  // namespace convcore::CONVCORE_ISA
