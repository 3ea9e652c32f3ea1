// SPDX-License-Identifier: BSD-3-Clause
// Resizing along one axis: weighted sums of neighbours. Pointers, sizes and pitches only; see table.h.
#pragma once

#include <cstdint>

namespace convcore {

// Output j is the sum over k in [first[j], first[j + 1]) of weight[k] times input index[k]; 0 where there is no k.
struct ResizeTaps {
  const int32_t *first, *index;
  const float* weight;
};

struct ResizeKernels {
  // Outputs [0, count), each of `columns` floats, in the order of their taps; pitches from one input, or output, to the
  // next. x and y do not overlap.
  void (*resample)(int64_t count, int64_t columns, const ResizeTaps& taps, const float* x, int64_t x_pitch, float* y,
                   int64_t y_pitch);
};

}  // namespace convcore
