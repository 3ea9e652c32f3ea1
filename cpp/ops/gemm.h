// SPDX-License-Identifier: BSD-3-Clause
// C = A B (+ C): packed, blocked, parallel matrix product (the loops of Goto and van de Geijn, "Anatomy of
// High-Performance Matrix Multiplication", 2008, with BLIS's names MR, NR, KC, MC).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/tile.h"

namespace convcore {

// Element (i, k) of A is data[i * row + k * col]: any strides, so a transpose costs nothing more.
struct Matrix {
  const float* data;
  int64_t row, col;
};

// Planned for C of M x N as a sum over K. B is packed apart, so that one packing may serve many products. The sums of
// an element run over K in blocks of kc, in order, whatever the number of threads.
class Gemm {
 public:
  Gemm(int64_t m, int64_t n, int64_t k);
  size_t packed_bytes() const;                      // of B
  void pack(Matrix b, std::byte* packed) const;
  size_t workspace_bytes() const;                   // for run()
  // C has unit columns; only the first `rows` <= M rows of A and C are computed.
  void run(Matrix a, const std::byte* packed, float* c, int64_t c_pitch, int64_t rows, bool accumulate,
           std::byte* workspace) const;

 private:
  void multiply(Matrix a, int64_t rows, int64_t k, const float* a_panels, const float* b_panels, float* c,
                int64_t c_pitch, bool accumulate) const;

  int64_t m_, n_, k_;
  TileShape tile_;
  int64_t kc_, mc_, panels_;
};

}  // namespace convcore
