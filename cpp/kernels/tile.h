// SPDX-License-Identifier: BSD-3-Clause
// The register tiles that carry all convolution and matrix-product work. A tile is `pixels x channels`, the vector
// always along output channels (columns), so one contract serves forward, backward-input and matrix products.
#pragma once

#include <cstdint>

namespace convcore {

// How a finished tile is stored: y = clamp(acc + bias + add). And what is fetched while it is computed.
struct TileStore {
  const float* bias = nullptr;        // one per column of the tile, or null
  const float* const* add = nullptr;  // a row of `columns` floats for each of the tile's, or null; may be y itself
  float lower = -__builtin_inff(), upper = __builtin_inff();  // (0, inf) is ReLU, (0, 6) ReLU6
  const float* ahead = nullptr;  // weights of a later tile: so many lines of the cache for each kTileSteps of this one
  int ahead_lines = 0;
  bool in_runs = false;  // sums of kRunSteps products or fewer are added up with what that loses (Kahan)
};
inline constexpr int kTileSteps = 16, kRunSteps = 2 * kTileSteps;

// Gather tile: acc[p][j] = sum over s < segments, k < length of  x[p][offsets[s] + k] * w[(s * length + k) * NR + j].
//   x: rows_in_tile pixel pointers; offsets: floats from a pixel to each of its taps (a tap is `length` floats in a row)
//   w: packed panel, segments * length rows of NR floats (columns beyond `columns` are zero)
//   y: rows_in_tile output pointers, `columns` floats each are written
//   following: pointers that x and y hold behind these, of a tile that comes next; fetched meanwhile
// 0 < rows <= MR, 0 < columns <= NR, segments and length >= 0. x and y do not overlap.
using GatherTile = void (*)(int rows, int columns, const float* const* x, const int64_t* offsets,
                            int64_t segments, int64_t length, const float* w, float* const* y, const TileStore& store,
                            int following);

// Outer tile: acc[i][j] = sum over s < segments, k < length of a[a_off[s] + k * a_step + i] * b[b_off[s] + k * b_step + j];
// then c[i * c_pitch + j] = acc (+ c if accumulate).
//   a: `rows` floats are read at each k; b: `columns` floats; rows x columns of c are written.
struct OuterArgs {
  const float *a, *b;
  const int64_t *a_off, *b_off;
  int64_t segments, length, a_step, b_step;
  float* c;
  int64_t c_pitch;
  bool accumulate;
};
using OuterTile = void (*)(int rows, int columns, const OuterArgs& args);

// A tile width: NR columns, up to MR rows. efficiency: share of the FMA peak that whole tiles
// reach (measured for avx2 and avx512, estimated for the others); only the choice among widths depends on it.
struct TileShape {
  int mr, nr;
  float efficiency;
  GatherTile gather;
  OuterTile outer;
};

inline constexpr int kMaxTileShapes = 4, kMaxTileRows = 14;

struct TileKernels {
  int lanes;             // floats in a vector; every nr is a multiple
  int shapes;            // how many are in `shape`, narrowest first
  TileShape shape[kMaxTileShapes];
  // out[c] = sum over p < pixels of x[p * pitch + c], in an order that depends on the sizes alone.
  void (*column_sum)(const float* x, int64_t pixels, int64_t channels, int64_t pitch, float* out);
  // Floating-point operations of `steps` rounds of independent fused multiply-adds on all registers (the peak).
  double (*fma_peak)(int64_t steps);
};

}  // namespace convcore
