// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/winograd.h"

#include "simd/loop.h"

namespace convcore::CONVCORE_ISA {
namespace {

#define CC_UNROLL _Pragma("GCC unroll 16")

// Keeps the compiler from computing the addresses of all points ahead of a loop, only to spill them.
template <class Float>
CC_INLINE Float* here(Float* p) {
  __asm__("" : "+r"(p));
  return p;
}

// F(4x4, 3x3), one dimension: t = B^T d, u = G g, y = A^T m.
struct Six {
  static constexpr int kAlpha = 6, kM = 4;
  static constexpr float kA = 0.70710678118654752f, kB = 1.41421356237309505f;

  static CC_LAMBDA void input(const Vec (&d)[6], Vec (&t)[6]) {
    t[0] = fma(set1(-2.5f), d[2], add(d[0], d[4]));
    t[5] = fma(set1(-2.5f), d[3], add(d[1], d[5]));
    const Vec even1 = fma(set1(-2.0f), d[2], d[4]), odd1 = fma(set1(-0.5f), d[3], d[1]);
    t[1] = fma(set1(2 * kA), odd1, even1);
    t[2] = fma(set1(-2 * kA), odd1, even1);
    const Vec even3 = fma(set1(-0.5f), d[2], d[4]), odd3 = fma(set1(-2.0f), d[3], d[1]);
    t[3] = fma(set1(0.5f * kB), odd3, even3);
    t[4] = fma(set1(-0.5f * kB), odd3, even3);
  }
  static CC_LAMBDA void filter(const Vec (&g)[3], Vec (&u)[6]) {
    u[0] = g[0];
    const Vec even1 = fma(set1(0.5f), g[2], g[0]), even3 = fma(set1(2.0f), g[2], g[0]);
    const Vec low = mul(set1(-2.0f / 3), even1), high = mul(set1(1.0f / 6), even3);
    u[1] = fma(set1(2.0f / 3 * kA), g[1], low);
    u[2] = fma(set1(-2.0f / 3 * kA), g[1], low);
    u[3] = fma(set1(-1.0f / 6 * kB), g[1], high);
    u[4] = fma(set1(1.0f / 6 * kB), g[1], high);
    u[5] = g[2];
  }
  static CC_LAMBDA void output(const Vec (&m)[6], Vec (&y)[4]) {
    const Vec sum1 = add(m[2], m[1]), difference1 = sub(m[2], m[1]);
    const Vec sum3 = add(m[4], m[3]), difference3 = sub(m[4], m[3]);
    y[0] = add(m[0], add(sum1, sum3));
    y[1] = mul(set1(kA), fma(set1(2.0f), difference3, difference1));
    y[2] = fma(set1(2.0f), sum3, mul(set1(0.5f), sum1));
    y[3] = fma(set1(0.5f * kA), fma(set1(8.0f), difference3, difference1), m[5]);
  }
};

// F(2x2, 3x3)
struct Four {
  static constexpr int kAlpha = 4, kM = 2;

  static CC_LAMBDA void input(const Vec (&d)[4], Vec (&t)[4]) {
    t[0] = sub(d[0], d[2]);
    t[1] = add(d[1], d[2]);
    t[2] = sub(d[2], d[1]);
    t[3] = sub(d[3], d[1]);
  }
  static CC_LAMBDA void filter(const Vec (&g)[3], Vec (&u)[4]) {
    const Vec half = mul(set1(0.5f), add(g[0], g[2]));
    u[0] = g[0];
    u[1] = fma(set1(0.5f), g[1], half);
    u[2] = fma(set1(-0.5f), g[1], half);
    u[3] = g[2];
  }
  static CC_LAMBDA void output(const Vec (&m)[4], Vec (&y)[2]) {
    y[0] = add(m[0], add(m[1], m[2]));
    y[1] = add(sub(m[1], m[2]), m[3]);
  }
};

// B^T d B of a vector of channels; at(p, i, j): pixel (i, j), where p is pixel (0, j).
template <class F, class Part, class At>
CC_INLINE void input_vector(const float* x, int64_t pixel_pitch, float* v, int64_t step, Part part, At&& at) {
  constexpr int n = F::kAlpha;
  Vec t[n][n];
  CC_UNROLL for (int j = 0; j < n; ++j) {
    x = here(x);
    Vec d[n], column[n];
    CC_UNROLL for (int i = 0; i < n; ++i) d[i] = at(x, i, j);
    F::input(d, column);
    CC_UNROLL for (int i = 0; i < n; ++i) t[i][j] = column[i];
    x += pixel_pitch;
  }
  CC_UNROLL for (int i = 0; i < n; ++i) {
    v = here(v);
    Vec row[n];
    F::input(t[i], row);
    CC_UNROLL for (int j = 0; j < n; ++j) store(v + j * step, row[j], part);
    v += n * step;
  }
}

template <class F>
void input(const WinogradPatch& p, int64_t channels, float* v, int64_t step) {
  constexpr int n = F::kAlpha;
  const int64_t row = p.row_pitch, pixel = p.pixel_pitch;
  if (p.top == 0 && p.left == 0 && p.bottom == n && p.right == n) {
    for_row(channels, [&](int64_t c, auto part) CC_LAMBDA {
      const auto at = [&](const float* x, int i, int) CC_LAMBDA { return load(x + i * row, part); };
      input_vector<F>(p.x + c, pixel, v + c, step, part, at);
    });
    return;
  }
  // Bit i * n + j: pixel (i, j) is inside.
  uint64_t rows = 0;
  for (int i = p.top; i < p.bottom; ++i) rows |= uint64_t{1} << i * n;
  const uint64_t columns = p.left < p.right ? (uint64_t{1} << p.right) - (uint64_t{1} << p.left) : 0;
  const uint64_t inside = rows * columns;
  for_row(channels, [&](int64_t c, auto part) CC_LAMBDA {
    const auto at = [&](const float* x, int i, int j)
                        CC_LAMBDA { return inside >> (i * n + j) & 1 ? load(x + i * row, part) : zero(); };
    input_vector<F>(p.x + c, pixel, v + c, step, part, at);
  });
}

template <class F>
void filter(const WinogradTaps& taps, float* u, int64_t step) {
  constexpr int n = F::kAlpha;
  for (int64_t c = 0; c < taps.channels; ++c)
    for (int64_t k = 0; k < taps.width; k += kLanes) {
      const float* g = taps.g + c * taps.channel_step + k;
      Vec t[n][3];
      CC_UNROLL for (int j = 0; j < 3; ++j) {
        g = here(g);
        const Vec column[3] = {load(g), load(g + 3 * taps.tap_step), load(g + 6 * taps.tap_step)};
        Vec points[n];
        F::filter(column, points);
        CC_UNROLL for (int i = 0; i < n; ++i) t[i][j] = points[i];
        g += taps.tap_step;
      }
      float* to = u + c * taps.width + k;
      CC_UNROLL for (int i = 0; i < n; ++i) {
        to = here(to);
        Vec row[n];
        F::filter(t[i], row);
        CC_UNROLL for (int j = 0; j < n; ++j) store(to + j * step, row[j]);
        to += n * step;
      }
    }
}

template <class F>
void output(const float* m, int64_t step, int64_t channels, const WinogradStore& to) {
  constexpr int n = F::kAlpha, size = F::kM;
  const Vec lower = set1(to.lower), upper = set1(to.upper);
  for_row(channels, [&](int64_t c, auto part) CC_LAMBDA {
    Vec t[size][n];
    const float* p = m + c;
    CC_UNROLL for (int j = 0; j < n; ++j) {
      p = here(p);
      Vec points[n], column[size];
      CC_UNROLL for (int i = 0; i < n; ++i) points[i] = load(p + i * n * step, part);
      F::output(points, column);
      CC_UNROLL for (int i = 0; i < size; ++i) t[i][j] = column[i];
      p += step;
    }
    const Vec bias = to.bias ? load(to.bias + c, part) : zero();
    float* y = to.y + c;
    const float* residual = to.residual ? to.residual + c : nullptr;
    CC_UNROLL for (int i = 0; i < size; ++i) {
      if (i >= to.rows) return;
      y = here(y);
      Vec row[size];
      F::output(t[i], row);
      CC_UNROLL for (int j = 0; j < size; ++j) {
        if (j >= to.columns) break;
        Vec r = add(row[j], bias);
        if (residual) r = add(r, load(residual + j * to.residual_pixel_pitch, part));
        store(y + j * to.pixel_pitch, min(upper, max(lower, r)), part);  // in this order a NaN stays a NaN
      }
      y += to.row_pitch;
      if (residual) residual += to.residual_row_pitch;
    }
  });
}

constexpr int kLine = 16;  // floats of a cache line

// Rows of V are reached as one of three from a pointer, so that pointers fit the registers.
template <int M, int V>
void multiply_rows(const WinogradProduct& g, int64_t tile, const float* ahead, int lines) {
  constexpr int kGroup = 3, kPointers = (M + kGroup - 1) / kGroup;
  const int64_t pitch = g.v_pitch;
  const float *a[kPointers], *b = g.u;
  CC_UNROLL for (int i = 0; i < kPointers; ++i) a[i] = g.v + (tile + i * kGroup) * pitch;
  Vec acc[M][V];
  CC_UNROLL for (int i = 0; i < M; ++i) CC_UNROLL for (int v = 0; v < V; ++v) acc[i][v] = zero();
  for (int64_t k = g.length; k > 0; --k) {
    Vec row[V];
    CC_UNROLL for (int v = 0; v < V; ++v) row[v] = load(b + v * kLanes);
    b += V * kLanes;
    for (int i = 0; i < lines; ++i) __builtin_prefetch(ahead + i * kLine, 0, 2);
    ahead += V * kLanes;
    CC_UNROLL for (int i = 0; i < M; ++i) {
      if (i % kGroup == 0) a[i / kGroup] = here(a[i / kGroup]);
      const Vec x = set1(a[i / kGroup][i % kGroup * pitch]);
      CC_UNROLL for (int v = 0; v < V; ++v) acc[i][v] = fma(x, row[v], acc[i][v]);
    }
    CC_UNROLL for (int i = 0; i < kPointers; ++i)++ a[i];
  }
  float* m = g.m + tile * V * kLanes;
  if (g.accumulate) {
    CC_UNROLL for (int i = 0; i < M; ++i) CC_UNROLL for (int v = 0; v < V; ++v) acc[i][v] =
        add(load(m + (i * V + v) * kLanes), acc[i][v]);
  }
  CC_UNROLL for (int i = 0; i < M; ++i) CC_UNROLL for (int v = 0; v < V; ++v)
      store(m + (i * V + v) * kLanes, acc[i][v]);
}

template <int M, int V>
void multiply_some(int rows, const WinogradProduct& g, int64_t tile, const float* ahead, int lines) {
  if constexpr (M > 1) {
    if (rows < M) return multiply_some<M - 1, V>(rows, g, tile, ahead, lines);
  }
  multiply_rows<M, V>(g, tile, ahead, lines);
}

template <int M, int V>
void multiply(const WinogradProduct& g) {
  const int64_t parts = (g.tiles + M - 1) / M;
  const float* ahead = g.ahead ? g.ahead : g.u;  // nothing is fetched of the latter
  constexpr int64_t kLines = V * kLanes > kLine ? V * kLanes / kLine : 1;  // of a row of U
  for (int64_t i = 0; i < parts; ++i) {  // shared out evenly: no thin last rows
    const int64_t first = g.tiles * i / parts, last = g.tiles * (i + 1) / parts;
    const int64_t line = kLines * i / parts, lines = g.ahead ? kLines * (i + 1) / parts - line : 0;
    multiply_some<M, V>(static_cast<int>(last - first), g, first, ahead + line * kLine, static_cast<int>(lines));
  }
}

template <int M, int V>
constexpr WinogradPanel panel(float efficiency) {
  return {M, V * kLanes, efficiency, multiply<M, V>};
}

template <class F>
constexpr WinogradTransforms transforms() {
  return {input<F>, filter<F>, output<F>};
}

}  // namespace

WinogradKernels winograd_kernels() {
  WinogradKernels all{transforms<Six>(), transforms<Four>(), 2, {}};
#if CC_ISA_NUMBER == CC_ISA_avx512
  all.panels = 3, all.panel[0] = panel<16, 1>(0.8f), all.panel[1] = panel<14, 2>(0.95f), all.panel[2] = panel<6, 4>(0.87f);
#elif CC_ISA_NUMBER == CC_ISA_neon
  all.panels = 3, all.panel[0] = panel<12, 1>(0.8f), all.panel[1] = panel<12, 2>(0.95f), all.panel[2] = panel<6, 4>(0.95f);
#else
  all.panel[0] = panel<12, 1>(0.85f), all.panel[1] = panel<6, 2>(0.95f);
#endif
  return all;
}

}  // namespace convcore::CONVCORE_ISA
