// SPDX-License-Identifier: BSD-3-Clause
// Direct backward-input that multiplies no zeros. The tiles of ops/direct.h would use C of a vector's lanes, and read a
// halo as wide as the kernel around dy; here a tile's columns are the kW*C neighbours that one column of dy reaches in
// a row of dx, and tiles are added into dx:
//   dx[ih][ow*stride + kw][c] += sum over kh, o of dy[oh][ow][o] * w[o][c][kh][kw], ih = oh*stride + kh*dilation
// A row of dx is summed up in a buffer with a halo, in a fixed order: of several images at once, whose pixels at one
// place are the rows of a tile.
#pragma once

#include <vector>

#include "kernels/tile.h"
#include "ops/convolution.h"

namespace convcore {

class ScatterConvolution final : public ConvMap {
 public:
  // Neighbours without gaps, one group.
  static bool accepts(const Conv2dGeometry& g);
  // An estimate, against the other ways to the same result.
  static double cycles(const Conv2dGeometry& g);

  explicit ScatterConvolution(const Conv2dGeometry& g);
  size_t packed_bytes() const override;
  size_t workspace_bytes() const override;
  void pack(const float* weight, std::byte* packed) const override;
  void run(const Tensor& dy, const std::byte* packed, const Epilogue& epilogue, const Tensor& dx,
           std::byte* workspace) const override;

 private:
  // Row `row` of dx, of images n to n + count.
  void sum_row(int64_t n, int64_t count, int64_t row, const Tensor& dy, const float* packed, float* sums,
               int64_t* offsets) const;
  void store_row(const float* sums, int64_t n, int64_t row, const Epilogue& epilogue, const Tensor& dx) const;

  Conv2dGeometry g_;
  int64_t columns_;  // kW * C
  TileShape tile_;
  int64_t panels_;             // of tile_.nr columns
  std::vector<int64_t> rows_;  // kh, those that reach the same rows of dx side by side
  int64_t halo_w_;             // columns of dx that dy reaches
  int64_t groups_, shares_;    // of images; of the rows of a group, for the threads
  int64_t slots_;
  size_t sums_bytes_, offsets_bytes_;  // of a slot
};

}  // namespace convcore
