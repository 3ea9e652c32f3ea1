// SPDX-License-Identifier: BSD-3-Clause
#include "ops/tiles.h"

#include <algorithm>
#include <limits>

#include "base/cpu.h"
#include "kernels/table.h"

namespace convcore {

const TileShape& choose_tile(int64_t channels, int64_t depth) {
  const TileKernels& kernels = table().tile;
  const int64_t l2 = cpu_info().l2;
  const TileShape* best = &kernels.shape[0];
  double best_cost = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kernels.shapes; ++i) {
    const TileShape& t = kernels.shape[i];
    double cost = static_cast<double>(ceil_div(channels, t.nr) * t.nr) / t.efficiency;
    // Wide tiles have few rows and read their weights more often: a panel beyond L2 is then the bottleneck.
    if (depth * t.nr * 4 > l2 / 2) cost *= 1.0 + 0.5 / t.mr;
    if (cost < best_cost) best_cost = cost, best = &t;
  }
  return *best;
}

void pack_panels(const float* source, int64_t row, int64_t col, int64_t n, int64_t k, int64_t width, float* panels) {
  if (n % width) std::fill_n(panels + n / width * k * width, k * width, 0.0f);
  // Of k: few pages of the source at a time, and where this is a transpose, few cache lines on both sides.
  constexpr int64_t kBlock = 16;
  for (int64_t p0 = 0; p0 < k; p0 += kBlock) {
    const int64_t p1 = std::min(k, p0 + kBlock);
    for (int64_t first = 0; first < n; first += width) {
      const int64_t rows = std::min(width, n - first);
      const float* s = source + first * row;
      float* panel = panels + first * k;
      if (row == 1) {  // the panel's rows lie together in the source
        for (int64_t p = p0; p < p1; ++p) std::copy_n(s + p * col, rows, panel + p * width);
      } else {
        for (int64_t j = 0; j < rows; ++j)
          for (int64_t p = p0; p < p1; ++p) panel[p * width + j] = s[j * row + p * col];
      }
    }
  }
}

}  // namespace convcore
