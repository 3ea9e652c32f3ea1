// SPDX-License-Identifier: BSD-3-Clause
// Direct convolution with few output channels, vectors along the pixels of a row (kernels/plane.h): forward of a few
// channels, and backward-input of first layers. Blocks of input rows are copied into planes with a zero halo.
#pragma once

#include <vector>

#include "ops/convolution.h"
#include "ops/sub_convolution.h"

namespace convcore {

class PlaneConvolution final : public ConvMap {
 public:
  // Few outputs, neighbours that read neighbours, one group.
  static bool accepts(const DirectShape& s);
  // Cycles for everything, by a model of two products or operands a cycle.
  static double cycles(const DirectShape& s);

  explicit PlaneConvolution(DirectShape shape);
  size_t packed_bytes() const override { return packed_floats_ * 4; }
  size_t workspace_bytes() const override { return slots_ * slot_bytes_; }
  void pack(const float* weight, std::byte* packed) const override;
  void run(const Tensor& in, const std::byte* packed, const Epilogue& epilogue, const Tensor& out,
           std::byte* workspace) const override;
  // A part is a block of rows of one image. None for several sub-convolutions.
  int64_t statistic_parts() const override;
  int64_t statistic_pixels(int64_t part) const override;

 private:
  // A sub-convolution, cut into blocks of output rows of one image.
  struct Part {
    int64_t dh0, dw0;                // least tap offsets
    int64_t block_rows, blocks;      // of an image
    int64_t halo_h, halo_w, pitch;   // rows and columns of the planes of a block; floats from row to row
    int64_t weights;                 // floats from the start of the packed weights
    int64_t first_task;
    std::vector<int64_t> offsets;    // of the taps in a plane
  };

  Part plan_part(const SubConvolution& sub) const;
  void run_task(int64_t task, const Tensor& in, const float* packed, const Epilogue& epilogue, const Tensor& out,
                float* planes) const;
  void fill_planes(const Part& p, int64_t n, int64_t row, int64_t rows, const Tensor& in, float* planes) const;

  DirectShape s_;
  std::vector<Part> parts_;
  int64_t tasks_ = 0, slots_ = 1;
  size_t packed_floats_ = 0, slot_bytes_ = 0;
};

}  // namespace convcore
