// SPDX-License-Identifier: BSD-3-Clause
// The transforms of every table against their matrices in double precision, operands next to a guard page.
#include <doctest/doctest.h>

#include <cfloat>
#include <cmath>
#include <random>
#include <vector>

#include "guard.h"
#include "kernels/table.h"

namespace convcore {
namespace {

using testing::Guarded;
using Matrix = std::vector<std::vector<double>>;

const double kA = std::sqrt(0.5), kB = std::sqrt(2.0);
const Matrix kInput6{{1, 0, -2.5, 0, 1, 0},        {0, 2 * kA, -2, -kA, 1, 0},  {0, -2 * kA, -2, kA, 1, 0},
                     {0, kB / 2, -0.5, -kB, 1, 0}, {0, -kB / 2, -0.5, kB, 1, 0}, {0, 1, 0, -2.5, 0, 1}};

// l d l^T
std::vector<double> sandwich(const Matrix& l, const std::vector<double>& d) {
  const size_t rows = l.size(), n = l[0].size();
  std::vector<double> out(rows * rows);
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < rows; ++j)
      for (size_t k = 0; k < n; ++k)
        for (size_t m = 0; m < n; ++m) out[i * rows + j] += l[i][k] * d[k * n + m] * l[j][m];
  return out;
}

struct Ranges {
  int top, bottom, left, right;
};

TEST_CASE("input transforms equal B^T d B and read only the image") {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (Isa isa : available_isas()) {
    force_isa(isa);
    CAPTURE(name_of(isa));
    for (const Ranges& r : {Ranges{0, 6, 0, 6}, {1, 6, 0, 6}, {0, 4, 2, 5}, {5, 6, 0, 1}, {3, 3, 0, 6}, {0, 6, 6, 6}})
      for (int64_t channels = 1; channels <= 2 * table().tile.lanes + 1; ++channels) {
        CAPTURE(channels);
        const int64_t pitch = channels + 3, row = 6 * pitch + 1, step = channels + 2;
        // From the first pixel of the image to the last channel of the last.
        const bool any = r.top < r.bottom && r.left < r.right;
        const int64_t first = r.top * row + r.left * pitch, last = (r.bottom - 1) * row + (r.right - 1) * pitch;
        Guarded<float> x(any ? static_cast<size_t>(last + channels - first) : 0);
        for (size_t i = 0; i < x.size(); ++i) x[i] = normal(random);
        Guarded<float> v(static_cast<size_t>(35 * step + channels));
        for (size_t i = 0; i < v.size(); ++i) v[i] = 77.0f;
        table().winograd.input6({x.data() - first, row, pitch, r.top, r.bottom, r.left, r.right}, channels, v.data(), step);
        int wrong = 0;
        for (int64_t c = 0; c < channels; ++c) {
          std::vector<double> d(36);
          for (int i = r.top; i < r.bottom; ++i)
            for (int j = r.left; j < r.right; ++j)
              d[static_cast<size_t>(i * 6 + j)] = x.data()[i * row + j * pitch + c - first];
          const std::vector<double> expected = sandwich(kInput6, d);
          for (int64_t i = 0; i < 36; ++i) wrong += !(std::abs(v.data()[i * step + c] - expected[i]) <= 40 * FLT_EPSILON * 10);
        }
        for (int64_t i = 0; i < 35; ++i)
          for (int64_t c = channels; c < step; ++c) wrong += v.data()[i * step + c] != 77.0f;
        CHECK(wrong == 0);
      }
  }
  force_isa(available_isas().back());
}

}  // namespace
}  // namespace convcore
