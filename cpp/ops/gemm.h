// SPDX-License-Identifier: BSD-3-Clause
// C = A B (+ C): packed, blocked, parallel matrix product (the five loops of Goto and van de Geijn, "Anatomy of
// High-Performance Matrix Multiplication", 2008, with BLIS's names MR, NR, KC, MC, NC).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/tile.h"

namespace convcore {

// Element (i, k) of A is a[i * a_row + k * a_col]: any strides, so a transpose costs nothing more. C has unit columns.
struct Matrix {
  const float* data;
  int64_t row, col;
};

// Blocks chosen for M x N x K when planned; the sums of an element run over K in blocks of kc, in order, whatever the
// number of threads.
class Gemm {
 public:
  Gemm(int64_t m, int64_t n, int64_t k);
  size_t workspace_bytes() const;
  void run(Matrix a, Matrix b, float* c, int64_t c_pitch, bool accumulate, std::byte* workspace) const;

 private:
  void multiply(Matrix a, int64_t n, int64_t k, const float* a_panels, const float* b_panels, float* c,
                int64_t c_pitch, bool accumulate) const;

  int64_t m_, n_, k_;
  TileShape tile_;
  int64_t kc_, mc_, nc_;
};

// Writes panels [ceil(n / width)][k][width] of the n x k matrix with element (j, p) at source[j * row + p * col], zero
// beyond n: the packed form of both operands (width MR for A, NR for B transposed).
void pack_panels(const float* source, int64_t row, int64_t col, int64_t n, int64_t k, int64_t width, float* panels);

}  // namespace convcore
