// SPDX-License-Identifier: BSD-3-Clause
// Softmax, log-softmax and what cross-entropy needs, row by row. The largest entry is subtracted before exp, so nothing
// overflows; a row with NaN, or with no finite entry, gives NaN, as in PyTorch.
#include "kernels/elementwise.h"
#include "simd/loop.h"
#include "simd/math.h"

namespace convcore::CONVCORE_ISA {
namespace {

CC_INLINE float row_max(int64_t columns, const float* x) {
  const Vec lowest = set1(-__builtin_inff());
  Vec largest = lowest;
  for_row(columns, [&](int64_t j, auto part) CC_LAMBDA {
    largest = max(keep(load(x + j, part), lowest, part), largest);
  });
  return hmax(largest);
}

CC_INLINE float sum_exp(int64_t columns, const float* x, float shift) {
  Vec total = zero();
  for_row(columns, [&](int64_t j, auto part) CC_LAMBDA {
    total = add(total, keep(exp(sub(load(x + j, part), set1(shift))), zero(), part));
  });
  return sum(total);
}

CC_INLINE float row_log_sum_exp(int64_t columns, const float* x, float largest) {
  const float total = sum_exp(columns, x, largest);
  float log_total;
  store_n(&log_total, log(set1(total)), 1);
  return log_total;
}

// y_j = e^(x_j - max) / sum
void softmax(int64_t rows, int64_t columns, ConstRows x, Rows y) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* xr = x.data + r * x.pitch;
    float* yr = y.data + r * y.pitch;
    const Vec largest = set1(row_max(columns, xr));
    Vec total = zero();
    for_row(columns, [&](int64_t j, auto part) CC_LAMBDA {
      const Vec e = exp(sub(load(xr + j, part), largest));
      store(yr + j, e, part);
      total = add(total, keep(e, zero(), part));
    });
    const Vec whole = set1(sum(total));
    for_row(columns, [=](int64_t j, auto part) CC_LAMBDA { store(yr + j, div(load(yr + j, part), whole), part); });
  }
}

// dx_j = y_j (dy_j - sum_k dy_k y_k)
void softmax_backward(int64_t rows, int64_t columns, ConstRows dy, ConstRows y, Rows dx) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* dyr = dy.data + r * dy.pitch;
    const float* yr = y.data + r * y.pitch;
    float* dxr = dx.data + r * dx.pitch;
    Vec total = zero();
    for_row(columns, [&](int64_t j, auto part) CC_LAMBDA {
      total = fma(load(dyr + j, part), load(yr + j, part), total);
    });
    const Vec mean = set1(sum(total));
    for_row(columns, [=](int64_t j, auto part) CC_LAMBDA {
      store(dxr + j, mul(load(yr + j, part), sub(load(dyr + j, part), mean)), part);
    });
  }
}

// y_j = (x_j - max) - log sum
void log_softmax(int64_t rows, int64_t columns, ConstRows x, Rows y) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* xr = x.data + r * x.pitch;
    float* yr = y.data + r * y.pitch;
    const float largest = row_max(columns, xr);
    const Vec m = set1(largest), l = set1(row_log_sum_exp(columns, xr, largest));
    for_row(columns, [=](int64_t j, auto part) CC_LAMBDA {
      store(yr + j, sub(sub(load(xr + j, part), m), l), part);
    });
  }
}

// dx_j = dy_j - e^y_j sum_k dy_k
void log_softmax_backward(int64_t rows, int64_t columns, ConstRows dy, ConstRows y, Rows dx) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* dyr = dy.data + r * dy.pitch;
    const float* yr = y.data + r * y.pitch;
    float* dxr = dx.data + r * dx.pitch;
    Vec total = zero();
    for_row(columns, [&](int64_t j, auto part) CC_LAMBDA { total = add(total, load(dyr + j, part)); });
    const Vec whole = set1(sum(total));
    for_row(columns, [=](int64_t j, auto part) CC_LAMBDA {
      store(dxr + j, sub(load(dyr + j, part), mul(exp(load(yr + j, part)), whole)), part);
    });
  }
}

void log_sum_exp(int64_t rows, int64_t columns, ConstRows x, float* lse) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* xr = x.data + r * x.pitch;
    const float largest = row_max(columns, xr);
    lse[r] = largest + row_log_sum_exp(columns, xr, largest);
  }
}

float weighted_nll(int64_t columns, const float* x, const float* w, float lse) {
  Vec total = zero();
  for_row(columns, [&](int64_t j, auto part) CC_LAMBDA {
    const Vec nll = sub(set1(lse), load(x + j, part));
    total = add(total, keep(w ? mul(load(w + j, part), nll) : nll, zero(), part));
  });
  return sum(total);
}

void cross_entropy_backward(int64_t columns, const float* x, const float* w, float lse, float a, float b, float* dx) {
  for_row(columns, [=](int64_t j, auto part) CC_LAMBDA {
    const Vec p = exp(sub(load(x + j, part), set1(lse)));
    const Vec uniform = w ? mul(load(w + j, part), set1(b)) : set1(b);
    store(dx + j, sub(mul(set1(a), p), uniform), part);
  });
}

}  // namespace

SoftmaxKernels softmax_kernels() {
  return {softmax,     softmax_backward, log_softmax,           log_softmax_backward,
          log_sum_exp, weighted_nll,     cross_entropy_backward};
}

}  // namespace convcore::CONVCORE_ISA
