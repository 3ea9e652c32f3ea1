// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/optimizer.h"

#include "simd/vec.h"

namespace convcore::CONVCORE_ISA {
namespace {

CC_INLINE Vec load_some(const float* p, int n) { return n == kLanes ? load(p) : load_n(p, n); }
CC_INLINE void store_some(float* p, Vec v, int n) { n == kLanes ? store(p, v) : store_n(p, v, n); }

// body(i, lanes) for every vector of n floats, the last one short.
template <class Body>
CC_INLINE void each_vector(int64_t n, Body&& body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, static_cast<int>(kLanes));
  if (i < n) body(i, static_cast<int>(n - i));
}

// g' = scale * g + weight_decay * p
CC_INLINE Vec gradient(Vec g, Vec p, float scale, float weight_decay) {
  g = mul(g, set1(scale));
  return weight_decay != 0 ? fma(p, set1(weight_decay), g) : g;
}

void sgd(int64_t n, const SgdUpdate& u, const float* g, float* p, float* buf) {
  const Vec minus_lr = set1(-u.lr), momentum = set1(u.momentum), damped = set1(u.one_minus_dampening);
  each_vector(n, [&](int64_t i, int lanes) {
    const Vec x = load_some(p + i, lanes);
    Vec d = gradient(load_some(g + i, lanes), x, u.scale, u.weight_decay);
    if (buf) {
      const Vec b = u.first ? d : fma(d, damped, mul(load_some(buf + i, lanes), momentum));
      store_some(buf + i, b, lanes);
      d = u.nesterov ? fma(b, momentum, d) : b;
    }
    store_some(p + i, fma(d, minus_lr, x), lanes);
  });
}

void adam(int64_t n, const AdamUpdate& u, const float* g, float* p, float* m, float* v) {
  const Vec one_minus_beta1 = set1(u.one_minus_beta1), one_minus_beta2 = set1(u.one_minus_beta2), keep = set1(u.keep);
  const Vec beta2 = set1(u.beta2), minus_step = set1(-u.step_size), root = set1(u.root_correction), eps = set1(u.eps);
  each_vector(n, [&](int64_t i, int lanes) {
    const Vec x = load_some(p + i, lanes);
    const Vec d = gradient(load_some(g + i, lanes), x, u.scale, u.weight_decay);
    Vec mean = load_some(m + i, lanes);
    mean = fma(sub(d, mean), one_minus_beta1, mean);
    const Vec square = fma(mul(d, d), one_minus_beta2, mul(load_some(v + i, lanes), beta2));
    store_some(m + i, mean, lanes);
    store_some(v + i, square, lanes);
    const Vec step = div(mean, add(div(sqrt(square), root), eps));
    store_some(p + i, fma(step, minus_step, mul(x, keep)), lanes);
  });
}

void rmsprop(int64_t n, const RmspropUpdate& u, const float* g, float* p, float* v, float* buf, float* mean) {
  const Vec alpha = set1(u.alpha), one_minus_alpha = set1(u.one_minus_alpha), eps = set1(u.eps);
  const Vec minus_lr = set1(-u.lr), momentum = set1(u.momentum);
  each_vector(n, [&](int64_t i, int lanes) {
    const Vec x = load_some(p + i, lanes);
    const Vec d = gradient(load_some(g + i, lanes), x, u.scale, u.weight_decay);
    const Vec square = fma(mul(d, d), one_minus_alpha, mul(load_some(v + i, lanes), alpha));
    store_some(v + i, square, lanes);
    Vec variance = square;
    if (mean) {
      Vec a = load_some(mean + i, lanes);
      a = fma(sub(d, a), one_minus_alpha, a);
      store_some(mean + i, a, lanes);
      variance = sub(square, mul(a, a));
    }
    Vec step = div(d, add(sqrt(variance), eps));
    if (buf) {
      step = fma(load_some(buf + i, lanes), momentum, step);
      store_some(buf + i, step, lanes);
    }
    store_some(p + i, fma(step, minus_lr, x), lanes);
  });
}

void adagrad(int64_t n, const AdagradUpdate& u, const float* g, float* p, float* s) {
  const Vec minus_lr = set1(-u.lr), eps = set1(u.eps);
  each_vector(n, [&](int64_t i, int lanes) {
    const Vec x = load_some(p + i, lanes);
    const Vec d = gradient(load_some(g + i, lanes), x, u.scale, u.weight_decay);
    const Vec sum = fma(d, d, load_some(s + i, lanes));
    store_some(s + i, sum, lanes);
    store_some(p + i, fma(div(d, add(sqrt(sum), eps)), minus_lr, x), lanes);
  });
}

// Squares of floats are exact in double; eight sums, so that the compiler can use vectors.
double sum_squares(int64_t n, const float* g) {
  double sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int k = 0; k < 8; ++k) sums[k] += static_cast<double>(g[i + k]) * g[i + k];
  for (; i < n; ++i) sums[0] += static_cast<double>(g[i]) * g[i];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

}  // namespace

OptimizerKernels optimizer_kernels() { return {sgd, adam, rmsprop, adagrad, sum_squares}; }

}  // namespace convcore::CONVCORE_ISA
