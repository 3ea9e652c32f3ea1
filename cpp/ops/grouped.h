// SPDX-License-Identifier: BSD-3-Clause
// Convolution in narrow groups, forward and backward-input: one vector holds output channels of several groups, and
// inputs are read in place through lists of pixel pointers, which show a pixel of zeros where a tap leaves the image.
//
// Each output element is one sum in a fixed order, so neither tiling nor threads change a bit.
#pragma once

#include <vector>

#include "ops/convolution.h"
#include "ops/grouped_lanes.h"
#include "ops/row_ring.h"
#include "ops/sub_convolution.h"

namespace convcore {

bool grouped_accepts(const Conv2dGeometry& g, Pass pass);
bool grouped_pays(const Conv2dGeometry& g, Pass pass);

class GroupedConvolution final : public ConvMap {
 public:
  GroupedConvolution(const Conv2dGeometry& g, Pass pass);

  size_t packed_bytes() const override;
  size_t workspace_bytes() const override;
  void pack(const float* weight, std::byte* packed) const override;
  void run(const Tensor& in, const std::byte* packed, const Epilogue& epilogue, const Tensor& out,
           std::byte* workspace) const override;
  int64_t statistic_parts() const override;
  // Not where shares of the vectors may have channels in common.
  bool finishes() const override { return splits_ == 1 && statistic_parts() > 0; }
  int64_t statistic_pixels(int64_t part) const override;

 private:
  // Up to three neighbouring taps of a kernel row: the tile's segments.
  struct Chunk {
    int64_t dh, dw, first_tap;
    int taps;
    int64_t weights;  // floats from the vector's first weight
  };
  // A sub-convolution, whose rows are cut into tiles, and its tiles into blocks.
  struct Part {
    std::vector<Chunk> chunks;
    int64_t row_tiles, tiles, block_tiles, blocks;
    int64_t weights, vector_floats;  // where the packed weights begin; floats of one vector
    int64_t last_task;               // tasks of this part and those before it
  };
  struct Scratch {
    GroupedSegment* segments;
    const float** pixels;
    std::byte* rows;
  };

  Part plan_part(const SubConvolution& sub) const;
  void pack_vector(const Part& part, const SubConvolution::Tap* taps, const GroupedLanes& lanes, const float* weight,
                   float* panel) const;
  int64_t first_column(const Part& part, const SubConvolution& sub, int64_t tile) const;
  void run_task(int64_t number, const Tensor& in, const float* packed, const Epilogue& epilogue, const Tensor& out,
                const Scratch& scratch) const;
  int64_t list_pixels(int64_t part, int64_t n, int64_t row, int64_t col, int64_t count, const RowRing& in,
                      const float* zeros, const Scratch& scratch) const;

  DirectShape s_;
  GroupedChannels channels_;
  std::vector<Part> parts_;
  int64_t splits_;  // shares of the vectors
  int64_t slots_, tasks_ = 0, weight_floats_ = 0;
  RowRing rows_;
  size_t segments_bytes_ = 0, pixels_bytes_ = 0;  // of one slot's scratch
};

}  // namespace convcore
