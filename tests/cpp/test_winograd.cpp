// SPDX-License-Identifier: BSD-3-Clause
// The transforms of every table against their matrices in double precision, operands next to a guard page.
#include <doctest/doctest.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "guard.h"
#include "kernels/table.h"

namespace convcore {
namespace {

using testing::Guarded;
using Matrix = std::vector<std::vector<double>>;

constexpr float kUntouched = 77.0f, kInf = std::numeric_limits<float>::infinity();

struct Algorithm {
  int alpha, m;
  Matrix input, filter, output;
  WinogradTransforms WinogradKernels::*transforms;
};

const double kA = std::sqrt(0.5), kB = std::sqrt(2.0);
const std::vector<Algorithm> kAlgorithms{
    {6,
     4,
     {{1, 0, -2.5, 0, 1, 0},
      {0, 2 * kA, -2, -kA, 1, 0},
      {0, -2 * kA, -2, kA, 1, 0},
      {0, kB / 2, -0.5, -kB, 1, 0},
      {0, -kB / 2, -0.5, kB, 1, 0},
      {0, 1, 0, -2.5, 0, 1}},
     {{1, 0, 0},
      {-2. / 3, 2. / 3 * kA, -1. / 3},
      {-2. / 3, -2. / 3 * kA, -1. / 3},
      {1. / 6, -kB / 6, 1. / 3},
      {1. / 6, kB / 6, 1. / 3},
      {0, 0, 1}},
     {{1, 1, 1, 1, 1, 0}, {0, -kA, kA, -kB, kB, 0}, {0, 0.5, 0.5, 2, 2, 0}, {0, -kA / 2, kA / 2, -2 * kB, 2 * kB, 1}},
     &WinogradKernels::f4},
    {4,
     2,
     {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, -1, 0, 1}},
     {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}},
     {{1, 1, 1, 0}, {0, 1, -1, 1}},
     &WinogradKernels::f2},
};

// l d l^T, d with `n` columns
std::vector<double> sandwich(const Matrix& l, const std::vector<double>& d) {
  const size_t rows = l.size(), n = l[0].size();
  std::vector<double> out(rows * rows);
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < rows; ++j)
      for (size_t k = 0; k < n; ++k)
        for (size_t m = 0; m < n; ++m) out[i * rows + j] += l[i][k] * d[k * n + m] * l[j][m];
  return out;
}

// Of a sum of at most 36 terms of some units each.
bool close(float actual, double expected) { return std::abs(actual - expected) <= 500 * FLT_EPSILON; }

void fill(Guarded<float>& values, std::mt19937& random) {
  std::normal_distribution<float> normal;
  for (size_t i = 0; i < values.size(); ++i) values[i] = normal(random);
}
void clear(Guarded<float>& values) {
  for (size_t i = 0; i < values.size(); ++i) values[i] = kUntouched;
}

// body(algorithm, transforms) on every ISA
template <class Body>
void for_all(Body&& body) {
  for (Isa isa : available_isas()) {
    force_isa(isa);
    CAPTURE(name_of(isa));
    for (const Algorithm& a : kAlgorithms) {
      CAPTURE(a.alpha);
      body(a, table().winograd.*a.transforms);
    }
  }
  force_isa(available_isas().back());
}

struct Range {
  int begin, end;
};

int check_input(const Algorithm& a, const WinogradTransforms& f, Range rows, Range columns, int64_t channels,
                std::mt19937& random) {
  const int n = a.alpha;
  const int64_t pitch = channels + 3, row = n * pitch + 1, step = channels + 2, points = n * n;
  const bool any = rows.begin < rows.end && columns.begin < columns.end;
  const int64_t first = rows.begin * row + columns.begin * pitch,
                last = (rows.end - 1) * row + (columns.end - 1) * pitch;
  Guarded<float> x(any ? static_cast<size_t>(last + channels - first) : 0);
  Guarded<float> v(static_cast<size_t>((points - 1) * step + channels));
  fill(x, random), clear(v);
  f.input({x.data() - first, row, pitch, rows.begin, rows.end, columns.begin, columns.end}, channels, v.data(), step);
  int wrong = 0;
  for (int64_t c = 0; c < channels; ++c) {
    std::vector<double> d(static_cast<size_t>(points));
    for (int i = rows.begin; i < rows.end; ++i)
      for (int j = columns.begin; j < columns.end; ++j)
        d[static_cast<size_t>(i * n + j)] = x.data()[i * row + j * pitch + c - first];
    const std::vector<double> expected = sandwich(a.input, d);
    for (int64_t i = 0; i < points; ++i) wrong += !close(v.data()[i * step + c], expected[static_cast<size_t>(i)]);
  }
  for (int64_t i = 0; i + 1 < points; ++i)
    for (int64_t c = channels; c < step; ++c) wrong += v.data()[i * step + c] != kUntouched;
  return wrong;
}

TEST_CASE("input transforms equal B^T d B and read only the image") {
  std::mt19937 random(5);
  for_all([&](const Algorithm& a, const WinogradTransforms& f) {
    const int n = a.alpha;
    for (int64_t channels = 1; channels <= 2 * table().tile.lanes + 1; ++channels) {
      CAPTURE(channels);
      for (Range rows : {Range{0, n}, {1, n}, {0, n - 2}, {n - 1, n}, {2, 2}})
        for (Range columns : {Range{0, n}, {1, n - 1}, {0, 1}, {n, n}})
          CHECK(check_input(a, f, rows, columns, channels, random) == 0);
    }
  });
}

TEST_CASE("filter transforms equal G g G^T, also of turned kernels") {
  std::mt19937 random(6);
  for_all([&](const Algorithm& a, const WinogradTransforms& f) {
    const int64_t channels = 3, width = 2 * table().tile.lanes, step = channels * width + 5, points = a.alpha * a.alpha;
    Guarded<float> g(static_cast<size_t>(channels * 9 * width)), u(static_cast<size_t>(points * step - 5));
    fill(g, random);
    for (bool turned : {false, true}) {
      CAPTURE(turned);
      clear(u);
      f.filter({g.data() + (turned ? 8 * width : 0), 9 * width, turned ? -width : width, channels, width}, u.data(),
               step);
      int wrong = 0;
      for (int64_t i = 0; i < channels * width; ++i) {
        std::vector<double> taps(9);
        for (int64_t t = 0; t < 9; ++t)
          taps[static_cast<size_t>(turned ? 8 - t : t)] = g.data()[i / width * 9 * width + t * width + i % width];
        const std::vector<double> expected = sandwich(a.filter, taps);
        for (int64_t p = 0; p < points; ++p) wrong += !close(u.data()[p * step + i], expected[static_cast<size_t>(p)]);
      }
      CHECK(wrong == 0);
    }
  });
}

int check_output(const Algorithm& a, const WinogradTransforms& f, int rows, int columns, int64_t channels, bool adds,
                 std::mt19937& random) {
  const int64_t pitch = channels + 1, row = columns * pitch + 2, step = channels + 3, points = a.alpha * a.alpha;
  Guarded<float> m(static_cast<size_t>((points - 1) * step + channels)), bias(static_cast<size_t>(channels));
  Guarded<float> y(static_cast<size_t>((rows - 1) * row + (columns - 1) * pitch + channels));
  fill(m, random), fill(bias, random), clear(y);
  WinogradStore to{y.data(), row, pitch, rows, columns, nullptr, nullptr, 0, 0, -kInf, kInf};
  if (adds) to.bias = bias.data(), to.residual = y.data(), to.residual_row_pitch = row, to.residual_pixel_pitch = pitch;
  if (adds) to.lower = kUntouched, to.upper = kUntouched + 2;
  f.output(m.data(), step, channels, to);
  int wrong = 0;
  for (int64_t c = 0; c < pitch; ++c) {
    std::vector<double> points_c(static_cast<size_t>(points));
    for (int64_t p = 0; p < points && c < channels; ++p) points_c[static_cast<size_t>(p)] = m.data()[p * step + c];
    const std::vector<double> tile = sandwich(a.output, points_c);
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < columns; ++j) {
        const int64_t at = i * row + j * pitch + c;
        if (c < channels) {
          double expected = tile[static_cast<size_t>(i * a.m + j)];
          if (adds) expected = std::clamp<double>(expected + bias.data()[c] + kUntouched, to.lower, to.upper);
          wrong += !close(y.data()[at], expected);
        } else if (at < static_cast<int64_t>(y.size())) {
          wrong += y.data()[at] != kUntouched;
        }
      }
  }
  return wrong;
}

TEST_CASE("output transforms equal A^T M A, store what exists and finish it") {
  std::mt19937 random(7);
  for_all([&](const Algorithm& a, const WinogradTransforms& f) {
    for (int64_t channels = 1; channels <= 2 * table().tile.lanes + 1; ++channels)
      for (int rows = 1; rows <= a.m; ++rows)
        for (int columns = 1; columns <= a.m; ++columns)
          for (bool adds : {false, true}) {
            CAPTURE(channels);
            CAPTURE(rows);
            CAPTURE(columns);
            CAPTURE(adds);
            CHECK(check_output(a, f, rows, columns, channels, adds, random) == 0);
          }
  });
}

TEST_CASE("transposing moves every element and touches nothing else") {
  std::mt19937 random(8);
  for (Isa isa : available_isas()) {
    force_isa(isa);
    CAPTURE(name_of(isa));
    for (int64_t rows : {1, 3, 4, 7, 8, 16, 33})
      for (int64_t columns : {1, 4, 9, 16, 35}) {
        const int64_t pitch = columns + 2, to_pitch = rows + 3;
        Guarded<float> from(static_cast<size_t>((rows - 1) * pitch + columns));
        Guarded<float> to(static_cast<size_t>((columns - 1) * to_pitch + rows));
        fill(from, random), clear(to);
        table().elementwise.transpose(rows, columns, {from.data(), pitch}, {to.data(), to_pitch});
        int wrong = 0;
        for (int64_t j = 0; j < columns; ++j)
          for (int64_t i = 0; i < (j + 1 < columns ? to_pitch : rows); ++i)
            wrong += to.data()[j * to_pitch + i] != (i < rows ? from.data()[i * pitch + j] : kUntouched);
        CHECK(wrong == 0);
      }
  }
  force_isa(available_isas().back());
}

}  // namespace
}  // namespace convcore
