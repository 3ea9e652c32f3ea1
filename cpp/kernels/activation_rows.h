// SPDX-License-Identifier: BSD-3-Clause
// What activation.cpp and unary.cpp make of a function of one variable: loops over a block.
#pragma once

#include "kernels/elementwise.h"
#include "simd/loop.h"

namespace convcore::CONVCORE_ISA {
namespace {

// Coefficients, in all lanes.
struct Constants {
  Vec a, b, c;
};

CC_INLINE Constants constants(Coefficients k) { return {set1(k.a), set1(k.b), set1(k.c)}; }

template <class F>
void forward_rows(int64_t rows, int64_t columns, ConstRows x, Rows y, Coefficients coefficients) {
  const Constants k = constants(coefficients);
  for (int64_t r = 0; r < rows; ++r) {
    const float* xr = x.data + r * x.pitch;
    float* yr = y.data + r * y.pitch;
    for_row(columns, [=](int64_t j, auto part) CC_LAMBDA { store(yr + j, F::forward(load(xr + j, part), k), part); });
  }
}

template <class F>
void backward_rows(int64_t rows, int64_t columns, ConstRows dy, ConstRows from, Rows dx, Coefficients coefficients) {
  const Constants k = constants(coefficients);
  for (int64_t r = 0; r < rows; ++r) {
    const float* dyr = dy.data + r * dy.pitch;
    const float* fr = from.data + r * from.pitch;
    float* dxr = dx.data + r * dx.pitch;
    for_row(columns, [=](int64_t j, auto part)
                         CC_LAMBDA { store(dxr + j, F::backward(load(dyr + j, part), load(fr + j, part), k), part); });
  }
}

template <class F>
ActivationKernels kernels_of() {
  return {forward_rows<F>, backward_rows<F>, nullptr};
}

}  // namespace
}  // namespace convcore::CONVCORE_ISA
