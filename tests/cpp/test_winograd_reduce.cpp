// SPDX-License-Identifier: BSD-3-Clause
// Winograd's backward-weight against sums in double precision: operands with gaps and guard pages, parts of tiles,
// regions of blocks, groups; the same bits for any number of threads.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "base/threads.h"
#include "guard.h"
#include "image.h"
#include "kernels/table.h"
#include "ops/winograd_groups.h"
#include "ops/winograd_weight.h"

namespace convcore {
namespace {

using testing::Guarded;
using testing::Image;

Conv2dGeometry geometry(int64_t n, int64_t c, int64_t h, int64_t w, int64_t o, int64_t groups) {
  Conv2dGeometry g;
  g.n = n, g.c = c, g.h = h, g.w = w, g.o = o, g.groups = groups;
  g.kernel_h = g.kernel_w = 3, g.pad_top = g.pad_bottom = g.pad_left = g.pad_right = 1;
  g.out_h = h, g.out_w = w;
  return g;
}

std::vector<float> reduce(const Conv2dGeometry& g, int threads, const Image& x, const Image& dy) {
  set_num_threads(threads);
  const std::unique_ptr<ConvReduce> op = winograd_reduce(g);
  Guarded<float> workspace(op->workspace_bytes() / 4), dw(static_cast<size_t>(g.o * g.c_per_group() * 9));
  std::fill(workspace.data(), workspace.end(), 1e30f);  // nothing of it may be taken for zero
  op->run(x.tensor, dy.tensor, dw.data(), reinterpret_cast<std::byte*>(workspace.data()));
  return {dw.data(), dw.end()};
}

// Of a few weights, spread over all.
int wrong_sums(const Conv2dGeometry& g, const Image& x, const Image& dy, const std::vector<float>& dw) {
  const int64_t count = static_cast<int64_t>(dw.size());
  const double bound = 1e-5 * std::sqrt(static_cast<double>(g.n * g.h * g.w)) * 5;
  int wrong = 0;
  for (int64_t i = 0; i < count; i += std::max<int64_t>(count / 97, 1)) {
    const int64_t tap = i % 9, c = i / 9 % g.c_per_group(), o = i / 9 / g.c_per_group();
    const int64_t in_c = o / g.o_per_group() * g.c_per_group() + c;
    double sum = 0;
    for (int64_t n = 0; n < g.n; ++n)
      for (int64_t row = 0; row < g.h; ++row)
        for (int64_t col = 0; col < g.w; ++col)
          sum += double{x.padded(n, row + tap / 3 - 1, col + tap % 3 - 1, in_c)} * dy.at(n, row, col, o);
    wrong += !(std::abs(dw[static_cast<size_t>(i)] - sum) <= bound);
  }
  return wrong;
}

}  // namespace

TEST_CASE("Winograd's backward-weight is the sum, with the same bits for any number of threads") {
  std::mt19937 random(5);
  const Conv2dGeometry cases[] = {
      geometry(1, 19, 7, 9, 35, 1),    geometry(7, 20, 22, 31, 18, 1),  // one part of tiles, several
      geometry(2, 70, 13, 29, 200, 1),                                  // blocks and regions of both
      geometry(3, 280, 28, 26, 330, 1),  // more sums than a task keeps, several chunks
      geometry(2, 60, 9, 11, 54, 3),     geometry(1, 80, 8, 8, 80, 4),
  };
  for (Isa isa : available_isas())
    for (const Conv2dGeometry& g : cases) {
      if (g.c > 200 && isa != available_isas().back()) continue;
      force_isa(isa);
      CAPTURE(name_of(isa));
      CAPTURE(g.c);
      const Image x({g.n, g.c, g.h, g.w}, 3, random), dy({g.n, g.o, g.out_h, g.out_w}, 2, random);
      const std::vector<float> first = reduce(g, 1, x, dy);
      CHECK(wrong_sums(g, x, dy, first) == 0);
      for (int threads : {2, 3, 5}) CHECK(reduce(g, threads, x, dy) == first);
    }
  force_isa(available_isas().back());
  set_num_threads(1);
}

}  // namespace convcore
