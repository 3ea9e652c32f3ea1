// SPDX-License-Identifier: BSD-3-Clause
// exp, expm1, log, log1p, tanh, sigmoid, erf, floor and ceil on Vec, to a few units in the last place. Infinities, NaN
// and arguments of any size give what the C library gives; results, and terms of them, below the smallest normal number
// may be flushed to zero.
//
// Range reductions and the polynomials of exp, log and tanh: S. L. Moshier, Cephes Mathematical Library (expf, logf,
// tanhf). The fraction of erf was fitted for this file: minimax of the relative error (Remez, 50 digits), its
// coefficients times the common factor, of a million tried at random, with which their rounding to float32 costs the
// least.
#pragma once

#include "simd/vec.h"

namespace convcore::CONVCORE_ISA {

typedef int VecInts __attribute__((vector_size(sizeof(Vec))));

// c0 + x (c1 + x (c2 + ...)): coefficients from the constant term up.
CC_INLINE Vec polynomial(Vec, float c0) { return set1(c0); }
template <class... Rest>
CC_INLINE Vec polynomial(Vec x, float c0, Rest... rest) {
  return fma(x, polynomial(x, rest...), set1(c0));
}

CC_INLINE Vec negate(Vec x) { return sub(zero(), x); }
CC_INLINE Vec with_sign_of(Vec magnitude, Vec sign) { return if_gt(zero(), sign, negate(magnitude), magnitude); }

// e^r - 1 for |r| <= ln(2) / 2
CC_INLINE Vec expm1_near_zero(Vec r) {
  const Vec p = polynomial(r, 5.0000001201e-1f, 1.6666665459e-1f, 4.1665795894e-2f, 8.3334519073e-3f, 1.3981999507e-3f,
                           1.9875691500e-4f);
  return fma(p, mul(r, r), r);
}

// e^x = 2^k e^r with k = round(x / ln 2), |r| <= ln(2) / 2
CC_INLINE Vec exp(Vec x) {
  x = max(set1(-104.0f), min(set1(89.0f), x));  // beyond, the result is 0 or inf; NaN, as second operand, passes
  const Vec k = round(mul(x, set1(1.44269504f)));
  Vec r = fma(k, set1(-0.693359375f), x);
  r = fma(k, set1(2.12194440e-4f), r);
  const Vec e = add(expm1_near_zero(r), set1(1.0f));
  return times_pow2(e, k);
}

// e^x - 1, without cancellation near zero
CC_INLINE Vec expm1(Vec x) { return if_gt(set1(0.34f), abs(x), expm1_near_zero(x), sub(exp(x), set1(1.0f))); }

// ln x = e ln 2 + ln m with x = 2^e m, sqrt(1/2) <= m < sqrt(2).
CC_INLINE Vec log(Vec x) {
  const Vec smallest = set1(1.17549435e-38f);
  const Vec normal = if_gt(smallest, x, mul(x, set1(8388608.0f)), x);
  const VecInts e = (VecInts)((VecBits)normal - 0x3f3504f3u) >> 23;
  const Vec m = (Vec)((VecBits)normal - ((VecBits)e << 23));
  const Vec k = add((Vec)__builtin_convertvector(e, Vec), if_gt(smallest, x, set1(-23.0f), zero()));
  const Vec f = sub(m, set1(1.0f)), z = mul(f, f);
  const Vec p = polynomial(f, 3.3333331174e-1f, -2.4999993993e-1f, 2.0000714765e-1f, -1.6668057665e-1f,
                           1.4249322787e-1f, -1.2420140846e-1f, 1.1676998740e-1f, -1.1514610310e-1f, 7.0376836292e-2f);
  Vec y = mul(mul(p, f), z);
  y = fma(k, set1(-2.12194440e-4f), y);
  y = fma(z, set1(-0.5f), y);
  y = fma(k, set1(0.693359375f), add(f, y));
  const Vec infinity = set1(__builtin_inff());
  y = if_eq(x, infinity, infinity, y);
  return if_gt(x, zero(), y, if_eq(x, zero(), negate(infinity), set1(__builtin_nanf(""))));
}

// ln(1 + x) for 0 <= x <= 1: the rounding of u = 1 + x is put back to first order.
CC_INLINE Vec log1p(Vec x) {
  const Vec u = add(x, set1(1.0f));
  return add(log(u), div(sub(x, sub(u, set1(1.0f))), u));
}

// x P(x^2) near zero; elsewhere tanh|x| = 1 - 2 / (e^2|x| + 1).
CC_INLINE Vec tanh(Vec x) {
  const Vec z = mul(x, x), a = abs(x);
  const Vec p = polynomial(z, -3.33332819422e-1f, 1.33314422036e-1f, -5.37397155531e-2f, 2.06390887954e-2f,
                           -5.70498872745e-3f);
  const Vec near = fma(mul(p, z), x, x);
  const Vec far = sub(set1(1.0f), div(set1(2.0f), add(exp(add(a, a)), set1(1.0f))));
  return if_gt(set1(0.625f), a, near, with_sign_of(far, x));
}

CC_INLINE Vec floor(Vec x) {
  const Vec r = round(x);
  return if_gt(r, x, sub(r, set1(1.0f)), r);
}
CC_INLINE Vec ceil(Vec x) {
  const Vec r = round(x);
  return if_gt(x, r, add(r, set1(1.0f)), r);
}

// 1 / (1 + e^-x)
CC_INLINE Vec sigmoid(Vec x) { return div(set1(1.0f), add(set1(1.0f), exp(negate(x)))); }

// x / 4 + x P(x^2) / Q(x^2) for |x| < 3.92, where erf rounds to 1; beyond, the fraction stays as it is, x drives the
// sum past 1, and the bound makes it 1 to the last bit. x / 4, which is exact, is most of the sum where |x| is large:
// it keeps what P and Q lose out of the tails. NaN, as second operand of min and max, passes.
CC_INLINE Vec erf(Vec x) {
  const Vec z = min(set1(15.3664f), mul(x, x));
  const Vec p = polynomial(z, 1.723628163f, 1.273311079e-1f, 4.752940312e-2f, 4.583237023e-5f, -1.129399425e-5f,
                           -1.466370031e-5f);
  const Vec q =
      polynomial(z, 1.962282658f, 9.852192998e-1f, 2.239161730e-1f, 2.937419340e-2f, 2.281258814e-3f, 7.474587619e-5f);
  const Vec y = fma(x, div(p, q), mul(x, set1(0.25f)));
  return max(set1(-1.0f), min(set1(1.0f), y));
}

}  // namespace convcore::CONVCORE_ISA
