// SPDX-License-Identifier: BSD-3-Clause
// Gather tiles (kernels/tile.h) of one vector of channels, whose pixels are evenly spaced. One vector needs an address
// for each multiplication: here addresses are computed from a few registers, where the gather tile loads each.
#pragma once

#include <cstdint>

namespace convcore {

// acc[p][j] = sum over s < segments, k < length of  x[p * x_step + offsets[s] + k] * w[(s * length + k) * lanes + j];
// y[p * y_step + j] = min(max(acc[p][j] + bias[j] + add[p * add_step + j], lower), upper), without bias or add if null.
// Columns of w beyond `columns` are zero; 0 < columns <= lanes. add may be y itself.
struct RunArgs {
  const float* x;
  int64_t x_step;
  const int64_t* offsets;
  int64_t segments, length;
  const float* w;
  float* y;
  int64_t y_step;
  int columns;
  const float *bias, *add;
  int64_t add_step;
  float lower, upper;
};

struct RunKernels {
  int max_rows;
  void (*tile)(int rows, const RunArgs& args);  // 0 < rows <= max_rows
};

}  // namespace convcore
