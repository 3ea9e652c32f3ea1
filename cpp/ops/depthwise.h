// SPDX-License-Identifier: BSD-3-Clause
// Depthwise convolution: each channel by itself, vectors along channels (kernels/depthwise.h). It reads the image where
// it lies, without halos or columns, so it serves every kernel size, stride, dilation and padding.
#pragma once

#include <memory>

#include "ops/convolution.h"

namespace convcore {

bool is_depthwise(const Conv2dGeometry& g, Pass pass);  // as many groups as channels, several, on both sides
std::unique_ptr<ConvMap> depthwise_map(const Conv2dGeometry& g, Pass pass);
std::unique_ptr<ConvReduce> depthwise_reduce(const Conv2dGeometry& g);

// Blocks of work, cut by the shape alone: rows of one image, or whole small images.
struct DepthwiseBlocks {
  DepthwiseBlocks(int64_t n, int64_t rows, int64_t cols);

  struct Block {
    int64_t n, images, row, last_row;
  };
  int64_t count() const { return image_blocks * row_blocks; }
  Block block(int64_t i) const;

  int64_t n, rows;
  int64_t images;  // in a block
  int64_t image_blocks, row_blocks;
};

// How many shares of the channels give every thread work, where there are `blocks` blocks of it. Channels do not meet,
// so this may depend on the number of threads.
int64_t depthwise_shares(int64_t blocks, int64_t channels, int64_t lanes);

}  // namespace convcore
