// SPDX-License-Identifier: BSD-3-Clause
// ReLU, ReLU6 and no activation, for all kernels that end in one. min and max give their second operand where one is
// NaN, comparisons with NaN are false: the order of operands treats NaN as PyTorch does.
//
// forward: y of x. backward: dx of dy and y, or of dy and x: y > 0 just where x > 0, y < 6 just where x < 6. The last
// arguments are there for activations that have coefficients.
#pragma once

#include "simd/vec.h"

namespace convcore::CONVCORE_ISA {

struct Identity {
  CC_INLINE Vec forward(Vec x, auto...) { return x; }
  CC_INLINE Vec backward(Vec dy, Vec, auto...) { return dy; }
};

// y = max(0, x);  dx = dy where y > 0
struct Relu {
  CC_INLINE Vec forward(Vec x, auto...) { return max(zero(), x); }
  CC_INLINE Vec backward(Vec dy, Vec y, auto...) { return if_ge(zero(), y, zero(), dy); }
};

// y = min(6, max(0, x));  dx = dy where 0 < y < 6
struct Relu6 {
  CC_INLINE Vec forward(Vec x, auto...) { return min(set1(6.0f), max(zero(), x)); }
  CC_INLINE Vec backward(Vec dy, Vec y, auto...) {
    return if_gt(y, zero(), if_gt(set1(6.0f), y, dy, zero()), zero());
  }
};

}  // namespace convcore::CONVCORE_ISA
