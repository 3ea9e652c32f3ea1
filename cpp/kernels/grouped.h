// SPDX-License-Identifier: BSD-3-Clause
// Register tiles of convolutions with narrow groups. The lanes of a vector are output channels, of as many groups as it
// takes to fill it; lane l multiplies input channel k of its own group, which a permutation brings there.
//
// No function reads beyond the channels of a pixel, as long as a pixel has at least a vector of them.
#pragma once

#include <cstdint>

namespace convcore {

// A vector of output channels, and where its lanes find input channel k of their groups, k < depth.
struct GroupedLanes {
  enum Source {
    broadcast,  // all lanes are of one group: the float at input + k of a pixel
    single,     // lane index[k * lanes + l] of the vector at input + start[0]
    shifted,    // ... at input + start[2 * k]
    pair,       // ... of the two vectors at input + start[2 * k] and input + start[2 * k + 1]
  };
  Source source;
  int columns;      // output channels, at most `lanes`
  int64_t channel;  // the first
  int64_t input;    // the first of its group's input channels
  int64_t depth;    // input channels per group
  const int64_t* start;
  const int* index;
};

// Neighbouring taps of a kernel row: tap t of the tile's pixel p reads input pixel x[p + t].
struct GroupedSegment {
  const float* const* x;  // pixels + taps - 1
  int64_t weights;        // floats from the vector's first weight to [depth][taps][lanes]
  int taps;               // 1 to kGroupedTaps
};
inline constexpr int kGroupedTaps = 3;

// y[p][channel + l] = clamp(bias + residual + sum over segments, k, t of x[p + t][of l and k] * w[k][t][l])
struct GroupedTile {
  int pixels;  // 1 to `pixels` of the kernels
  const GroupedSegment* segment;
  int64_t segments;
  float* y;  // channel 0 of the first pixel; y_step floats from pixel to pixel
  int64_t y_step;
  const float* residual;  // the same, or null; may be y
  int64_t residual_step;
  const float* bias;  // of channel 0, or null
  float lower, upper;
};

// sums[k][t][l] += sum over rows, i < out_width of
//     x[i * stride + t * dilation + offset][of l and k] * dy[i][channel + l],  x zero outside [0, width)
// All lanes of dy are read, and summed up: those from `columns` on mean nothing.
struct GroupedSums {
  const float *const *x, *const *dy;  // the first pixel of each row
  int64_t rows, x_pitch, dy_pitch, width, out_width, stride, dilation, offset;
  int taps;            // 1 to kGroupedTaps
  const float* zeros;  // as many as x has channels
};

struct GroupedKernels {
  int lanes;
  int pixels;              // most in a tile
  float efficiency[2][4];  // share of the FMA peak with one tap or three in a segment, by source; see TileShape
  void (*tile)(const GroupedTile& tile, const GroupedLanes& lanes, const float* w);
  // to[p][c] = from[p][c] for p < pixels, c < channels
  void (*copy)(int64_t pixels, int64_t channels, const float* from, int64_t from_pitch, float* to, int64_t to_pitch);
  void (*sums)(const GroupedSums& args, const GroupedLanes& lanes, float* sums);
};

}  // namespace convcore
