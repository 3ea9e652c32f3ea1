// SPDX-License-Identifier: BSD-3-Clause
// What convolutions and matrix products share in front of the register tiles of kernels/tile.h.
#pragma once

#include <cstdint>

#include "kernels/tile.h"

namespace convcore {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The tile for `channels` output channels when one output is a sum over `depth` products.
const TileShape& choose_tile(int64_t channels, int64_t depth);

// Tiles for panels of main.nr channels, and for the channels that the last whole one leaves. cost: of a sum's product
// for all channels, in channels at the FMA peak.
struct TilePair {
  TileShape main, tail;
  double cost;

  const TileShape& of(int64_t panel, int64_t panels) const { return panel + 1 < panels ? main : tail; }
};
TilePair choose_tiles(int64_t channels, int64_t depth);

// Writes panels [ceil(n / width)][k][width] of the n x k matrix with element (j, p) at source[j * row + p * col], zero
// beyond n: the packed form of both operands (width MR for A, NR for B transposed).
void pack_panels(const float* source, int64_t row, int64_t col, int64_t n, int64_t k, int64_t width, float* panels);

}  // namespace convcore
