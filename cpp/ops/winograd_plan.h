// SPDX-License-Identifier: BSD-3-Clause
// How a Winograd convolution is cut and carried out, chosen by a model of its cost.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/winograd.h"
#include "ops/conv_geometry.h"
#include "ops/winograd.h"

namespace convcore {

// Cuts the tiles, numbered by (map, row, column), into parts of about `wanted` tiles: whole maps (images, but for a
// dilation); or whole rows of tiles in a map, shared out evenly; or pieces of a row.
class WinogradParts {
 public:
  WinogradParts(const WinogradShape& s, int64_t wanted);

  int64_t count() const { return count_; }
  int64_t first(int64_t part) const;  // first tile; of part count(): the number of tiles
  int64_t most() const;               // tiles of the largest part
  bool whole_rows() const { return row_splits_ == 1; }
  int64_t pixel(int64_t part) const;  // first output pixel, if whole_rows() and maps are images

 private:
  int64_t n_, tiles_h_, tiles_w_, out_h_, out_w_, m_;
  int64_t images_ = 1, image_splits_ = 1, row_splits_ = 1;  // images in a part, parts in an image, parts in a row
  int64_t count_;
};

enum class WinogradWay {
  blocked,      // BlockedWinograd
  shared,       // SharedWinograd with transformed weights
  shared_taps,  // SharedWinograd that transforms weights on its way
};

struct WinogradPlan {
  WinogradShape shape;
  WinogradPanel panel;
  WinogradWay way;
  int64_t part_tiles;   // wanted
  int64_t block_tiles;  // shared: tiles that share a V, about
  int64_t chunk;        // shared_taps: input channels whose U is made at once
  double cycles;        // what pack() and run() are expected to take
  int64_t threads = 1;  // that it may use
};

// The cheapest. Depends on the shapes and on the processor, not on the number of threads: results stay the same bits.
WinogradPlan plan_winograd(const Conv2dGeometry& g, Pass pass);
// The same estimate for the direct algorithm.
double direct_cycles(const Conv2dGeometry& g, Pass pass);

}  // namespace convcore
