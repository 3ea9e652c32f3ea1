// SPDX-License-Identifier: BSD-3-Clause
// Batch norm; and the family's table. Layer norm and local response norm have files of their own.
//
// All passes move more memory than they compute, so each reads every operand once, from front to back, and asks early
// for what stands some 4 KB ahead: by itself the processor does not look beyond a page. (Measured, where operands come
// from memory: up to 1.4 times the speed.)
#include "kernels/norm.h"

#include "simd/loop.h"
#include "simd/relu.h"

#define CC_UNROLL _Pragma("GCC unroll 4")

namespace convcore::CONVCORE_ISA {

void fill_response(NormKernels& k);  // response.cpp
void fill_layer(NormKernels& k);     // layer_norm.cpp

namespace {

enum { kColumns = 1024, kRows = 4 };

// Up to kColumns channels of a block, as rows of columns. A row is a pixel, or, where pixels are narrow and have no
// gaps between them, as many as fill whole vectors, and enough of these for the processor to work on side by side.
struct Strip {
  int64_t first;          // channel
  int64_t rows, columns;  // whole rows
  int64_t rest;           // columns of the row behind these, or 0
  int64_t pixels;         // in a row
  int64_t channels;       // of the strip

  int64_t pitch(int64_t pixel_pitch) const { return pixels * pixel_pitch; }
  // Floats from a row to one that will be read a while later.
  int64_t ahead(int64_t pixel_pitch) const {
    const int64_t row = pitch(pixel_pitch), n = 1024 / row + 1;
    return row * (n < kRows ? int64_t{kRows} : n);
  }
};

CC_INLINE int64_t pixels_in_row(int64_t channels, bool packed) {
  if (!packed || channels >= 4 * kLanes) return 1;
  int64_t n = 1;
  while (n * channels % kLanes || n * channels < 4 * kLanes) ++n;
  return n;
}

// body(strip)
template <class Body>
CC_INLINE void each_strip(int64_t pixels, int64_t channels, bool packed, Body&& body) {
  const int64_t n = pixels_in_row(channels, packed);
  for (int64_t c = 0; c < channels; c += kColumns) {
    const int64_t width = channels - c < kColumns ? channels - c : int64_t{kColumns};
    body(Strip{c, pixels / n, n * width, pixels % n * width, n, width});
  }
}

template <int N>
struct Count {};

// body(first row, columns, Count): several rows at a time, which then share what they load of coefficients and sums.
template <class Body>
CC_INLINE void each_rows(const Strip& s, Body&& body) {
  int64_t r = 0;
  for (; r + kRows <= s.rows; r += kRows) body(r, s.columns, Count<kRows>{});
  for (; r < s.rows + (s.rest > 0); ++r) body(r, r < s.rows ? s.columns : s.rest, Count<1>{});
}

// Not inlined: kernels would repeat these loops many times over.
__attribute__((noinline)) void repeat(const Strip& s, const float* given, float* to) {
  for (int64_t j = 0; j < s.columns; j += s.channels)
    for (int64_t c = 0; c < s.channels; ++c) to[j + c] = given[c];
}
__attribute__((noinline)) void clear(const Strip& s, float* sums) {
  for (int64_t j = 0; j < s.columns; ++j) sums[j] = 0.0f;
}
__attribute__((noinline)) void add_up(const Strip& s, const float* sums, float* total) {
  for (int64_t c = 0; c < s.channels; ++c) total[c] = sums[c];
  for (int64_t j = s.channels; j < s.columns; j += s.channels)
    for (int64_t c = 0; c < s.channels; ++c) total[c] += sums[j + c];
}

// The values of a strip's columns: `given` of its channels, again for each pixel in a row. Null if not given.
struct Repeated {
  const float* data;
  float room[kColumns];

  __attribute__((always_inline)) Repeated(const Strip& s, const float* given)
      : data(given ? given + s.first : nullptr) {
    if (!given || s.pixels == 1) return;
    repeat(s, data, room);
    data = room;
  }
  Repeated(const Repeated&) = delete;
};

// One float for each column; at the end those of a channel are added up.
struct Sums {
  float data[kColumns];

  __attribute__((always_inline)) explicit Sums(const Strip& s) { clear(s, data); }
};

// With s, the first pixel, for a shift and d = x - s:  mean = s + sum(d) / n,  square = sum(d^2) - sum(d)^2 / n.
// |mean - s| is at most sqrt(n square), as s is one of the n values: what the difference cancels is a factor of n at
// worst, and about 2 in general.
CC_INLINE void block_moments(int64_t pixels, int64_t channels, ConstRows x, bool joined, float* mean, float* square) {
  const float n = static_cast<float>(pixels);
  each_strip(pixels, channels, joined, [&](const Strip& s) CC_LAMBDA {
    const Repeated shift(s, x.data);
    Sums d1(s), d2(s);
    const int64_t ahead = s.ahead(x.pitch);
    each_rows(s, [&]<int N>(int64_t r, int64_t columns, Count<N>) CC_LAMBDA {
      const int64_t step = s.pitch(x.pitch);
      const float* at = x.data + s.first + r * step;
      for_row(columns, [&](int64_t j, auto part) CC_LAMBDA {
        const Vec first = load(shift.data + j, part);
        Vec a = load(d1.data + j, part), b = load(d2.data + j, part);
        CC_UNROLL for (int i = 0; i < N; ++i) {
          const float* p = at + i * step + j;
          ask_for(p + ahead);
          const Vec d = sub(load(p, part), first);
          a = add(a, d);
          b = fma(d, d, b);
        }
        store(d1.data + j, a, part);
        store(d2.data + j, b, part);
      });
    });
    add_up(s, d1.data, mean + s.first);
    add_up(s, d2.data, square + s.first);
    for (int64_t c = s.first; c < s.first + s.channels; ++c) {
      const float d = mean[c] / n, rest = square[c] - mean[c] * d;
      mean[c] = x.data[c] + d;
      square[c] = rest < 0 ? 0.0f : rest;
    }
  });
}

void moments(const NormBlock& b, const float* x, float* mean, float* square) {
  block_moments(b.pixels, b.channels, {x, b.x_pitch}, false, mean, square);
}

void joined_moments(int64_t pixels, int64_t channels, const float* x, float* mean, float* square) {
  block_moments(pixels, channels, {x, channels}, true, mean, square);
}

// T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances",
// 1979: with d = mean_b - mean_a,
//   mean = mean_a + d n_b / n,   square = square_a + square_b + d^2 n_a n_b / n
void merge_moments(int64_t count, int64_t channels, const float* rows, int64_t begin, int64_t end, double* mean,
                   double* square) {
  for (int64_t c = begin; c < end; ++c) mean[c] = square[c] = 0;
  double n = 0;
  for (int64_t i = 0; i < count; ++i, rows += 1 + 2 * channels) {
    if (!(rows[0] > 0)) continue;
    const double before = n;
    n += rows[0];
    const double share = rows[0] / n, weight = before * share;
    const float *mean_b = rows + 1, *square_b = mean_b + channels;
    for (int64_t c = begin; c < end; ++c) {
      const double d = mean_b[c] - mean[c];
      mean[c] += d * share;
      square[c] += square_b[c] + d * d * weight;
    }
  }
}

void add_parts(int64_t count, int64_t size, const float* parts, double* total) {
  for (int64_t j = 0; j < size; ++j) total[j] = 0;
  for (int64_t i = 0; i < count; ++i, parts += size)
    for (int64_t j = 0; j < size; ++j) total[j] += parts[j];
}

void fold(int64_t channels, const float* mean, const float* var, const float* weight, const float* bias, float eps,
          float* scale, float* shift) {
  for_row(channels, [=](int64_t c, auto part) CC_LAMBDA {
    const Vec w = weight ? load(weight + c, part) : set1(1.0f);
    const Vec s = div(w, sqrt(add(load(var + c, part), set1(eps))));
    store(scale + c, s, part);
    store(shift + c, sub(bias ? load(bias + c, part) : zero(), mul(load(mean + c, part), s)), part);
  });
}

// What the activation is given, but for the residual. Forward and backward share it, so that they agree about which
// side of 0 and 6 it lies.
CC_INLINE Vec normalized(Vec centered, Vec scale, Vec shift) { return fma(centered, scale, shift); }

CC_INLINE void store_past(float* p, Vec v, Whole) { stream(p, v); }
CC_INLINE void store_past(float* p, Vec v, Tail t) { store_n(p, v, t.n); }

template <class F, bool Residual, bool PastCaches>
CC_INLINE void normalize_block(int64_t pixels, int64_t channels, ConstRows x, const NormCoefficients& k,
                               ConstRows other, Rows y) {
  const bool packed = x.pitch == channels && y.pitch == channels && (!Residual || other.pitch == channels);
  each_strip(pixels, channels, packed, [&](const Strip& s) CC_LAMBDA {
    const Repeated mean(s, k.mean), scale(s, k.scale), shift(s, k.shift);
    const int64_t ahead = s.ahead(x.pitch), other_ahead = Residual ? s.ahead(other.pitch) : 0;
    each_rows(s, [&]<int N>(int64_t r, int64_t columns, Count<N>) CC_LAMBDA {
      const int64_t step = s.pitch(x.pitch), other_step = s.pitch(other.pitch), y_step = s.pitch(y.pitch);
      const float* from = x.data + s.first + r * step;
      const float* more = Residual ? other.data + s.first + r * other_step : nullptr;
      float* to = y.data + s.first + r * y_step;
      for_row(columns, [&](int64_t j, auto part) CC_LAMBDA {
        const Vec m = load(mean.data + j, part), a = load(scale.data + j, part), b = load(shift.data + j, part);
        CC_UNROLL for (int i = 0; i < N; ++i) {
          ask_for(from + i * step + j + ahead);
          Vec v = normalized(sub(load(from + i * step + j, part), m), a, b);
          if (Residual) {
            ask_for(more + i * other_step + j + other_ahead);
            v = add(v, load(more + i * other_step + j, part));
          }
          const Vec r = F::forward(v, zero());
          PastCaches ? store_past(to + i * y_step + j, r, part) : store(to + i * y_step + j, r, part);
        }
      });
    });
  });
}

template <class F, bool PastCaches>
CC_INLINE void normalize_to(int64_t pixels, int64_t channels, ConstRows x, const NormCoefficients& k,
                            ConstRows residual, Rows y) {
  residual.data ? normalize_block<F, true, PastCaches>(pixels, channels, x, k, residual, y)
                : normalize_block<F, false, PastCaches>(pixels, channels, x, k, residual, y);
}

template <class F>
void normalize(int64_t pixels, int64_t channels, ConstRows x, const NormCoefficients& k, ConstRows residual, Rows y,
               bool past_caches) {
  const bool aligned = reinterpret_cast<uintptr_t>(y.data) % sizeof(Vec) == 0 && y.pitch % kLanes == 0;
  if (!past_caches || !aligned) return normalize_to<F, false>(pixels, channels, x, k, residual, y);
  normalize_to<F, true>(pixels, channels, x, k, residual, y);
  stream_fence();
}

// The operands of backward in one strip. Row i, column j.
template <class F, bool FromY>
struct Gradient {
  static constexpr bool kAll = __is_same(F, Identity);  // nothing is masked, and so neither y nor v is looked at
  const float *x, *dy, *y;
  int64_t x_step, dy_step, y_step, x_ahead, dy_ahead, y_ahead;

  __attribute__((always_inline)) Gradient(const Strip& s, ConstRows x_, ConstRows dy_, ConstRows y_)
      : x(x_.data + s.first),
        dy(dy_.data + s.first),
        y(FromY ? y_.data + s.first : nullptr),
        x_step(s.pitch(x_.pitch)),
        dy_step(s.pitch(dy_.pitch)),
        y_step(s.pitch(y_.pitch)),
        x_ahead(s.ahead(x_.pitch)),
        dy_ahead(s.ahead(dy_.pitch)),
        y_ahead(FromY ? s.ahead(y_.pitch) : 0) {}

  template <class Part>
  __attribute__((always_inline)) Vec centered(int64_t i, int64_t j, Vec mean, Part part) const {
    const float* p = x + i * x_step + j;
    ask_for(p + x_ahead);
    return sub(load(p, part), mean);
  }
  template <class Part>
  __attribute__((always_inline)) Vec masked(int64_t i, int64_t j, Vec centered, Vec scale, Vec shift, Part part) const {
    const float* p = dy + i * dy_step + j;
    ask_for(p + dy_ahead);
    const Vec g = load(p, part);
    if (kAll) return g;
    if (!FromY) return F::backward(g, normalized(centered, scale, shift), zero());
    const float* q = y + i * y_step + j;
    ask_for(q + y_ahead);
    return F::backward(g, load(q, part), zero());
  }
};

CC_INLINE bool are_packed(int64_t channels, ConstRows a, ConstRows b, ConstRows c, Rows d) {
  return a.pitch == channels && b.pitch == channels && (!c.data || c.pitch == channels) &&
         (!d.data || d.pitch == channels);
}

template <class F, bool FromY, bool Keep>
CC_INLINE void sums_block(int64_t pixels, int64_t channels, ConstRows x, ConstRows dy, ConstRows y,
                          const NormCoefficients& k, Rows g, float* sum, float* dot) {
  using G = Gradient<F, FromY>;
  each_strip(pixels, channels, are_packed(channels, x, dy, y, g), [&](const Strip& s) CC_LAMBDA {
    constexpr bool kFromX = !G::kAll && !FromY;
    const Repeated mean(s, k.mean), scale(s, kFromX ? k.scale : nullptr), shift(s, kFromX ? k.shift : nullptr);
    const G in(s, x, dy, y);
    Sums sums(s), dots(s);
    each_rows(s, [&]<int N>(int64_t r, int64_t columns, Count<N>) CC_LAMBDA {
      const int64_t g_step = s.pitch(g.pitch);
      float* to = Keep ? g.data + s.first + r * g_step : nullptr;
      for_row(columns, [&](int64_t j, auto part) CC_LAMBDA {
        const Vec m = load(mean.data + j, part);
        const Vec a = kFromX ? load(scale.data + j, part) : zero(), b = kFromX ? load(shift.data + j, part) : zero();
        Vec total = load(sums.data + j, part), product = load(dots.data + j, part);
        CC_UNROLL for (int i = 0; i < N; ++i) {
          const Vec d = in.centered(r + i, j, m, part), v = in.masked(r + i, j, d, a, b, part);
          if (Keep) store(to + i * g_step + j, v, part);
          total = add(total, v);
          product = fma(v, d, product);
        }
        store(sums.data + j, total, part);
        store(dots.data + j, product, part);
      });
    });
    add_up(s, sums.data, sum + s.first);
    add_up(s, dots.data, dot + s.first);
  });
}

template <class F>
void backward_sums(int64_t pixels, int64_t channels, ConstRows x, ConstRows dy, ConstRows y, const NormCoefficients& k,
                   Rows g, float* sum, float* dot) {
  constexpr bool kMasks = !__is_same(F, Identity);
  if (g.data)
    sums_block<F, kMasks, true>(pixels, channels, x, dy, y, k, g, sum, dot);
  else if (kMasks && y.data)
    sums_block<F, kMasks, false>(pixels, channels, x, dy, y, k, g, sum, dot);
  else
    sums_block<F, false, false>(pixels, channels, x, dy, y, k, g, sum, dot);
}

template <class F, bool FromY>
CC_INLINE void input_block(int64_t pixels, int64_t channels, ConstRows x, ConstRows dy, ConstRows y,
                           const NormCoefficients& k, const float* slope, const float* offset, Rows dx) {
  using G = Gradient<F, FromY>;
  each_strip(pixels, channels, are_packed(channels, x, dy, y, dx), [&](const Strip& s) CC_LAMBDA {
    constexpr bool kFromX = !G::kAll && !FromY;
    const Repeated mean(s, k.mean), scale(s, k.scale), shift(s, kFromX ? k.shift : nullptr);
    const Repeated slopes(s, slope), offsets(s, offset);
    const G in(s, x, dy, y);
    each_rows(s, [&]<int N>(int64_t r, int64_t columns, Count<N>) CC_LAMBDA {
      const int64_t dx_step = s.pitch(dx.pitch);
      float* to = dx.data + s.first + r * dx_step;
      for_row(columns, [&](int64_t j, auto part) CC_LAMBDA {
        const Vec m = load(mean.data + j, part), a = load(scale.data + j, part);
        const Vec b = kFromX ? load(shift.data + j, part) : zero();
        const Vec p = load(slopes.data + j, part), q = load(offsets.data + j, part);
        CC_UNROLL for (int i = 0; i < N; ++i) {
          const Vec d = in.centered(r + i, j, m, part), g = in.masked(r + i, j, d, a, b, part);
          store(to + i * dx_step + j, fma(a, g, fma(p, d, q)), part);
        }
      });
    });
  });
}

template <class F>
void backward_input(int64_t pixels, int64_t channels, ConstRows x, ConstRows dy, ConstRows y, const NormCoefficients& k,
                    const float* slope, const float* offset, Rows dx) {
  constexpr bool kMasks = !__is_same(F, Identity);
  if (kMasks && y.data)
    input_block<F, kMasks>(pixels, channels, x, dy, y, k, slope, offset, dx);
  else
    input_block<F, false>(pixels, channels, x, dy, y, k, slope, offset, dx);
}

template <class F>
NormActivationKernels kernels_of() {
  return {normalize<F>, backward_sums<F>, backward_input<F>};
}

}  // namespace

NormKernels norm_kernels() {
  NormKernels k{};
  k.with[static_cast<int>(NormActivation::none)] = kernels_of<Identity>();
  k.with[static_cast<int>(NormActivation::relu)] = kernels_of<Relu>();
  k.with[static_cast<int>(NormActivation::relu6)] = kernels_of<Relu6>();
  k.moments = moments;
  k.joined_moments = joined_moments;
  k.merge_moments = merge_moments;
  k.add_parts = add_parts;
  k.fold = fold;
  fill_response(k);
  fill_layer(k);
  return k;
}

}  // namespace convcore::CONVCORE_ISA
