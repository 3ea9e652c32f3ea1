// SPDX-License-Identifier: BSD-3-Clause
// Transforms of F(3x3, 4x4), which sums a gradient of weights. Points, matrices and the third, f4.input, are in
// kernels/winograd.h. What divides G's rows, N_i, is applied with A^T: for a pair of channels, not for each tile.
#pragma once

#include "kernels/winograd.h"

namespace convcore {

struct WinogradWeightKernels {
  // w[(i * 6 + j) * step + c] = (G' y G'^T)[i][j] of channel c of 4x4 pixels, where G'[i][k] = p_i^k.
  void (*gradient6)(const WinogradPatch& y, int64_t channels, float* w, int64_t step);
  // dw[o * dw_pitch + c * 9 + k * 3 + l] = (A' u A'^T)[k][l], where A'[k][i] = A^T[k][i] / N_i and
  // u[i][j] = u[(i * 6 + j) * step + c * pitch + o], for c < rows, o < columns.
  void (*weights3)(int64_t rows, int64_t columns, const float* u, int64_t step, int64_t pitch, float* dw,
                   int64_t dw_pitch);
};

}  // namespace convcore
