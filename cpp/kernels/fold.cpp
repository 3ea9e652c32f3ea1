// SPDX-License-Identifier: BSD-3-Clause
// Sums, products and extremes over many elements. Several running results hide the latency of what joins them.
#include "kernels/arithmetic.h"
#include "simd/loop.h"
#include "simd/math.h"

namespace convcore::CONVCORE_ISA {
namespace {

constexpr int kRuns = 4;

// A fold: its start, how it takes an element, and how it joins two results.
struct Adding {
  static constexpr float kStart = 0;
  CC_INLINE Vec join(Vec a, Vec b) { return add(a, b); }
  CC_INLINE double join(double a, double b) { return a + b; }
};
struct Sum : Adding {
  CC_INLINE Vec take(Vec acc, Vec x, Vec) { return add(acc, x); }
};
struct SumAbs : Adding {
  CC_INLINE Vec take(Vec acc, Vec x, Vec) { return add(acc, abs(x)); }
};
struct SumSquare : Adding {
  CC_INLINE Vec take(Vec acc, Vec x, Vec) { return fma(x, x, acc); }
};
struct SumProduct : Adding {
  CC_INLINE Vec take(Vec acc, Vec x, Vec b) { return fma(x, b, acc); }
};
struct SumExpDifference : Adding {
  CC_INLINE Vec take(Vec acc, Vec x, Vec b) {
    const Vec shift = if_eq(abs(b), set1(__builtin_inff()), zero(), b);
    return add(acc, exp(sub(x, shift)));
  }
};
struct CountEqual : Adding {
  CC_INLINE Vec take(Vec acc, Vec x, Vec b) { return add(acc, if_eq(x, b, set1(1.0f), zero())); }
};
struct Product {
  static constexpr float kStart = 1;
  CC_INLINE Vec take(Vec acc, Vec x, Vec) { return mul(acc, x); }
  CC_INLINE Vec join(Vec a, Vec b) { return mul(a, b); }
  CC_INLINE double join(double a, double b) { return a * b; }
};
struct NonzeroProduct : Product {
  CC_INLINE Vec take(Vec acc, Vec x, Vec) { return if_eq(x, zero(), acc, mul(acc, x)); }
};
struct Maximum {
  static constexpr float kStart = -__builtin_inff();
  CC_INLINE Vec take(Vec acc, Vec x, Vec) { return join(acc, x); }
  CC_INLINE Vec join(Vec a, Vec b) { return if_eq(a, a, max(a, b), a); }
  CC_INLINE double join(double a, double b) { return a > b || a != a ? a : b; }
};
struct Minimum {
  static constexpr float kStart = __builtin_inff();
  CC_INLINE Vec take(Vec acc, Vec x, Vec) { return join(acc, x); }
  CC_INLINE Vec join(Vec a, Vec b) { return if_eq(a, a, min(a, b), a); }
  CC_INLINE double join(double a, double b) { return a < b || a != a ? a : b; }
};

// b where it is a row, or one value for each row, or absent.
struct Other {
  const float* data;
  bool repeated;

  CC_INLINE Vec at(const Other& o, int64_t j, auto part) {
    return !o.data ? zero() : o.repeated ? set1(*o.data) : load(o.data + j, part);
  }
};
CC_INLINE Other row_of(Operand b, int64_t r) { return {b.data ? b.data + r * b.pitch : nullptr, b.repeated}; }

// Column by column in strips of vectors, so that the results stay in registers.
template <class F, int kStrips>
CC_INLINE void fold_strip(int64_t rows, int64_t j, ConstRows x, Operand b, float* acc, auto part) {
  Vec runs[kStrips];
  for (int i = 0; i < kStrips; ++i) runs[i] = set1(F::kStart);
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x.data + r * x.pitch + j;
    const Other other = row_of(b, r);
    for (int i = 0; i < kStrips; ++i)
      runs[i] = F::take(runs[i], load(row + i * kLanes, part), Other::at(other, j + i * kLanes, part));
  }
  for (int i = 0; i < kStrips; ++i) {
    float* to = acc + j + i * kLanes;
    store(to, F::join(load(to, part), runs[i]), part);
  }
}

template <class F>
void fold_columns(int64_t rows, int64_t columns, ConstRows x, Operand b, float* acc) {
  int64_t j = 0;
  for (; j + kRuns * kLanes <= columns; j += kRuns * kLanes) fold_strip<F, kRuns>(rows, j, x, b, acc, Whole{});
  for_row(columns - j, [&](int64_t i, auto part) CC_LAMBDA { fold_strip<F, 1>(rows, j + i, x, b, acc, part); });
}

template <class F>
float fold_all(int64_t rows, int64_t columns, ConstRows x, Operand b) {
  Vec runs[kRuns];
  for (int i = 0; i < kRuns; ++i) runs[i] = set1(F::kStart);
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x.data + r * x.pitch;
    const Other other = row_of(b, r);
    int64_t j = 0;
    for (; j + kRuns * kLanes <= columns; j += kRuns * kLanes)
      for (int i = 0; i < kRuns; ++i)
        runs[i] = F::take(runs[i], load(row + j + i * kLanes), Other::at(other, j + i * kLanes, Whole{}));
    for_row(columns - j, [&](int64_t i, auto part) CC_LAMBDA {
      runs[0] = keep(F::take(runs[0], load(row + j + i, part), Other::at(other, j + i, part)), runs[0], part);
    });
  }
  float lanes[kLanes];
  store(lanes, F::join(F::join(runs[0], runs[1]), F::join(runs[2], runs[3])));
  double all = lanes[0];
  for (int i = 1; i < kLanes; ++i) all = F::join(all, static_cast<double>(lanes[i]));
  return static_cast<float>(all);
}

template <class F>
double join(double a, double b) {
  return F::join(a, b);
}

template <class F>
FoldKernels kernels_of() {
  return {F::kStart, fold_columns<F>, fold_all<F>, join<F>};
}

}  // namespace

void fill(FoldKernels* fold) {
  const auto set = [=](Fold f, FoldKernels k) { fold[static_cast<int>(f)] = k; };
  set(Fold::sum, kernels_of<Sum>());
  set(Fold::sum_abs, kernels_of<SumAbs>());
  set(Fold::sum_square, kernels_of<SumSquare>());
  set(Fold::sum_product, kernels_of<SumProduct>());
  set(Fold::sum_exp_difference, kernels_of<SumExpDifference>());
  set(Fold::count_equal, kernels_of<CountEqual>());
  set(Fold::product, kernels_of<Product>());
  set(Fold::nonzero_product, kernels_of<NonzeroProduct>());
  set(Fold::maximum, kernels_of<Maximum>());
  set(Fold::minimum, kernels_of<Minimum>());
}

}  // namespace convcore::CONVCORE_ISA
