// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/resize.h"

#include "simd/loop.h"

namespace convcore::CONVCORE_ISA {
namespace {

void resample(int64_t count, int64_t columns, const ResizeTaps& taps, const float* x, int64_t x_pitch, float* y,
              int64_t y_pitch) {
  for (int64_t j = 0; j < count; ++j, y += y_pitch) {
    const int32_t* index = taps.index + taps.first[j];
    const float* weight = taps.weight + taps.first[j];
    const int32_t n = taps.first[j + 1] - taps.first[j];
    if (n == 0) {
      for_row(columns, [&](int64_t i, auto part) CC_LAMBDA { store(y + i, zero(), part); });
      continue;
    }
    const float* a = x + index[0] * x_pitch;
    const Vec wa = set1(weight[0]);
    if (n == 1 && weight[0] == 1.0f) {
      for_row(columns, [&](int64_t i, auto part) CC_LAMBDA { store(y + i, load(a + i, part), part); });
    } else if (n == 2) {
      const float* b = x + index[1] * x_pitch;
      const Vec wb = set1(weight[1]);
      for_row(columns, [&](int64_t i, auto part)
                           CC_LAMBDA { store(y + i, fma(wb, load(b + i, part), mul(wa, load(a + i, part))), part); });
    } else {
      for_row(columns, [&](int64_t i, auto part) CC_LAMBDA {
        Vec total = mul(wa, load(a + i, part));
        for (int32_t k = 1; k < n; ++k) total = fma(set1(weight[k]), load(x + index[k] * x_pitch + i, part), total);
        store(y + i, total, part);
      });
    }
  }
}

}  // namespace

ResizeKernels resize_kernels() { return {resample}; }

}  // namespace convcore::CONVCORE_ISA
