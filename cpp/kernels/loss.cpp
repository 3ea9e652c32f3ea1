// SPDX-License-Identifier: BSD-3-Clause
// Regression and margin losses: sums of terms, and their derivatives. Each vector lane adds at most kRun terms in
// float32; the rest is added in double.
#include "kernels/elementwise.h"
#include "simd/loop.h"
#include "simd/math.h"

namespace convcore::CONVCORE_ISA {
namespace {

constexpr int64_t kRun = 16;

// term: the loss of one element. by_x, by_t: its derivatives. w: weight of the column, d: huber's delta.

// (x - t)^2
struct Mse {
  CC_INLINE Vec term(Vec x, Vec t, Vec, Vec) {
    const Vec e = sub(x, t);
    return mul(e, e);
  }
  CC_INLINE Vec by_x(Vec x, Vec t, Vec, Vec) { return mul(set1(2.0f), sub(x, t)); }
  CC_INLINE Vec by_t(Vec x, Vec t, Vec, Vec) { return mul(set1(2.0f), sub(t, x)); }
};

// |x - t|, derivative 0 at 0 (and NaN)
struct L1 {
  CC_INLINE Vec term(Vec x, Vec t, Vec, Vec) { return abs(sub(x, t)); }
  CC_INLINE Vec by_x(Vec x, Vec t, Vec, Vec) {
    return if_gt(x, t, set1(1.0f), if_gt(t, x, set1(-1.0f), zero()));
  }
  CC_INLINE Vec by_t(Vec x, Vec t, Vec w, Vec d) { return by_x(t, x, w, d); }
};

// e^2 / 2 where |e| <= d, else d (|e| - d / 2); the derivative is e clamped to [-d, d]
struct Huber {
  CC_INLINE Vec term(Vec x, Vec t, Vec, Vec d) {
    const Vec e = abs(sub(x, t)), half = set1(0.5f);
    return if_gt(e, d, mul(d, sub(e, mul(half, d))), mul(half, mul(e, e)));
  }
  CC_INLINE Vec by_x(Vec x, Vec t, Vec, Vec d) { return max(negate(d), min(d, sub(x, t))); }
  CC_INLINE Vec by_t(Vec x, Vec t, Vec w, Vec d) { return by_x(t, x, w, d); }
};

// (1 - t) x + (1 + (w - 1) t) softplus(-x), softplus(-x) = log1p(e^-|x|) + max(0, -x): no exp overflows
struct Bce {
  CC_INLINE Vec softplus_of_minus(Vec x) { return add(log1p(exp(negate(abs(x)))), max(zero(), negate(x))); }
  CC_INLINE Vec term(Vec x, Vec t, Vec w, Vec) {
    const Vec one = set1(1.0f);
    return fma(sub(one, t), x, mul(fma(sub(w, one), t, one), softplus_of_minus(x)));
  }
  // (1 + (w - 1) t) sigmoid(x) - w t
  CC_INLINE Vec by_x(Vec x, Vec t, Vec w, Vec) {
    const Vec one = set1(1.0f);
    return sub(mul(fma(sub(w, one), t, one), sigmoid(x)), mul(w, t));
  }
  // (w - 1) softplus(-x) - x
  CC_INLINE Vec by_t(Vec x, Vec, Vec w, Vec) { return sub(mul(sub(w, set1(1.0f)), softplus_of_minus(x)), x); }
};

template <class Part>
CC_INLINE Vec weight_at(const float* weight, int64_t j, Part part) {
  return weight ? load(weight + j, part) : set1(1.0f);
}

template <class Loss>
double pair_sum(int64_t rows, int64_t columns, ConstRows x, ConstRows t, const float* weight, float delta) {
  double all = 0;
  const Vec d = set1(delta);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t first = 0; first < columns; first += kRun * kLanes) {
      const float* xr = x.data + r * x.pitch + first;
      const float* tr = t.data + r * t.pitch + first;
      const int64_t left = columns - first;
      Vec total = zero();
      for_row(left < kRun * kLanes ? left : kRun * kLanes, [&](int64_t j, auto part) CC_LAMBDA {
        const Vec w = weight_at(weight, first + j, part);
        total = add(total, keep(Loss::term(load(xr + j, part), load(tr + j, part), w, d), zero(), part));
      });
      all += sum(total);
    }
  }
  return all;
}

template <class Loss>
void pair_backward(int64_t rows, int64_t columns, ConstRows x, ConstRows t, const float* weight, float delta,
                   float scale, Rows dx, Rows dt) {
  const Vec d = set1(delta), s = set1(scale);
  for (int64_t r = 0; r < rows; ++r) {
    const float* xr = x.data + r * x.pitch;
    const float* tr = t.data + r * t.pitch;
    float* dxr = dx.data ? dx.data + r * dx.pitch : nullptr;
    float* dtr = dt.data ? dt.data + r * dt.pitch : nullptr;
    for_row(columns, [=](int64_t j, auto part) CC_LAMBDA {
      const Vec xv = load(xr + j, part), tv = load(tr + j, part), w = weight_at(weight, j, part);
      if (dxr) store(dxr + j, mul(s, Loss::by_x(xv, tv, w, d)), part);
      if (dtr) store(dtr + j, mul(s, Loss::by_t(xv, tv, w, d)), part);
    });
  }
}

double margin_sum(int64_t columns, const float* x, float shift, int power) {
  double all = 0;
  for (int64_t first = 0; first < columns; first += kRun * kLanes) {
    const int64_t left = columns - first;
    Vec total = zero();
    for_row(left < kRun * kLanes ? left : kRun * kLanes, [&](int64_t j, auto part) CC_LAMBDA {
      const Vec z = max(zero(), add(load(x + first + j, part), set1(shift)));
      total = add(total, keep(power == 1 ? z : mul(z, z), zero(), part));
    });
    all += sum(total);
  }
  return all;
}

double margin_backward(int64_t columns, const float* x, float shift, int power, float scale, float* dx) {
  double all = 0;
  for (int64_t first = 0; first < columns; first += kRun * kLanes) {
    const int64_t left = columns - first;
    Vec total = zero();
    for_row(left < kRun * kLanes ? left : kRun * kLanes, [&](int64_t j, auto part) CC_LAMBDA {
      const Vec z = max(zero(), add(load(x + first + j, part), set1(shift)));
      // The derivative is 1 where z > 0, else z: 0 or NaN.
      const Vec slope = power == 1 ? if_gt(z, zero(), set1(1.0f), z) : add(z, z);
      const Vec g = mul(set1(scale), slope);
      store(dx + first + j, g, part);
      total = add(total, keep(g, zero(), part));
    });
    all += sum(total);
  }
  return all;
}

template <class Loss>
PairLossKernels kernels_of() {
  return {pair_sum<Loss>, pair_backward<Loss>};
}

}  // namespace

void fill(PairLossKernels* pair_loss) {
  pair_loss[static_cast<int>(PairLoss::mse)] = kernels_of<Mse>();
  pair_loss[static_cast<int>(PairLoss::l1)] = kernels_of<L1>();
  pair_loss[static_cast<int>(PairLoss::huber)] = kernels_of<Huber>();
  pair_loss[static_cast<int>(PairLoss::bce)] = kernels_of<Bce>();
}

MarginKernels margin_kernels() { return {margin_sum, margin_backward}; }

}  // namespace convcore::CONVCORE_ISA
