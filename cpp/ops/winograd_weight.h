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
//
// A task is a part of the tiles and a region of blocks, and transforms what it needs for itself: two tasks may
// transform the same tiles, which is cheaper than to move V and W from core to core. Parts are cut by the shape alone,
// as many as have small sums, which are added in their order; regions by the number of threads.
#pragma once

#include <memory>

#include "kernels/tile.h"
#include "ops/winograd.h"

namespace convcore {

// What winograd_accepts() serves; whether a model of its cost says that it is faster than the direct sum.
bool winograd_weight_pays(const Conv2dGeometry& g);
std::unique_ptr<ConvReduce> winograd_reduce(const Conv2dGeometry& g);

class WinogradWeight final : public ConvReduce {
 public:
  WinogradWeight(const Conv2dGeometry& geometry, int64_t threads);  // one group
  size_t workspace_bytes() const override;
  void run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const override;

 private:
  struct Patches {
    WinogradPatch x, dy;
  };
  struct Range {
    int64_t first, count;
  };
  struct Block {
    Range c, o;  // of blocks in region(), else of channels
  };
  struct Scratch {
    float *v, *w, *sums;
  };

  Range tiles_of(int64_t part) const;
  Patches patches(int64_t tile, const Block& region, const Tensor& x, const Tensor& dy) const;
  Block block(int64_t index) const;
  Block region(int64_t index) const;
  Block channels(const Block& blocks) const;
  size_t slot_bytes() const;
  void run_task(int64_t part, const Block& region, const Tensor& x, const Tensor& dy, float* dw,
                const Scratch& scratch) const;
  void transform(const Range& chunk, const Block& region, const Tensor& x, const Tensor& dy, float* v, float* w) const;
  void multiply(int64_t tiles, const Block& b, const float* v, const float* w, float* u, bool accumulate) const;
  void finish(const Block& b, int64_t row, int64_t rows, const float* u, float* dw) const;
  void add_parts(const Block& b, int64_t row, int64_t rows, float* u) const;

  Conv2dGeometry g_;
  WinogradGrid grid_;
  int64_t tiles_;
  TileShape tile_;
  int64_t parts_ = 1, chunk_;                             // of the tiles; tiles in a chunk
  int64_t mr_, block_c_, block_o_, blocks_c_, blocks_o_;
  int64_t splits_c_ = 1, splits_o_ = 1, slots_;           // regions; tasks at once
  int64_t group_;                                         // blocks of a task whose sums are kept at a time
  int64_t v_pitch_, w_pitch_, v_step_, w_step_, u_step_;  // floats from tile to tile, from point to point
};

}  // namespace convcore
