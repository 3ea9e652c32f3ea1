// SPDX-License-Identifier: BSD-3-Clause
// Direct convolution: register tiles of pixels x channels straight from the image, no im2col matrix.
//
// Each output element is one dot product in a fixed order, so neither tiling nor threads change a bit. (run() and
// run_once() may cut it differently.)
#pragma once

#include <vector>

#include "base/memory.h"
#include "kernels/tile.h"
#include "ops/convolution.h"
#include "ops/sub_convolution.h"
#include "ops/tiles.h"

namespace convcore {

class DirectConvolution final : public ConvMap {
 public:
  // Not if halos, or lists of taps or of sub-convolutions, would outgrow the data.
  static bool accepts(const Conv2dGeometry& g, Pass pass);

  // An estimate, against the other ways to the same result.
  static double cycles(const DirectShape& s);

  explicit DirectConvolution(const DirectShape& shape);

  size_t packed_bytes() const override;
  size_t workspace_bytes() const override;
  void pack(const float* weight, std::byte* packed) const override;
  void run(const Tensor& in, const std::byte* packed, const Epilogue& epilogue, const Tensor& out,
           std::byte* workspace) const override {
    run_prepared({}, in, packed, epilogue, out, workspace);
  }
  bool prepares() const override { return true; }
  void run_prepared(const Prologue& prologue, const Tensor& in, const std::byte* packed, const Epilogue& epilogue,
                    const Tensor& out, std::byte* workspace) const override;
  size_t once_bytes() const override;
  void run_once(const Tensor& in, const float* weight, const Epilogue& epilogue, const Tensor& out,
                std::byte* workspace) const override;
  // A part is a block of rows of one image. None for several sub-convolutions, parts of rows, or a few pixels.
  int64_t statistic_parts() const override;
  int64_t statistic_pixels(int64_t part) const override;
  bool finishes() const override { return true; }

 private:
  // A sub-convolution cut into blocks of output rows (of whole small images; of parts of long rows) whose input stays
  // in L2.
  struct Part {
    int64_t dh0, dw0;            // least tap offsets
    int64_t block_images, block_rows, block_cols;
    int64_t reach_h, halo_w;     // rows of the input that an output row reads; pixels that a block reads of each
    bool whole;                  // an image would be one block, were it not for the threads
    bool padded;                 // some tap leaves the input, or it is prepared: blocks are copied into a zero halo
    bool mergeable;              // the taps of one row are neighbours: one segment where pixels have no gaps
    int64_t run;                 // taps whose weights lie one behind the other: all, or those of a row
    int64_t row_tiles;           // of one vector of channels, cut from each row of a block; 0: tiles cross rows
    int64_t splits;              // shares of the panels, so that every thread has work
    int64_t last_task;           // tasks of this part and those before it
  };
  // One block, one group, one share of the panels. Made from its number when it runs: there may be very many.
  struct Task {
    int64_t part, n, images, row, rows, col, cols, group, panel, panels;
  };
  // Input channels of all weights, as they are packed.
  struct Slice {
    int64_t channel, channels, panel_floats;
    const std::vector<int64_t>* place;  // rows of a panel in front of a tap's weights; -1: no part uses it
  };
  struct Scratch {
    float* block;
    int64_t* offsets;
    const float** x;
    float** y;
    const float** residual;
  };

  int64_t place_taps(const DirectShape& uncut);
  Part plan_part(const SubConvolution& sub) const;
  int64_t blocks_of(const Part& part, const SubConvolution& sub) const;
  Task task(int64_t number) const;
  Scratch scratch(std::byte* slot) const;
  struct Source;
  Source source(const Part& part, int64_t rows, const Tensor& in) const;
  // Rows of the input that so many output rows of a part read.
  int64_t halo_rows(const Part& part, int64_t rows) const { return (rows - 1) * s_.in_step_h + part.reach_h; }
  bool fits_once(const Part& part, const SubConvolution& sub) const;
  void plan_once();
  size_t once_packed_bytes() const { return align_up(once_panels_ * panel_floats_ / s_.in_c * once_channels_ * 4); }
  Slice whole() const { return {0, s_.in_c, panel_floats_, &place_}; }
  void pack_slice(const Slice& slice, int64_t begin, int64_t end, const float* weight, float* packed,
                  bool past_caches) const;
  // prepare() copies the block where taps leave the image, and lists its pixels; multiply() runs the tiles of the
  // task's panels. Slices before the last leave sums in the output.
  void prepare(const Task& task, const Prologue& prologue, const Tensor& in, const Epilogue& epilogue,
               const Tensor& out, const Scratch& scratch) const;
  void multiply(const Task& task, const Slice& slice, const Tensor& in, const float* panels, const Epilogue& epilogue,
                const Tensor& out, const Scratch& scratch) const;
  void copy_block(const Task& task, const Prologue& prologue, const Tensor& in, float* block) const;
  void gather_moments(const Task& task, const Tensor& out, int64_t channel, int64_t channels, float* statistics) const;

  DirectShape s_;
  TilePair tiles_;
  int64_t panels_;  // of tiles_.main.nr output channels, per group; the last one may be narrower
  std::vector<Part> parts_;
  int64_t tasks_ = 0;
  int64_t slots_;  // tasks that may run at once, each with its own scratch
  int64_t once_slots_;  // that share the panels in run_once()
  bool past_caches_ = false;       // packed weights are large
  int64_t panel_floats_ = 0;       // of the packed weights
  int64_t once_channels_ = 0, once_panels_ = 0;  // that run_once() packs at a time; 0: all weights, before it runs
  std::vector<int64_t> place_, once_place_;  // of whole panels, of slices
  size_t block_bytes_ = 0, offsets_bytes_ = 0, pixels_bytes_ = 0, slot_bytes_ = 0;  // of one slot's scratch
};

}  // namespace convcore
