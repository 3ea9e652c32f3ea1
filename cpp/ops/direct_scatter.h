// SPDX-License-Identifier: BSD-3-Clause
// Direct backward-input for few input channels. The tiles of ops/direct.h would use C of a vector's lanes; here a tile's
// columns are the kW*C neighbours that one pixel of dy reaches in a row of dx, and tiles are added into dx:
//   dx[oh*stride + kh*dilation][ow*stride + kw][c] += sum over o of dy[oh][ow][o] * w[o][c][kh][kw]
// An image is summed up in a buffer with a halo, by one thread, in a fixed order.
#pragma once

#include "kernels/tile.h"
#include "ops/convolution.h"

namespace convcore {

class ScatterConvolution final : public ConvMap {
 public:
  // Few enough channels, neighbours without gaps, one group.
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
  void run_image(int64_t n, const Tensor& dy, const float* packed, const Epilogue& epilogue, const Tensor& dx,
                 float* image) const;

  Conv2dGeometry g_;
  int64_t columns_;  // kW * C
  TileShape tile_;
  int64_t panels_;          // of tile_.nr columns
  int64_t halo_h_, halo_w_;  // pixels of dx that dy reaches
  int64_t slots_;
  size_t image_bytes_;
};

}  // namespace convcore
