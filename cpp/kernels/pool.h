// SPDX-License-Identifier: BSD-3-Clause
// Pooling over channels-last pixels. Pointers, sizes and pitches only; see table.h.
//
// A window is a row range times a column range, both read from tables, so that sliding, dilated, clipped and adaptive
// windows are one kernel. One call does one row of one image, for `channels` channels.
#pragma once

#include <cstdint>

namespace convcore {

// The window of one output along one axis.
struct PoolWindow {
  int32_t origin;  // coordinate of its first tap, which may lie in the padding
  int32_t begin;   // coordinate of its first tap inside the map
  int32_t count;   // taps inside the map, `dilation` apart; 0 is possible with dilation
  float scale;     // what sums are multiplied with: 1 / divisor along this axis, or 1
};

// Outputs [first, first + count) whose windows reach over one input coordinate.
struct PoolCover {
  int32_t first, count;
};

// Images are `height * width` pixels; pitches are elements from one pixel to the next.
struct PoolArgs {
  int32_t height, width, out_height, out_width;
  int32_t row_dilation, column_dilation;
  int32_t extent;  // columns from the first to the last tap of the widest window, plus one
  bool fills;      // disjoint windows leave no input pixel out
  // Columns [run_begin, run_end) have unclipped windows of one size, run_step apart.
  int32_t run_begin, run_end, run_step;
  int64_t channels;
  int64_t x_pitch, y_pitch, position_pitch;
  const PoolWindow *rows, *columns;
  const PoolCover *row_covers, *column_covers;  // backward only
};

// Where the maximum of a window stands:
//   u8:  (row - rows[].origin) * extent + (column - columns[].origin), at most 255; readable for 64 bytes beyond the
//   end i32, i64: row * width + column in the input map; -1 for a window without taps inside the map
// The first of equals wins; a NaN wins over all numbers, the last NaN over the others (PyTorch's rule).
struct PoolKernels {
  // Output row `row`. x, y, position: the image's first pixel (of the first channel wanted).
  void (*max)(const PoolArgs& args, int row, const float* x, float* y);
  void (*max_u8)(const PoolArgs& args, int row, const float* x, float* y, uint8_t* position);
  void (*max_i32)(const PoolArgs& args, int row, const float* x, float* y, int32_t* position);
  void (*max_i64)(const PoolArgs& args, int row, const float* x, int64_t* position);
  void (*sum)(const PoolArgs& args, int row, const float* x, float* y);

  // Input row `row`: dx = sum over the windows that hold the pixel, in output order.
  void (*max_gather)(const PoolArgs& args, int row, const float* dy, const uint8_t* position, float* dx);
  void (*sum_gather)(const PoolArgs& args, int row, const float* dy, float* dx);
  // Disjoint windows without dilation. Writes the input rows from output row `row`'s window to the next one's.
  void (*max_spread)(const PoolArgs& args, int row, const float* dy, const uint8_t* position, float* dx);
  void (*sum_spread)(const PoolArgs& args, int row, const float* dy, float* dx);
  // The whole image, in output order; any windows.
  void (*max_scatter)(const PoolArgs& args, const float* dy, const int32_t* position, float* dx);
};

}  // namespace convcore
