// SPDX-License-Identifier: BSD-3-Clause
// Direct backward-weight: dW[o][c][kh][kw] = sum over pixels of x[pixel at the tap][c] * dy[pixel][o], a product whose
// long dimension is the pixels. Walking pixels for a few channels of each is a poor walk through memory, so blocks of
// output rows are packed (x with its halo into panels of MR channels, dy into panels of NR), and each tap is an offset
// into the x panel. With few input channels the x block itself serves: its kW*C neighbours are the rows of the tile.
#pragma once

#include "kernels/tile.h"
#include "ops/convolution.h"

namespace convcore {

class DirectWeight final : public ConvReduce {
 public:
  explicit DirectWeight(const Conv2dGeometry& geometry);
  size_t workspace_bytes() const override;
  void run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const override;

 private:
  struct Block {
    int64_t n, images, row, rows;
  };
  struct Scratch {
    float *x, *dy;
    int64_t *x_offsets, *dy_offsets;  // of each output row of a block
  };

  Block block(int64_t index) const;
  Scratch scratch(std::byte* slot) const;
  void run_block(const Block& b, const Tensor& x, const Tensor& dy, const Scratch& s, float* tiles, bool first) const;
  void pack_x(const Block& b, const Tensor& x, float* panels) const;
  void pack_dy(const Block& b, const Tensor& dy, float* panels) const;
  void gather_tiles(const float* tiles, float* dw) const;

  Conv2dGeometry g_;
  TileShape tile_;
  bool flat_;                           // few channels: rows of a tile are (kw, c) pairs, taps are kh
  bool dy_in_place_;                    // one panel: packing would only copy it
  int64_t depth_, mr_, a_panels_;       // tile rows in all, of one panel; panels
  int64_t b_panels_, taps_, tiles_;
  int64_t images_, rows_, halo_h_, halo_w_;  // of a block
  int64_t blocks_per_image_, blocks_;
  int64_t parts_, slots_;  // sums over parts_ runs of blocks are kept apart and added up in order
  size_t x_bytes_, dy_bytes_, offsets_bytes_, tiles_bytes_;
};

}  // namespace convcore
