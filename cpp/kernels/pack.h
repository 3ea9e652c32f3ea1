// SPDX-License-Identifier: BSD-3-Clause
// Rearranging weights, and operands of matrix products, for the register tiles of tile.h. Pointers and sizes only; see
// table.h.
#pragma once

#include <cstdint>

namespace convcore {

// dst[(place[t] + c) * step + j] = src[j * pitch + c * taps + t] for c < channels, t < taps, j < rows, and 0 for
// rows <= j < width: rows of `channels x taps` floats become rows of `width` floats, wherever their tap has its place
// (a negative place: that tap is left out).
struct TransposeArgs {
  const float* src;
  int64_t pitch, rows, channels, taps;
  float* dst;
  const int64_t* place;
  int64_t step, width;
  // dst will not be read soon: whole cache lines go past the caches, if dst is aligned, and step and width are
  // multiples of 16. Call fence() before others read it.
  bool past_caches = false;
  int64_t ahead = 0;  // what will be read some hundred cycles later stands so many floats behind what is read now
};

struct PackKernels {
  void (*transpose)(const TransposeArgs& args);
  // dst[j * taps + t] = src[t * pitch + j] for j < columns, t < taps. Whole vectors are written: dst has room for
  // (columns rounded up to 16) * taps + 16 floats.
  void (*interleave)(const float* src, int64_t pitch, int64_t taps, int64_t columns, float* dst);
  // dst[i * dst_pitch + j] = src[i * src_pitch + j] for i < rows, j < columns, in whole cache lines where rows have
  // some, so that dst need not be read first. past_caches: it will not be read soon; call fence() before others do.
  void (*store_rows)(const float* src, int64_t src_pitch, int64_t rows, int64_t columns, float* dst, int64_t dst_pitch,
                     bool past_caches);
  void (*fence)();
  // dst[i * width + j] = src[i * pitch + j] for i < rows, j < columns, and 0 for columns <= j < width.
  void (*copy_rows)(const float* src, int64_t pitch, int64_t rows, int64_t columns, float* dst, int64_t width);
};

}  // namespace convcore
