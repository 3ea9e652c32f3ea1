// SPDX-License-Identifier: BSD-3-Clause
// Arithmetic's functions of one variable, as activation.cpp has those of networks. NaN gives NaN.
#include "kernels/activation_rows.h"
#include "simd/math.h"

namespace convcore::CONVCORE_ISA {
namespace {

// dx = dy 2 / sqrt(pi) e^(-x^2)
struct Erf {
  CC_INLINE Vec forward(Vec x, auto...) { return erf(x); }
  CC_INLINE Vec backward(Vec dy, Vec x, auto...) { return mul(dy, mul(set1(1.12837917f), exp(negate(mul(x, x))))); }
};

// dx = dy y
struct Exp {
  CC_INLINE Vec forward(Vec x, auto...) { return exp(x); }
  CC_INLINE Vec backward(Vec dy, Vec y, auto...) { return mul(dy, y); }
};

// dx = dy / x
struct Log {
  CC_INLINE Vec forward(Vec x, auto...) { return log(x); }
  CC_INLINE Vec backward(Vec dy, Vec x, auto...) { return div(dy, x); }
};

// dx = dy / 2y
struct Sqrt {
  CC_INLINE Vec forward(Vec x, auto...) { return sqrt(x); }
  CC_INLINE Vec backward(Vec dy, Vec y, auto...) { return div(mul(dy, set1(0.5f)), y); }
};

// -1, 0 or 1
CC_INLINE Vec sign(Vec x) { return if_gt(x, zero(), set1(1.0f), if_gt(zero(), x, set1(-1.0f), x)); }

// dx = dy sign x
struct Abs {
  CC_INLINE Vec forward(Vec x, auto...) { return abs(x); }
  CC_INLINE Vec backward(Vec dy, Vec x, auto...) { return mul(dy, sign(x)); }
};

struct Neg {
  CC_INLINE Vec forward(Vec x, auto...) { return mul(x, set1(-1.0f)); }
  CC_INLINE Vec backward(Vec dy, auto...) { return mul(dy, set1(-1.0f)); }
};

// y = 1 / x;  dx = -dy y^2
struct Reciprocal {
  CC_INLINE Vec forward(Vec x, auto...) { return div(set1(1.0f), x); }
  CC_INLINE Vec backward(Vec dy, Vec y, auto...) { return mul(mul(dy, y), mul(y, set1(-1.0f))); }
};

// Steps have no slope.
struct Step {
  CC_INLINE Vec backward(auto...) { return zero(); }
};
struct Floor : Step {
  CC_INLINE Vec forward(Vec x, auto...) { return floor(x); }
};
struct Ceil : Step {
  CC_INLINE Vec forward(Vec x, auto...) { return ceil(x); }
};
struct Round : Step {
  CC_INLINE Vec forward(Vec x, auto...) { return round(x); }
};
struct Sign : Step {
  CC_INLINE Vec forward(Vec x, auto...) { return sign(x); }
};

// y = min(b, max(a, x));  dx = dy where a <= x <= b
struct Clamp {
  CC_INLINE Vec forward(Vec x, Constants k) { return min(k.b, max(k.a, x)); }
  CC_INLINE Vec backward(Vec dy, Vec x, Constants k) { return if_ge(x, k.a, if_ge(k.b, x, dy, zero()), zero()); }
};

// y = 1 where x is 0, else 0
struct LogicalNot {
  CC_INLINE Vec forward(Vec x, auto...) { return if_eq(x, zero(), set1(1.0f), zero()); }
};

}  // namespace

void fill_unary(ActivationKernels* activation) {
  const auto set = [=](Activation a, ActivationKernels k) { activation[static_cast<int>(a)] = k; };
  set(Activation::erf, kernels_of<Erf>());
  set(Activation::exp, kernels_of<Exp>());
  set(Activation::log, kernels_of<Log>());
  set(Activation::sqrt, kernels_of<Sqrt>());
  set(Activation::abs, kernels_of<Abs>());
  set(Activation::neg, kernels_of<Neg>());
  set(Activation::reciprocal, kernels_of<Reciprocal>());
  set(Activation::floor, kernels_of<Floor>());
  set(Activation::ceil, kernels_of<Ceil>());
  set(Activation::round, kernels_of<Round>());
  set(Activation::sign, kernels_of<Sign>());
  set(Activation::clamp, kernels_of<Clamp>());
  set(Activation::logical_not, {forward_rows<LogicalNot>, nullptr, nullptr});
}

}  // namespace convcore::CONVCORE_ISA
