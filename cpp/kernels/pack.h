// SPDX-License-Identifier: BSD-3-Clause
// Rearranging weights, and operands of matrix products, for the register tiles of tile.h. Pointers and sizes only; see
// table.h.
#pragma once

#include <cstdint>

namespace convcore {

// dst[place[t] + c * step + j] = src[j * pitch + c * taps + t] for c < channels, t < taps, j < rows, and 0 for
// rows <= j < width: rows of `channels x taps` floats become rows of `width` floats, wherever their tap has its place
// (a negative place: that tap is left out).
struct TransposeArgs {
  const float* src;
  int64_t pitch, rows, channels, taps;
  float* dst;
  const int64_t* place;
  int64_t step, width;
};

struct PackKernels {
  void (*transpose)(const TransposeArgs& args);
  // dst[i * width + j] = src[i * pitch + j] for i < rows, j < columns, and 0 for columns <= j < width.
  void (*copy_rows)(const float* src, int64_t pitch, int64_t rows, int64_t columns, float* dst, int64_t width);
};

}  // namespace convcore
