// SPDX-License-Identifier: BSD-3-Clause
// Places buffers of known lifetimes in one block of memory. Greedy by size: the largest buffer first, each in the
// smallest gap that fits between the buffers alive at the same time (Pisarchyk and Lee, "Efficient Memory Management
// for Deep Neural Net Inference", 2020, arXiv 2001.03288, algorithm 3).
#pragma once

#include <cstddef>
#include <vector>

namespace convcore {

struct Block {
  size_t bytes;
  int first, last;  // steps at which it is alive, both included
  size_t offset = 0;
};

// Sets each offset, a multiple of kAlignment, so that blocks alive at the same step are disjoint; returns the bytes
// needed for all. Empty blocks get room too, so that their addresses are not null.
size_t place(std::vector<Block>& blocks);

}  // namespace convcore
