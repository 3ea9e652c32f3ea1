// SPDX-License-Identifier: BSD-3-Clause
// Activations. A new one is a struct with `forward` and `backward`, a name in enum Activation and a line in fill().
// Functions of arithmetic: unary.cpp.
#include "kernels/activation_rows.h"
#include "simd/math.h"
#include "simd/relu.h"

namespace convcore::CONVCORE_ISA {
namespace {

// forward: y of x. backward: dx of dy and `from`, which is y or x as the comment says. Relu and Relu6: simd/relu.h. How
// NaN is treated is said there, too.

// y = x where x > 0, else a x;  dx likewise, from x, or from y if a >= 0
struct LeakyRelu {
  CC_INLINE Vec forward(Vec x, Constants k) { return if_gt(x, zero(), x, mul(x, k.a)); }
  CC_INLINE Vec backward(Vec dy, Vec from, Constants k) { return if_gt(from, zero(), dy, mul(dy, k.a)); }
};

// y = 1 / (1 + e^-x);  dx = dy y (1 - y)
struct Sigmoid {
  CC_INLINE Vec forward(Vec x, auto...) { return sigmoid(x); }
  CC_INLINE Vec backward(Vec dy, Vec y, auto...) { return mul(dy, mul(y, sub(set1(1.0f), y))); }
};

// y = tanh x;  dx = dy (1 - y^2)
struct Tanh {
  CC_INLINE Vec forward(Vec x, auto...) { return tanh(x); }
  CC_INLINE Vec backward(Vec dy, Vec y, auto...) { return mul(dy, sub(set1(1.0f), mul(y, y))); }
};

// y = x s with s = sigmoid x;  dx = dy s (1 + x (1 - s))
struct Silu {
  CC_INLINE Vec forward(Vec x, auto...) { return div(x, add(set1(1.0f), exp(negate(x)))); }
  CC_INLINE Vec backward(Vec dy, Vec x, auto...) {
    const Vec s = sigmoid(x), one = set1(1.0f);
    return mul(dy, mul(s, fma(x, sub(one, s), one)));
  }
};

// y = x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2;  dx = dy (Phi(x) + x phi(x)), phi(x) = e^(-x^2/2) / sqrt(2 pi)
struct Gelu {
  CC_INLINE Vec normal_cdf(Vec x) {
    const Vec half = set1(0.5f);
    return fma(half, erf(mul(x, set1(0.707106781f))), half);
  }
  CC_INLINE Vec forward(Vec x, auto...) { return mul(x, normal_cdf(x)); }
  CC_INLINE Vec backward(Vec dy, Vec x, auto...) {
    const Vec density = mul(exp(mul(mul(x, x), set1(-0.5f))), set1(0.398942280f));
    return mul(dy, fma(x, density, normal_cdf(x)));
  }
};

// y = x (1 + tanh u) / 2 = x s with s = sigmoid 2u, u = sqrt(2 / pi) (x + 0.044715 x^3)
// dx = dy (s + x s (1 - s) 2u'),  1 - s = s e^-2u,  2u' = 2 sqrt(2 / pi) (1 + 3 * 0.044715 x^2)
struct GeluTanh {
  CC_INLINE Vec exp_minus_2u(Vec x) {
    return exp(mul(set1(-1.595769122f), fma(mul(mul(x, x), x), set1(0.044715f), x)));
  }
  CC_INLINE Vec forward(Vec x, auto...) { return div(x, add(set1(1.0f), exp_minus_2u(x))); }
  CC_INLINE Vec backward(Vec dy, Vec x, auto...) {
    x = min(set1(10.0f), max(set1(-10.0f), x));  // beyond, the derivative is 0 or 1 to the last bit
    const Vec e = exp_minus_2u(x), one = set1(1.0f), s = div(one, add(one, e));
    const Vec slope = mul(set1(1.595769122f), fma(mul(x, x), set1(0.134145f), one));
    return mul(dy, fma(mul(x, slope), mul(mul(s, e), s), s));
  }
};

// y = x relu6(x + 3) / 6;  dx = 0 where x < -3, dy where x > 3, else dy (x / 3 + 1/2)
struct Hardswish {
  CC_INLINE Vec forward(Vec x, auto...) {
    const Vec gate = min(set1(6.0f), max(zero(), add(x, set1(3.0f))));
    return div(mul(x, gate), set1(6.0f));
  }
  CC_INLINE Vec backward(Vec dy, Vec x, auto...) {
    const Vec three = set1(3.0f), middle = mul(dy, add(div(x, three), set1(0.5f)));
    return if_ge(negate(three), x, zero(), if_ge(x, three, dy, middle));
  }
};

// y = min(1, max(0, a x + b));  dx = a dy where 0 < a x + b < 1
struct Hardsigmoid {
  CC_INLINE Vec forward(Vec x, Constants k) { return min(set1(1.0f), max(zero(), fma(x, k.a, k.b))); }
  CC_INLINE Vec backward(Vec dy, Vec x, Constants k) {
    const Vec line = fma(x, k.a, k.b);
    return if_gt(line, zero(), if_gt(set1(1.0f), line, mul(dy, k.a), zero()), zero());
  }
};

// ELU, SELU and CELU: y = b x where x > 0, else a (e^cx - 1);  dx = b dy where x > 0, else a c dy e^cx
struct Elu {
  CC_INLINE Vec forward(Vec x, Constants k) { return if_gt(x, zero(), mul(x, k.b), mul(k.a, expm1(mul(x, k.c)))); }
  CC_INLINE Vec backward(Vec dy, Vec x, Constants k) {
    return mul(dy, if_gt(x, zero(), k.b, mul(mul(k.a, k.c), exp(mul(x, k.c)))));
  }
};

// y = x t with t = tanh ln(1 + e^x) = n / (n + 2), n = e^x (e^x + 2);  dx = dy (t + x (1 - t^2) sigmoid x)
struct Mish {
  CC_INLINE Vec numerator(Vec x) {
    const Vec e = exp(min(set1(20.0f), x));  // beyond, t is 1
    return mul(e, add(e, set1(2.0f)));
  }
  CC_INLINE Vec forward(Vec x, auto...) {
    const Vec n = numerator(x);
    return mul(x, div(n, add(n, set1(2.0f))));
  }
  CC_INLINE Vec backward(Vec dy, Vec x, auto...) {
    const Vec n = numerator(x), two = set1(2.0f), below = add(n, two), t = div(n, below);
    const Vec square = mul(div(two, below), add(t, set1(1.0f)));
    return mul(dy, fma(mul(x, square), sigmoid(x), t));
  }
};

// y = ln(1 + e^ax) / a, and x where a x > b;  dx = dy sigmoid ax, and dy where a x > b
struct Softplus {
  CC_INLINE Vec forward(Vec x, Constants k) {
    const Vec u = mul(x, k.a);
    return if_gt(u, k.b, x, div(add(max(zero(), u), log1p(exp(negate(abs(u))))), k.a));
  }
  CC_INLINE Vec backward(Vec dy, Vec x, Constants k) {
    const Vec u = mul(x, k.a);
    return if_gt(u, k.b, dy, mul(dy, sigmoid(u)));
  }
};

// y = x / (1 + |x|);  dx = dy / (1 + |x|)^2
struct Softsign {
  CC_INLINE Vec forward(Vec x, auto...) { return div(x, add(set1(1.0f), abs(x))); }
  CC_INLINE Vec backward(Vec dy, Vec x, auto...) {
    const Vec d = add(set1(1.0f), abs(x));
    return div(div(dy, d), d);
  }
};

// y = x where x > a, else b;  dx = dy where x > a
struct Threshold {
  CC_INLINE Vec forward(Vec x, Constants k) { return if_ge(k.a, x, k.b, x); }
  CC_INLINE Vec backward(Vec dy, Vec x, Constants k) { return if_ge(k.a, x, zero(), dy); }
};

template <class F>
void backward_sum(int64_t rows, int64_t columns, ConstRows from, Rows dy, float* sum) {
  for_row(columns, [=](int64_t j, auto part) CC_LAMBDA {
    const auto row = [=](int64_t r) CC_LAMBDA {
      float* at = dy.data + r * dy.pitch + j;
      const Vec d = F::backward(load(at, part), load(from.data + r * from.pitch + j, part), zero());
      store(at, d, part);
      return d;
    };
    Vec acc[4] = {load(sum + j, part), zero(), zero(), zero()};  // hides the latency of the addition
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
      _Pragma("GCC unroll 4") for (int i = 0; i < 4; ++i) acc[i] = add(acc[i], row(r + i));
    }
    for (; r < rows; ++r) acc[0] = add(acc[0], row(r));
    store(sum + j, add(add(acc[0], acc[1]), add(acc[2], acc[3])), part);
  });
}

template <class F>
ActivationKernels kernels_with_sum() {
  return {forward_rows<F>, backward_rows<F>, backward_sum<F>};
}

}  // namespace

void fill(ActivationKernels* activation) {
  const auto set = [=](Activation a, ActivationKernels k) { activation[static_cast<int>(a)] = k; };
  set(Activation::relu, kernels_with_sum<Relu>());
  set(Activation::relu6, kernels_with_sum<Relu6>());
  set(Activation::leaky_relu, kernels_of<LeakyRelu>());
  set(Activation::sigmoid, kernels_of<Sigmoid>());
  set(Activation::tanh, kernels_of<Tanh>());
  set(Activation::silu, kernels_of<Silu>());
  set(Activation::gelu, kernels_of<Gelu>());
  set(Activation::gelu_tanh, kernels_of<GeluTanh>());
  set(Activation::hardswish, kernels_of<Hardswish>());
  set(Activation::hardsigmoid, kernels_of<Hardsigmoid>());
  set(Activation::elu, kernels_of<Elu>());
  set(Activation::mish, kernels_of<Mish>());
  set(Activation::softplus, kernels_of<Softplus>());
  set(Activation::softsign, kernels_of<Softsign>());
  set(Activation::threshold, kernels_of<Threshold>());
}

}  // namespace convcore::CONVCORE_ISA
