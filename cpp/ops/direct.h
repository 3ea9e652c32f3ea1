// SPDX-License-Identifier: BSD-3-Clause
// Direct convolution: register tiles of pixels x channels straight from the image, no im2col matrix.
//
// Forward is one dense sub-convolution. Backward-input of a strided convolution is stride x stride of them: input
// positions of one residue class see the same taps, so each class is a dense convolution over dy (no zeros inserted).
// Each output element is one dot product in a fixed order, so neither tiling nor threads change a bit.
#pragma once

#include <vector>

#include "kernels/tile.h"
#include "ops/convolution.h"

namespace convcore {

// Outputs (row0 + i*step, col0 + j*step) for i < rows, j < cols, each from the inputs (i*in_step + dh, j*in_step + dw).
struct SubConvolution {
  struct Tap {
    int64_t dh, dw;  // may be negative or beyond the input: zero there
    int64_t weight;  // kh * kW + kw
  };
  int64_t row0, col0, rows, cols;
  std::vector<Tap> taps;  // ordered by (dh, dw); a full product of rows and columns
  int64_t taps_per_row;
};

struct DirectShape {
  int64_t n, groups;
  int64_t in_h, in_w, in_c, out_h, out_w, out_c;  // channels per group
  int64_t in_step_h, in_step_w, out_step_h, out_step_w;
  int64_t w_in, w_out, w_group;  // floats between input channels, output channels and groups in the weights
  std::vector<SubConvolution> parts;
};

DirectShape direct_forward(const Conv2dGeometry& g);
DirectShape direct_backward_input(const Conv2dGeometry& g);

class DirectConvolution final : public ConvMap {
 public:
  explicit DirectConvolution(DirectShape shape);

  size_t packed_bytes() const override;
  size_t workspace_bytes() const override;
  void pack(const float* weight, std::byte* packed) const override;
  void run(const Tensor& in, const std::byte* packed, const float* bias, const Tensor& out,
           std::byte* workspace) const override;

 private:
  // A sub-convolution cut into blocks of output rows (or of whole small images) whose input stays in L2.
  struct Part {
    int64_t dh0, dw0;            // least tap offsets
    int64_t block_images, block_rows;
    int64_t halo_h, halo_w;      // input pixels that one image of a block reads
    bool padded;                 // some tap leaves the input: blocks are copied into a zero halo
    bool mergeable;              // the taps of one row are neighbours: one segment where pixels have no gaps
    int64_t weights;             // floats from the start of the packed weights
  };
  struct Task {
    int part;
    int64_t n, images, row, rows, group, panel, panels;
  };
  struct Scratch {
    float* block;
    int64_t* offsets;
    const float** x;
    float** y;
  };

  Part plan_part(const SubConvolution& sub, int64_t weights) const;
  void add_tasks(int part);
  void pack_panel(const std::vector<SubConvolution::Tap>& taps, const float* w, int64_t columns, float* panel) const;
  Scratch scratch(std::byte* slot) const;
  void run_task(const Task& task, const Tensor& in, const float* packed, const float* bias, const Tensor& out,
                const Scratch& scratch) const;
  void copy_block(const Task& task, const Tensor& in, float* block) const;

  DirectShape s_;
  TileShape tile_;
  int64_t panels_;  // of tile_.nr output channels, per group
  std::vector<Part> parts_;
  std::vector<Task> tasks_;
  int64_t slots_;  // tasks that may run at once, each with its own scratch
  int64_t packed_floats_ = 0;
  size_t block_bytes_ = 0, offsets_bytes_ = 0, pixels_bytes_ = 0;  // of one slot's scratch
};

// The tile for `channels` output channels when one output is a sum over `depth` products.
const TileShape& choose_tile(int64_t channels, int64_t depth);

}  // namespace convcore
