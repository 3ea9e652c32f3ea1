// SPDX-License-Identifier: BSD-3-Clause
// Direct backward-weight for few input channels. What a pixel of dy sees of one row of x are kW*C neighbours in memory:
//   dW[kh][kw*C + c][o] = sum over n, oh, ow of x[n][oh*stride + kh*dilation][ow*stride + kw][c] * dy[n][oh][ow][o]
// needs neither x nor dy rearranged: a tile of these rows x output channels (kernels/row_product.h) stays in registers
// over a block of pixels. Only padding makes a copy of x, block by block, into a zero halo.
#pragma once

#include "ops/convolution.h"

namespace convcore {

class RowWeight final : public ConvReduce {
 public:
  // Few enough channels, neighbours without gaps, one group.
  static bool accepts(const Conv2dGeometry& g);

  // An estimate, against PlaneWeight's.
  static double cycles(const Conv2dGeometry& g);

  explicit RowWeight(const Conv2dGeometry& g);
  size_t workspace_bytes() const override;
  void run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const override;

 private:
  // Whole small images, or some rows of one, or a part of one row.
  struct Block {
    int64_t n, images, row, rows, col, cols;
  };
  struct Scratch {
    float* x;
    int64_t *x_offsets, *dy_offsets;  // of each output row of a block
  };

  // Memory that the next block reads, as two runs of cache lines: fetched while this one is computed.
  struct Ahead {
    const char* at[2];
    int64_t lines[2];
  };

  void choose_blocks();
  Block block(int64_t index) const;
  Scratch scratch(std::byte* slot) const;
  Ahead ahead(const Block& b, const Tensor& x, const Tensor& dy) const;
  void run_block(const Block& b, const Tensor& x, const Tensor& dy, const Scratch& s, float* sums, bool first,
                 Ahead ahead) const;
  void copy_x(const Block& b, const Tensor& x, float* out) const;

  struct Tile {
    int64_t bases, rows, vectors;  // kernel rows, of `width_`, of output channels
    double cycles;                 // of all tiles, per pixel
  };
  static Tile choose_tile(const Conv2dGeometry& g);

  Conv2dGeometry g_;
  int64_t width_;                    // kW * C: rows of the product for one kernel row
  Tile tile_;
  int64_t pitch_;                    // floats of a row of sums
  bool padded_;                      // some tap leaves the image
  int64_t images_, block_rows_, block_cols_, halo_h_, halo_w_;
  int64_t blocks_per_row_, blocks_per_image_, blocks_;
  int64_t parts_, slots_;  // sums over parts_ runs of blocks are kept apart and added up in order
  size_t sums_bytes_, x_bytes_, offsets_bytes_;
};

}  // namespace convcore
