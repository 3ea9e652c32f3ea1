// SPDX-License-Identifier: BSD-3-Clause
// Backward-weight in narrow groups: a vector's sums for some taps of a kernel row stay in registers over rows.
// Rows are cut into parts by the shape alone, and the parts' sums are added in order.
#pragma once

#include "ops/convolution.h"
#include "ops/grouped_lanes.h"
#include "ops/row_ring.h"

namespace convcore {

class GroupedWeight final : public ConvReduce {
 public:
  explicit GroupedWeight(const Conv2dGeometry& g);

  size_t workspace_bytes() const override;
  void run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const override;

 private:
  void run_task(int64_t number, const Tensor& x, const Tensor& dy, const float* zeros, float* sums,
                std::byte* scratch) const;
  void scatter(float* sums, float* dw) const;
  template <int N>
  void scatter_lanes(const float* row, float* dw) const;

  Conv2dGeometry g_;
  GroupedChannels channels_;
  int64_t rows_;    // output rows of the batch, all images
  int64_t block_;   // rows at a time, which stay in cache for all taps
  int64_t parts_, splits_;  // shares of the rows, of the vectors
  int64_t slots_, sums_floats_;
  RowRing x_rows_, dy_rows_;
  size_t zeros_bytes_, sums_bytes_, rows_bytes_;
  size_t slot_bytes() const { return rows_bytes_ + x_rows_.bytes() + dy_rows_.bytes(); }
};

}  // namespace convcore
