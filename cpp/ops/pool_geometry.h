// SPDX-License-Identifier: BSD-3-Clause
// The one place that computes the windows of every pooling op, sliding or adaptive, and validates them.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/parallel.h"
#include "kernels/pool.h"
#include "ops/op.h"

namespace convcore {

// All windows along one axis.
struct PoolAxis {
  int64_t in = 0, out = 0;
  int64_t extent = 0;   // coordinates from the first to the last tap of the widest window, plus one
  int64_t overlap = 0;  // most windows that reach over one coordinate
  int64_t taps = 0;     // most taps in a window
  int64_t dilation = 1;
  bool disjoint = false;                             // no two windows touch, and no window has holes
  bool fills = false;                                // disjoint, and every coordinate is in a window
  int64_t run_begin = 0, run_end = 0, run_step = 0;  // see PoolArgs
  std::vector<PoolWindow> windows;                   // one per output
  std::vector<PoolCover> covers;                     // one per coordinate
};

// Sliding windows, as torch.nn.MaxPool2d and AvgPool2d have them:
//   out = floor((in + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
//   ceil_mode rounds up instead, but drops a last window that would start in the right padding.
// Adaptive windows, as torch.nn.AdaptiveAvgPool2d: output o covers floor(o * in / out) up to ceil((o + 1) * in / out).
class PoolGeometry {
 public:
  enum class Divisor {
    none,    // sums
    window,  // taps in the map and its padding, but not what ceil_mode adds beyond (count_include_pad)
    inside   // taps in the map
  };
  enum class Windows { sliding, adaptive };

  // Reads kernel_size, stride, padding, dilation and ceil_mode, or output_size. Throws ValueError unless kernel_size,
  // stride, dilation and output_size are positive, 0 <= padding <= kernel_size / 2, and all below 2^31.
  PoolGeometry(std::string_view kind, Windows windows, const Attributes& attributes, Divisor divisor);

  // Builds the windows; returns the output's shape. Throws TypeError unless x is float32; ShapeError unless its rank is
  // 3 or 4, its channels and sides are positive, its sides below 2^31, and a window fits into the padded map.
  Shape plan(std::span<const TensorSpec> inputs);

  const PoolAxis& rows() const { return rows_; }
  const PoolAxis& columns() const { return columns_; }
  int64_t n() const { return n_; }
  int64_t channels() const { return channels_; }
  int64_t outputs() const { return n_ * rows_.out * columns_.out * channels_; }
  int64_t input_pixels() const { return rows_.in * columns_.in; }     // of one image
  int64_t output_pixels() const { return rows_.out * columns_.out; }  // of one image
  int64_t flops() const;                                              // one per tap
  bool disjoint() const { return rows_.disjoint && columns_.disjoint; }

  // What kernels are given. Positions, if any, are packed.
  PoolArgs args(int64_t x_pitch, int64_t y_pitch) const;

  // All of the batch, in parallel, in pieces cut by shape. body(image, output row, first channel, channels)
  template <class Body>
  void for_output_rows(Body&& body) const;
  // body(image, input row)
  template <class Body>
  void for_input_rows(Body&& body) const;

 private:
  int64_t taps() const { return rows_.taps * columns_.taps; }
  PoolAxis plan_axis(int axis, int64_t in, int64_t out) const;

  std::string kind_;
  Windows style_;
  Divisor divisor_;
  bool ceil_mode_ = false;
  int64_t kernel_[2]{}, stride_[2]{}, padding_[2]{}, dilation_[2]{1, 1}, output_size_[2]{};
  int64_t n_ = 0, channels_ = 0;
  PoolAxis rows_, columns_;
};

template <class Body>
void PoolGeometry::for_output_rows(Body&& body) const {
  // Few rows (global pooling of a small batch) are cut along channels too.
  const int64_t rows = n_ * rows_.out, slice = rows < 16 && channels_ > 64 ? 64 : channels_;
  const int64_t slices = (channels_ + slice - 1) / slice;
  parallel_for(rows * slices, 1, columns_.out * std::min(taps(), int64_t{1024}) * slice,
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t row = i / slices, first = i % slices * slice;
                   body(row / rows_.out, static_cast<int>(row % rows_.out), first, std::min(slice, channels_ - first));
                 }
               });
}

template <class Body>
void PoolGeometry::for_input_rows(Body&& body) const {
  const int64_t windows = std::min(rows_.overlap * columns_.overlap, int64_t{1024});
  parallel_for(n_ * rows_.in, 1, columns_.in * channels_ * windows, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i / rows_.in, static_cast<int>(i % rows_.in));
  });
}

}  // namespace convcore
