// SPDX-License-Identifier: BSD-3-Clause
// Direct convolution with few output channels, vectors along the pixels of a row (kernels/plane.h): forward of a few
// channels, and backward-input of first layers. Blocks of input rows are copied into planes with a zero
// halo; all sub-convolutions read the same planes.
#pragma once

#include <vector>

#include "ops/convolution.h"
#include "ops/sub_convolution.h"

namespace convcore {

// An estimate of the cycles that bring a pixel of so many channels into planes.
double plane_cycles(int64_t channels);

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
  bool finishes() const override { return s_.parts.size() == 1; }
  int64_t statistic_pixels(int64_t part) const override;

 private:
  struct Part {                   // a sub-convolution
    int64_t weights;              // floats from the start of the packed weights
    std::vector<int64_t> offsets;  // of its taps in a plane
  };

  void plan_blocks();
  void run_block(int64_t block, const Tensor& in, const float* packed, const Epilogue& epilogue, const Tensor& out,
                 float* planes) const;
  void run_part(size_t part, int64_t n, int64_t row, int64_t rows, const float* planes, const float* packed,
                const Epilogue& epilogue, const Tensor& out) const;
  void fill_planes(int64_t n, int64_t row, int64_t rows, const Tensor& in, float* planes) const;

  DirectShape s_;
  std::vector<Part> parts_;
  int64_t dh0_ = 0, dw0_ = 0;      // least tap offsets of all parts
  int64_t block_rows_, blocks_;    // output rows of each part in a block; blocks of an image
  int64_t halo_h_, halo_w_, pitch_;  // rows and columns of a block's planes; floats from row to row
  int64_t slots_;
  size_t packed_floats_ = 0, slot_bytes_;
};

}  // namespace convcore
