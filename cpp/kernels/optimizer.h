// SPDX-License-Identifier: BSD-3-Clause
// One update of a run of parameters, and the norm of gradients. Pointers, sizes and pitches only; see table.h.
//
// n parameters p with gradients g; the other arrays are the optimizer's state. Each update first takes
//   g' = scale * g + weight_decay * p        (scale: gradient clipping)
// but for AdamW, which decays p itself: p <- p * (1 - lr * weight_decay).
#pragma once

#include <cstdint>

namespace convcore {

// buf <- g' on the first step, else momentum * buf + (1 - dampening) * g';  d = buf, or g' + momentum * buf (Nesterov),
// or g' without momentum (buf == null);  p <- p - lr * d
struct SgdUpdate {
  float scale, weight_decay, lr, momentum, one_minus_dampening;
  bool nesterov, first;
};

// m <- m + (1 - beta1) * (g' - m);  v <- beta2 * v + (1 - beta2) * g'^2;
// p <- keep * p - step_size * m / (sqrt(v) / root_correction + eps)
struct AdamUpdate {
  float scale, weight_decay, keep, one_minus_beta1, beta2, one_minus_beta2, step_size, root_correction, eps;
};

// v <- alpha * v + (1 - alpha) * g'^2;  a = sqrt(v) + eps, or sqrt(v - mean^2) + eps when centered, where
// mean <- mean + (1 - alpha) * (g' - mean);  d = g' / a, or buf <- momentum * buf + g' / a;  p <- p - lr * d
struct RmspropUpdate {
  float scale, weight_decay, lr, alpha, one_minus_alpha, eps, momentum;
};

// s <- s + g'^2;  p <- p - lr * g' / (sqrt(s) + eps)
struct AdagradUpdate {
  float scale, weight_decay, lr, eps;
};

struct OptimizerKernels {
  void (*sgd)(int64_t n, const SgdUpdate&, const float* g, float* p, float* buf);
  void (*adam)(int64_t n, const AdamUpdate&, const float* g, float* p, float* m, float* v);
  void (*rmsprop)(int64_t n, const RmspropUpdate&, const float* g, float* p, float* v, float* buf, float* mean);
  void (*adagrad)(int64_t n, const AdagradUpdate&, const float* g, float* p, float* s);
  double (*sum_squares)(int64_t n, const float* g);
};

}  // namespace convcore
