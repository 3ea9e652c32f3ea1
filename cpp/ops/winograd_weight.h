// SPDX-License-Identifier: BSD-3-Clause
// Backward-weight by Winograd's F(3x3, 4x4): 36 products for each 4x4 pixels of dy and pair of channels, where the
// direct sum takes 144. For 3x3 kernels without stride, dilation and groups:
//     dw[o][c] = A^T [ sum over tiles t of (B^T d_t B) * (G y_t G^T) ] A
// with y_t a 4x4 tile of channel o of dy, and d_t the 6x6 patch of channel c of x that its taps reach
// (kernels/winograd.h has the matrices). Accuracy: see ops/winograd.h.
//
// The sum is a matrix product for each of the 36 points: V[point][tile][c], transformed x, times W[point][tile][o],
// transformed dy, over tiles. They are taken in chunks, so that V and W stay in cache; the products add up in blocks of
// c x o, U[block][point][c][o], which are transformed once all chunks are in.
#pragma once

#include <memory>

#include "kernels/tile.h"
#include "kernels/winograd.h"
#include "ops/convolution.h"

namespace convcore {

// What winograd_accepts() serves; whether a model of its cost says that it is faster than the direct sum.
bool winograd_weight_pays(const Conv2dGeometry& g);
std::unique_ptr<ConvReduce> winograd_reduce(const Conv2dGeometry& g);

class WinogradWeight final : public ConvReduce {
 public:
  explicit WinogradWeight(const Conv2dGeometry& geometry);
  size_t workspace_bytes() const override;
  void run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const override;

 private:
  struct Patches {
    WinogradPatch x, dy;
  };
  struct Block {
    int64_t c, rows, o, columns;
  };
  struct Chunk {
    int64_t first, count;  // tiles
  };

  Patches patches(int64_t tile, const Tensor& x, const Tensor& dy) const;
  Block block(int64_t index) const;
  void transform(const Chunk& chunk, const Tensor& x, const Tensor& dy, float* v, float* w) const;
  void multiply(const Chunk& chunk, const Block& b, const float* v, const float* w, float* u) const;
  void finish(int64_t first, int64_t count, const float* u, float* dw) const;

  Conv2dGeometry g_;
  TileShape tile_;
  int64_t tiles_h_, tiles_w_, tiles_, chunk_;              // tiles of an image, of all, of a chunk
  int64_t mr_, block_c_, block_o_, blocks_o_, blocks_;
  int64_t group_;                                          // blocks whose sums are kept at a time
  int64_t v_pitch_, w_pitch_, v_step_, w_step_, u_step_;   // floats from tile to tile, from point to point
};

}  // namespace convcore
