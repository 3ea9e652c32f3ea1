// SPDX-License-Identifier: BSD-3-Clause
// Rows of an image batch as they are read, some channels of them, copied into aligned memory of a thread: read once and
// in order, which processors foresee, and then walked as a kernel likes.
#pragma once

#include <algorithm>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/tensor.h"
#include "kernels/table.h"

namespace convcore {

struct RowRing {
  int64_t rows = 0;    // that are kept: any `rows` neighbours; 0: rows are read where they are
  int64_t pixels = 0;  // in a row
  int64_t pitch = 0;   // room for channels
  float* memory = nullptr;
  int64_t* kept = nullptr;  // which row each place holds
  const Tensor* source = nullptr;
  int64_t first = 0, last = 0;  // channels

  // For rows that are read several times, a line of each pixel at a time: where the lines do not come from a near cache
  // anyway, or are cut in two by the vectors of a tensor that is not aligned.
  static bool helps(const Tensor& tensor, int64_t channels) {
    constexpr int64_t kLine = kAlignment / sizeof(float), kNear = 8;
    const bool aligned = reinterpret_cast<uintptr_t>(tensor.data) % kAlignment == 0 && tensor.pitch % kLine == 0;
    return !aligned || tensor.pixels() * channels * 4 > kNear * cpu_info().l2;
  }

  size_t bytes() const { return align_up(rows * pixels * pitch * 4) + align_up(rows * sizeof(int64_t)); }

  // From here on, rows are of these channels of `tensor`. scratch: bytes().
  void open(const Tensor& tensor, int64_t first_channel, int64_t last_channel, std::byte* scratch) {
    source = &tensor, first = first_channel, last = last_channel;
    memory = reinterpret_cast<float*>(scratch);
    kept = reinterpret_cast<int64_t*>(scratch + align_up(rows * pixels * pitch * 4));
    std::fill_n(kept, rows, int64_t{-1});
  }

  int64_t step() const { return rows > 0 ? pitch : source->pitch; }  // floats from pixel to pixel
  // Where channel 0 of a row's first pixel is, or would be. row: of all images.
  const float* row(int64_t row) const {
    const float* from = source->f32() + row * pixels * source->pitch;
    if (rows == 0) return from;
    const int64_t place = row % rows;
    float* to = memory + place * pixels * pitch;
    if (kept[place] != row) {
      kept[place] = row;
      table().grouped.copy(pixels, last - first, from + first, source->pitch, to, pitch);
    }
    return to - first;
  }
};

}  // namespace convcore
