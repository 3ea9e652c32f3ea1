// SPDX-License-Identifier: BSD-3-Clause
#include "ops/tiles.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/cpu.h"
#include "kernels/table.h"

namespace convcore {
namespace {

// Of a panel, in channels at the FMA peak. Wide tiles have few rows and read their weights more often: a panel beyond
// L2 is then the bottleneck.
double panel_cost(const TileShape& t, int64_t depth) {
  const double cost = t.nr / t.efficiency;
  return depth * t.nr * 4 > cpu_info().l2 / 2 ? cost * (1.0 + 0.5 / t.mr) : cost;
}

// The shape, and its cost, for which cost(shape) is least.
template <class Cost>
std::pair<const TileShape*, double> cheapest(Cost&& cost) {
  const TileKernels& kernels = table().tile;
  std::pair<const TileShape*, double> best{&kernels.shape[0], std::numeric_limits<double>::infinity()};
  for (int i = 0; i < kernels.shapes; ++i)
    if (const double c = cost(kernels.shape[i]); c < best.second) best = {&kernels.shape[i], c};
  return best;
}

}  // namespace

const TileShape& choose_tile(int64_t channels, int64_t depth) {
  return *cheapest([&](const TileShape& t) {
    return static_cast<double>(ceil_div(channels, t.nr)) * panel_cost(t, depth);
  }).first;
}

TilePair choose_tiles(int64_t channels, int64_t depth) {
  const auto tail_of = [&](const TileShape& main) {  // and its cost
    const int64_t left = channels % main.nr;
    if (left == 0) return std::pair{&main, 0.0};
    return cheapest([&](const TileShape& t) {
      return t.nr < left ? std::numeric_limits<double>::infinity() : panel_cost(t, depth);
    });
  };
  const auto [main, cost] = cheapest([&](const TileShape& t) {
    return static_cast<double>(channels / t.nr) * panel_cost(t, depth) + tail_of(t).second;
  });
  const TileShape& tail = *tail_of(*main).first;
  return {channels < main->nr ? tail : *main, tail, cost};
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
