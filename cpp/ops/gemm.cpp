// SPDX-License-Identifier: BSD-3-Clause
#include "ops/gemm.h"

#include <algorithm>
#include <limits>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "ops/tiles.h"

namespace convcore {

Gemm::Gemm(int64_t m, int64_t n, int64_t k) : m_(m), n_(n), k_(k), tile_(choose_tile(n, std::min<int64_t>(k, 512))) {
  // A panel of B (KC x NR) takes a quarter of L2, as does the block of A (MC x KC) that meets it; few passes over K
  // mean few readings of C.
  const int64_t quarter = cpu_info().l2 / 4 / 4, mr = tile_.mr, nr = tile_.nr;
  const int64_t passes = std::max<int64_t>(1, ceil_div(k, std::max<int64_t>(64, quarter / nr)));
  kc_ = std::max<int64_t>(1, ceil_div(k, passes));
  mc_ = std::max<int64_t>(1, quarter / kc_ / mr) * mr;
  panels_ = ceil_div(n, nr);
}

size_t Gemm::packed_bytes() const { return align_up(panels_ * tile_.nr * k_ * 4); }
size_t Gemm::workspace_bytes() const { return align_up(ceil_div(m_, tile_.mr) * tile_.mr * kc_ * 4); }

// [block of KC][panel][k][NR]
void Gemm::pack(Matrix b, std::byte* packed) const {
  const int64_t nr = tile_.nr;
  for (int64_t pc = 0; pc < k_; pc += kc_) {
    const int64_t k = std::min(kc_, k_ - pc);
    float* panels = reinterpret_cast<float*>(packed) + pc * panels_ * nr;
    parallel_for(panels_, 1, nr * k * 4, [&](int64_t begin, int64_t end) {
      pack_panels(b.data + pc * b.row + begin * nr * b.col, b.col, b.row, std::min(n_, end * nr) - begin * nr, k, nr,
                  panels + begin * nr * k);
    });
  }
}

void Gemm::run(Matrix a, const std::byte* packed, float* c, int64_t c_pitch, int64_t rows, bool accumulate,
               std::byte* workspace) const {
  if (k_ == 0 && !accumulate)
    for (int64_t i = 0; i < rows; ++i) std::fill_n(c + i * c_pitch, n_, 0.0f);
  const int64_t mr = tile_.mr;
  float* a_panels = reinterpret_cast<float*>(workspace);
  // Loop over the K dimension, KC at a time; later passes add to C.
  for (int64_t pc = 0; pc < k_; pc += kc_) {
    const int64_t k = std::min(kc_, k_ - pc);
    // Rows of A that lie together are read in place, by the gather tile; else MR of them make a panel.
    const Matrix block{a.data + pc * a.col, a.row, a.col};
    if (a.col != 1)
      parallel_for(ceil_div(rows, mr), 1, mr * k * 4, [&](int64_t begin, int64_t end) {
        pack_panels(block.data + begin * mr * a.row, a.row, a.col, std::min(rows, end * mr) - begin * mr, k, mr,
                    a_panels + begin * mr * k);
      });
    multiply(block, rows, k, a_panels, reinterpret_cast<const float*>(packed) + pc * panels_ * tile_.nr, c, c_pitch,
             accumulate || pc > 0);
  }
}

void Gemm::multiply(Matrix a, int64_t m, int64_t k, const float* a_panels, const float* b_panels, float* c,
                    int64_t c_pitch, bool accumulate) const {
  // Blocks of MC rows and of columns go to threads; few rows are made up for by splitting columns.
  const int64_t mr = tile_.mr, nr = tile_.nr, row_blocks = ceil_div(m, mc_);
  const int64_t column_blocks = std::clamp<int64_t>(ceil_div(8, std::max<int64_t>(row_blocks, 1)), 1, panels_);
  const int64_t zero = 0;
  parallel_for(row_blocks * column_blocks, 1, 2 * mc_ * n_ * k / column_blocks, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t ic = block / column_blocks * mc_, m_end = std::min(m, ic + mc_), part = block % column_blocks;
      // Loop over NR columns, then MR rows, of the block.
      for (int64_t jr = panels_ * part / column_blocks; jr < panels_ * (part + 1) / column_blocks; ++jr)
        for (int64_t ir = ic; ir < m_end; ir += mr) {
          const int rows = static_cast<int>(std::min(mr, m_end - ir));
          const int columns = static_cast<int>(std::min(nr, n_ - jr * nr));
          const float* b = b_panels + jr * nr * k;
          float* tile = c + ir * c_pitch + jr * nr;
          if (a.col != 1) {
            tile_.outer(rows, columns, {.a = a_panels + ir * k, .b = b, .a_off = &zero, .b_off = &zero, .segments = 1,
                                        .length = k, .a_step = mr, .b_step = nr, .c = tile, .c_pitch = c_pitch,
                                        .accumulate = accumulate});
            continue;
          }
          const float* x[kMaxTileRows];
          float* y[kMaxTileRows];
          for (int i = 0; i < rows; ++i) x[i] = a.data + (ir + i) * a.row, y[i] = tile + i * c_pitch;
          tile_.gather(rows, columns, x, &zero, 1, k, b, y, {.add = accumulate ? y : nullptr}, 0);
        }
    }
  });
}

}  // namespace convcore
