// SPDX-License-Identifier: BSD-3-Clause
// Direct backward-weight with few output channels, where vectors along these would leave lanes idle. As planes (one per
// channel, rows of x with a halo, rows of dy with zeros to the same length) both are long runs; with q along the run,
//   dW[o][c][kh][kw] = sum over q of x[c][q + (kh * row + kw) * dilation] * dy[o][q]
// is a dot product: lanes are added up once, at the end. Zeros of dy meet pixels of x: an infinite one makes NaNs.
#pragma once

#include <vector>

#include "ops/convolution.h"

namespace convcore {

class PlaneWeight final : public ConvReduce {
 public:
  // Few outputs, stride 1, one group.
  static bool accepts(const Conv2dGeometry& g);
  // An estimate, against RowWeight's.
  static double cycles(const Conv2dGeometry& g);

  explicit PlaneWeight(const Conv2dGeometry& g);
  size_t workspace_bytes() const override { return parts_ * sums_bytes_ + slots_ * (x_bytes_ + dy_bytes_); }
  void run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const override;

 private:
  // Of some rows of one image.
  void run_block(int64_t block, const Tensor& x, const Tensor& dy, float* x_planes, float* dy_planes, float* sums,
                 bool first) const;

  Conv2dGeometry g_;
  int64_t products_;                  // C * kH * kW of each output
  std::vector<int64_t> offsets_;      // of each in the planes of x
  int64_t block_rows_, blocks_;       // rows of dy in a block; blocks of an image
  int64_t row_, halo_h_;              // floats of a row; rows of x
  int64_t x_plane_, dy_plane_;        // floats
  int64_t parts_, slots_;             // sums over parts_ runs of blocks are kept apart and added up in order
  size_t sums_bytes_, x_bytes_, dy_bytes_;
};

}  // namespace convcore
