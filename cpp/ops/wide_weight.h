// SPDX-License-Identifier: BSD-3-Clause
// Direct backward-weight with enough input channels to fill vectors:
//   dW[o][c][tap] = sum over pixels of dy[pixel][o] * x[pixel at the tap][c]
// The rows of a tile are output channels, its columns input channels, its sum runs over a block of pixels. So the tile
// of a 1x1 kernel is a piece of dW as it lies in memory, and nothing stands between the registers and dW. With more
// taps the tiles of all taps of the same channels are interleaved in the nearest caches. x and dy are read in place
// where that is as fast as packing them first; packed, they are panels of as many channels as the tile has.
#pragma once

#include "kernels/tile.h"
#include "ops/convolution.h"

namespace convcore {

class WideWeight final : public ConvReduce {
 public:
  static bool accepts(const Conv2dGeometry& g);

  explicit WideWeight(const Conv2dGeometry& g);
  size_t workspace_bytes() const override;
  void run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const override;

 private:
  // Whole small images, or some rows of one, or a part of one row.
  struct Block {
    int64_t n, images, row, rows, col, cols;
  };
  // A block, and whether its part begins or ends with it.
  struct Turn {
    int64_t index;
    bool first, last;
  };
  struct Scratch {
    float *x, *dy;
    int64_t *x_offsets, *dy_offsets;  // of each output row of a block
  };
  // One axis of packed x: `step` pixels of the image from one packed pixel to the next, `per_output` packed pixels
  // from one output to the next. A kernel of one tap skips what the stride skips.
  struct Axis {
    int64_t step, per_output, pixels;
  };
  // What a block's tiles read: x and dy at its first pixel and tap, floats from output to output, and between packed
  // panels (in place: between the channels of panels).
  struct Operands {
    const float *x, *dy;
    int64_t x_step, dy_step, x_panel, dy_panel, tap_row, tap_col;
  };

  void choose_blocks();
  Block block(int64_t index) const;
  Scratch scratch(std::byte* slot) const;
  Operands operands(const Block& b, const Tensor& x, const Tensor& dy, const Scratch& s) const;
  void pack_x(const Block& b, const Tensor& x, float* panels) const;
  void pack_dy(const Block& b, const Tensor& dy, float* panels) const;
  // tiles: of this part, if they are kept. pairs: the workers' own tiles and stages. dw: written by the last turn, or,
  // if direct, by all.
  void run_block(const Turn& turn, const Tensor& x, const Tensor& dy, const Scratch& s, float* tiles, float* pairs,
                 float* dw) const;
  void prefetch(const Block& b, int64_t from, int64_t to, const Tensor& x, const Tensor& dy) const;
  void store_pair(int64_t pair, const float* tiles, float* stage, float* dw) const;

  Conv2dGeometry g_;
  TileShape tile_;
  int64_t taps_, mr_, o_panels_, c_panels_, pairs_;  // pairs of panels, of all groups: each has a tile per tap
  bool x_in_place_, dy_in_place_;
  int64_t images_, rows_, cols_;  // of a block
  int64_t blocks_per_row_, blocks_per_image_, blocks_;
  Axis vertical_, horizontal_;
  int64_t parts_, slots_;  // sums over parts_ runs of blocks are kept apart and added up in order
  int64_t workers_;        // that share the tiles of a block
  int64_t pair_floats_;    // the tiles of a pair
  bool past_caches_;       // dW is large
  bool direct_;            // tiles are added up in dw itself
  bool kept_;              // all tiles are kept until the last block; else one pair's
  size_t x_bytes_, dy_bytes_, offsets_bytes_, tiles_bytes_, worker_bytes_;
};

}  // namespace convcore
