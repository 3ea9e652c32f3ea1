// SPDX-License-Identifier: BSD-3-Clause
// Backward-weight with few input channels. In channels-last memory the kW*C inputs that one output pixel sees in one
// input row are neighbours: they are the rows of a tile that is summed over pixels, with no packing. Several kernel
// rows share a tile where one would leave registers idle.
#pragma once

#include <cstdint>

namespace convcore {

// acc[i][r][j] = sum over s < segments, k < length of
//     a[a_off[s] + base[i] + k * a_step + r] * b[b_off[s] + k * b_step + j],
// then c[(i * c_base + r) * columns_pitch + j] = acc (+ c if accumulate).
struct RowProductArgs {
  const float *a, *b;
  const int64_t *a_off, *b_off, *base;
  int64_t segments, length, a_step, b_step;
  int columns;  // (vectors - 1) * lanes < columns <= vectors * lanes
  float* c;
  int64_t c_pitch, c_base;  // floats from row to row, and from base to base
  bool accumulate;
  const char* fetch;   // what is needed next: a cache line of it goes to L2 at each of the segments * length steps
  int64_t fetch_step;  // bytes from line to line; 0: nothing is needed
};

inline constexpr int kMaxBases = 5;

struct RowProductKernels {
  int lanes;
  int max_rows[2];  // bases * rows at most, with 1 vector of columns and with 2
  // 0 < bases <= kMaxBases, 0 < rows, 0 < vectors <= 2
  void (*product)(int bases, int rows, int vectors, const RowProductArgs& args);
  // out, packed: `rows` rows of `left` zeros, `middle` floats of in, `right` zeros.
  void (*pad_rows)(const float* in, int64_t in_pitch, int64_t rows, int64_t left, int64_t middle, int64_t right,
                   float* out);
};

}  // namespace convcore
