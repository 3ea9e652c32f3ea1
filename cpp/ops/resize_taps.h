// SPDX-License-Identifier: BSD-3-Clause
// Which inputs, with which weights, make each output of a resized axis.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/resize.h"
#include "ops/attributes.h"

namespace convcore {

// What all axes of one resize share: ONNX's attributes of Resize, by their names.
struct ResizeMode {
  enum class Filter { nearest, linear, cubic };
  enum class Coordinates { half_pixel, half_pixel_symmetric, pytorch_half_pixel, align_corners, asymmetric, crop };
  enum class Nearest { round_prefer_floor, round_prefer_ceil, floor, ceil };

  ResizeMode(std::string_view kind, const Attributes& attributes);

  Filter filter;
  Coordinates coordinates;
  Nearest nearest;
  double cubic;  // cubic_coeff_a
  bool exclude_outside, antialias;
};

class AxisTaps {
 public:
  AxisTaps() = default;
  // scale: outputs per input, as the coordinates are to be computed. begin, end: the part of the axis that is seen
  // (Coordinates::crop), 0 and 1 for all.
  AxisTaps(const ResizeMode& mode, int64_t in, int64_t out, double scale, double begin, double end);

  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  bool is_identity() const;  // each output is the input with its number
  AxisTaps transposed() const;
  ResizeTaps taps(int64_t output = 0) const { return {first_.data() + output, index_.data(), weight_.data()}; }
  // The one input that the output is, or -1.
  int64_t copy_of(int64_t output) const {
    const int32_t k = first_[static_cast<size_t>(output)];
    const bool single = first_[static_cast<size_t>(output) + 1] == k + 1;
    return single && weight_[static_cast<size_t>(k)] == 1.0f ? index_[static_cast<size_t>(k)] : -1;
  }
  int64_t most() const;                                             // taps of an output
  const std::vector<int64_t>& outside() const { return outside_; }  // outputs beyond the cropped input: extrapolated

 private:
  void add(const ResizeMode& mode, double at, double scale);

  int64_t in_ = 0, out_ = 0;
  std::vector<int32_t> first_, index_;
  std::vector<float> weight_;
  std::vector<int64_t> outside_;
};

}  // namespace convcore
