// SPDX-License-Identifier: BSD-3-Clause
// Transforms of Winograd's minimal filtering F(m x m, r x r): with alpha = m + r - 1 points, a tile of m x m sums over
// r x r taps is, for each channel pair, one product at each of the alpha^2 points of
//     Y = A^T [ (G g G^T) * (B^T d B) ] A
// (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015).
//
// alpha = 6 serves F(4x4, 3x3) (forward, backward-input) and F(3x3, 4x4) (backward-weight: r x r is a tile of dy), with
// the points 0, -+1/sqrt(2), -+sqrt(2), infinity: their error is a third of that of 0, +-1, +-2, infinity. alpha = 4
// serves F(2x2, 3x3), points 0, 1, -1, infinity. By row, with a = 1/sqrt(2), b = sqrt(2), p_i the i-th finite point in
// the order 0, -a, a, -b, b and N_i the product of (p_i - p_j) over the other finite points:
//     B^T (6x6)  1   0  -5/2   0    1   0        A^T (m x 6)  A^T[k][i] = p_i^k, last column 0, ..., 0, 1
//                0  2a   -2   -a    1   0        G   (6 x r)  G[i][k] = p_i^k / N_i, last row 0, ..., 0, 1
//                0 -2a   -2    a    1   0
//                0  b/2 -1/2  -b    1   0        (so that rows 1 and 2, 3 and 4, share their even and odd halves)
//                0 -b/2 -1/2   b    1   0
//                0   1    0  -5/2   0   1
//     B^T (4x4)  1   0  -1    0                  A^T (2 x 4)  1   1   1   0        G (4 x 3)   1   0   0
//                0   1   1    0                               0   1  -1   1                   1/2 1/2 1/2
//                0  -1   1    0                                                               1/2 -1/2 1/2
//                0  -1   0    1                                                                0   0   1
// Vectors lie along channels; values of point i * alpha + j stand `step` floats from those of the one before. A NaN or
// an infinity in d reaches all of its tile's outputs.
#pragma once

#include <cstdint>

namespace convcore {

// alpha x alpha pixels of an activation (r x r of dy, m x m of y). Pixels outside rows [top, bottom) and columns
// [left, right), all in 0 .. alpha, lie outside the image: read as zero, never touched.
struct WinogradPatch {
  const float* x;                   // of pixel (0, 0), wherever that is
  int64_t row_pitch, pixel_pitch;   // floats
  int top, bottom, left, right;
};

// m x m pixels of an output, of which `rows` x `columns` exist: y = clamp(Y + bias + residual).
struct WinogradStore {
  float* y;
  int64_t row_pitch, pixel_pitch;
  int rows, columns;
  const float* bias;      // one per channel, or null
  const float* residual;  // of pixel (0, 0), or null; may be y
  int64_t residual_row_pitch, residual_pixel_pitch;
  float lower, upper;
};

// 3x3 taps of `channels` x `width` channel pairs: tap t of pair (c, j) at g[c * channel_step + t * tap_step + j].
struct WinogradTaps {
  const float* g;
  int64_t channel_step, tap_step;  // tap_step < 0, and g at the last tap: the kernel turned by 180 degrees
  int64_t channels, width;         // width: a multiple of the vector
};

struct WinogradTransforms {
  // v[(i * alpha + j) * step + c] = (B^T d B)[i][j] of channel c.
  void (*input)(const WinogradPatch& d, int64_t channels, float* v, int64_t step);
  // u[(i * alpha + j) * step + c * width + k] = (G g G^T)[i][j] of pair (c, k).
  void (*filter)(const WinogradTaps& g, float* u, int64_t step);
  // y = A^T M A, stored; M[i][j] of channel c at m[(i * alpha + j) * step + c].
  void (*output)(const float* m, int64_t step, int64_t channels, const WinogradStore& y);
};

// M = V U, or M += V U, at one point: V tiles x length, U length x nr, M tiles x nr; U without gaps between its rows.
struct WinogradProduct {
  int64_t tiles, length;
  const float* v;
  int64_t v_pitch;
  const float* u;
  float* m;
  bool accumulate;
  const float* ahead = nullptr;  // as much as U, to be fetched meanwhile; or null
};

// A panel of nr columns, multiplied up to mr tiles at a time. efficiency: share of the FMA peak that long products reach
// (measured for avx2 and avx512, estimated for the others).
struct WinogradPanel {
  int mr, nr;
  float efficiency;
  void (*multiply)(const WinogradProduct& product);
};

inline constexpr int kMaxWinogradPanels = 3;

struct WinogradKernels {
  WinogradTransforms f4, f2;  // F(4x4, 3x3), F(2x2, 3x3)
  int panels;                               // how many are in `panel`, narrowest first; nr: a multiple of the vector
  WinogradPanel panel[kMaxWinogradPanels];
};

}  // namespace convcore
