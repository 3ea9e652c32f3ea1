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
  const PackKernels& kernels = table().pack;
  constexpr int64_t kRows = 16;  // of k, for all panels, then the next: few pages of the source at a time
  const int64_t block = col == 1 ? k : kRows, zero = 0;
  for (int64_t p0 = 0; p0 < k; p0 += block)
    for (int64_t first = 0; first < n; first += width) {
      const int64_t rows = std::min(width, n - first), count = std::min(block, k - p0);
      const float* s = source + first * row + p0 * col;
      float* panel = panels + first * k + p0 * width;
      if (row == 1) {  // the panel's rows lie together in the source
        kernels.copy_rows(s, col, count, rows, panel, width);
      } else if (col == 1) {
        kernels.transpose({s, row, rows, count, 1, panel, &zero, width, width});
      } else {
        for (int64_t p = 0; p < count; ++p)
          for (int64_t j = 0; j < width; ++j) panel[p * width + j] = j < rows ? s[j * row + p * col] : 0.0f;
      }
    }
}

}  // namespace convcore
