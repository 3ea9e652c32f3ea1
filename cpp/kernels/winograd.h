// SPDX-License-Identifier: BSD-3-Clause
// Transforms of Winograd's minimal filtering F(m x m, r x r): with alpha = m + r - 1 points, a tile of m x m sums over
// r x r taps is, for each channel pair, one product at each of the alpha^2 points of
//     Y = A^T [ (G g G^T) * (B^T d B) ] A     (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015).
//
// alpha = 6 serves F(4x4, 3x3) (forward, backward-input) and F(3x3, 4x4) (backward-weight: r x r is a tile of dy), with the
// points 0, -+1/sqrt(2), -+sqrt(2), infinity: their error is a third of that of 0, +-1, +-2, infinity. alpha = 4 serves F(2x2, 3x3),
// points 0, 1, -1, infinity. By row, with a = 1/sqrt(2), b = sqrt(2), p_i the i-th finite point in the order
// 0, -a, a, -b, b and N_i the product of (p_i - p_j) over the other finite points:
//     B^T (6x6)  1   0  -5/2   0    1   0        A^T (m x 6)  A^T[k][i] = p_i^k, last column 0, ..., 0, 1
//                0  2a   -2   -a    1   0        G   (6 x r)  G[i][k] = p_i^k / N_i, last row 0, ..., 0, 1
//                0 -2a   -2    a    1   0
//                0  b/2 -1/2  -b    1   0        (so that rows 1 and 2, 3 and 4, share their even and odd halves)
//                0 -b/2 -1/2   b    1   0
//                0   1    0  -5/2   0   1
// Vectors lie along channels; values of point i * alpha + j stand `step` floats from those of the one before.
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

struct WinogradKernels {
  // v[(i * 6 + j) * step + c] = (B^T d B)[i][j] of channel c.
  void (*input6)(const WinogradPatch& d, int64_t channels, float* v, int64_t step);
};

}  // namespace convcore
