// SPDX-License-Identifier: BSD-3-Clause
// The register tiles of every table and every shape against a double loop: all row and column counts, tails of every
// operand next to a guard page.
#include <doctest/doctest.h>

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

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kSentinel = -12345.0f;

struct Length {
  int segments, length;
};
constexpr Length kLengths[] = {{0, 3}, {1, 0}, {1, 1}, {3, 1}, {2, 5}, {9, 4}, {1, 37}, {2, 75}};

struct Epilogue {
  bool bias, accumulate;
  float lower, upper;
};
constexpr Epilogue kEpilogues[] = {
    {false, false, -kInf, kInf}, {true, false, 0, kInf}, {true, true, -kInf, kInf}, {false, true, 0, 6}};

void fill(const Guarded<float>& memory, std::mt19937& random) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (size_t i = 0; i < memory.size(); ++i) memory[i] = uniform(random);
}

// |computed - exact| <= eps * (terms + 2) * sum of |products|, for a sum in any order.
bool close(double got, double expected, double magnitude, int64_t terms) {
  return std::abs(got - expected) <= FLT_EPSILON * (static_cast<double>(terms) + 2) * (magnitude + 1e-30);
}

double clamp(double v, const Epilogue& e) { return std::fmin(std::fmax(v, e.lower), e.upper); }

// Each pixel's taps lie `segments` apart in reverse order, the last tap of the last pixel at the end of memory.
// In runs: as if no sum were longer than one, but for the last roundings.
void check_gather(const TileShape& shape, int rows, int columns, Length l, const Epilogue& e, bool in_runs,
                  std::mt19937& random) {
  const int gap = l.length + 2;
  const int span = std::max(1, (l.segments - 1) * gap + l.length);
  Guarded<float> x(static_cast<size_t>(rows * 3 + span - 3));
  Guarded<float> w(static_cast<size_t>(l.segments * l.length * shape.nr));
  Guarded<float> bias(static_cast<size_t>(columns));
  const int pitch = columns + 3;
  Guarded<float> y(static_cast<size_t>((rows - 1) * pitch + columns));
  fill(x, random), fill(w, random), fill(bias, random);

  std::vector<const float*> px;
  std::vector<float*> py;
  std::vector<int64_t> offsets;
  for (int i = 0; i < 2; ++i)  // this tile's, and as many again that follow
    for (int p = 0; p < rows; ++p) px.push_back(x.data() + p * 3), py.push_back(y.data() + p * pitch);
  for (int s = 0; s < l.segments; ++s) offsets.push_back(static_cast<int64_t>(l.segments - 1 - s) * gap);
  for (size_t i = 0; i < y.size(); ++i) y[i] = kSentinel;
  std::vector<float> before(static_cast<size_t>(rows * columns));
  for (float& b : before) b = std::uniform_real_distribution<float>(-1, 1)(random);
  if (e.accumulate)
    for (int p = 0; p < rows; ++p)
      for (int j = 0; j < columns; ++j) py[p][j] = before[static_cast<size_t>(p * columns + j)];

  shape.gather(
      rows, columns, px.data(), offsets.data(), l.segments, l.length, w.data(), py.data(),
      {e.bias ? bias.data() : nullptr, e.accumulate ? py.data() : nullptr, e.lower, e.upper, nullptr, 0, in_runs},
      l.segments % 2 ? rows : 0);

  int wrong = 0;
  const int terms = l.segments * l.length;
  for (int p = 0; p < rows; ++p) {
    for (int j = 0; j < columns; ++j) {
      double sum = 0, magnitude = 0;
      const auto add = [&](double v) { sum += v, magnitude += std::abs(v); };
      for (int s = 0; s < l.segments; ++s)
        for (int k = 0; k < l.length; ++k)
          add(static_cast<double>(px[p][offsets[s] + k]) * w[static_cast<size_t>((s * l.length + k) * shape.nr + j)]);
      if (e.bias) add(bias[static_cast<size_t>(j)]);
      if (e.accumulate) add(before[static_cast<size_t>(p * columns + j)]);
      wrong += !close(py[p][j], clamp(sum, e), magnitude, in_runs ? std::min(terms, kRunSteps) : terms);
    }
    for (int j = columns; j < pitch && p + 1 < rows; ++j) wrong += py[p][j] != kSentinel;
  }
  CHECK(wrong == 0);
}

void check_outer(const TileShape& shape, int rows, int columns, Length l, bool accumulate, std::mt19937& random) {
  const int a_step = shape.mr + 1, b_step = shape.nr + 2;
  const int steps = l.segments * l.length;
  Guarded<float> a(static_cast<size_t>(steps ? (steps - 1) * a_step + rows : 0));
  Guarded<float> b(static_cast<size_t>(steps ? (steps - 1) * b_step + shape.nr : 0));
  const int pitch = columns + 3;
  Guarded<float> c(static_cast<size_t>((rows - 1) * pitch + columns));
  fill(a, random), fill(b, random);
  std::vector<int64_t> a_off, b_off;
  for (int s = 0; s < l.segments; ++s) {
    a_off.push_back(static_cast<int64_t>(l.segments - 1 - s) * l.length * a_step);
    b_off.push_back(static_cast<int64_t>(s) * l.length * b_step);
  }
  for (size_t i = 0; i < c.size(); ++i) c[i] = i % static_cast<size_t>(pitch) < static_cast<size_t>(columns) ? 0.5f : kSentinel;

  shape.outer(rows, columns, {a.data(), b.data(), a_off.data(), b_off.data(), l.segments, l.length, a_step, b_step,
                              c.data(), pitch, accumulate});

  int wrong = 0;
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) {
      double sum = accumulate ? 0.5 : 0, magnitude = sum;
      for (size_t s = 0; s < a_off.size(); ++s) {
        for (int k = 0; k < l.length; ++k) {
          const double v = static_cast<double>(a.data()[a_off[s] + k * a_step + i]) * b.data()[b_off[s] + k * b_step + j];
          sum += v, magnitude += std::abs(v);
        }
      }
      wrong += !close(c.data()[i * pitch + j], sum, magnitude, steps);
    }
    for (int j = columns; j < pitch && i + 1 < rows; ++j) wrong += c.data()[i * pitch + j] != kSentinel;
  }
  CHECK(wrong == 0);
}

template <class Check>
void for_each_tile(const Check& check) {
  for (Isa isa : available_isas()) {
    force_isa(isa);
    const TileKernels& tile = table().tile;
    for (int t = 0; t < tile.shapes; ++t) {
      const TileShape& shape = tile.shape[t];
      CAPTURE(name_of(isa));
      CAPTURE(shape.mr);
      CAPTURE(shape.nr);
      CHECK(shape.nr % tile.lanes == 0);
      CHECK((t == 0 || shape.nr > tile.shape[t - 1].nr));
      CHECK(shape.mr <= kMaxTileRows);
      for (int rows = 1; rows <= shape.mr; ++rows)
        for (int columns = 1; columns <= shape.nr; ++columns) {
          CAPTURE(rows);
          CAPTURE(columns);
          check(shape, rows, columns);
        }
    }
  }
  force_isa(available_isas().back());
}

}  // namespace

TEST_CASE("gather tiles equal a double loop and stay within their operands") {
  std::mt19937 random(1);
  for_each_tile([&](const TileShape& shape, int rows, int columns) {
    for (const Length& l : kLengths)
      for (const Epilogue& e : kEpilogues)
        for (bool in_runs : {false, true}) check_gather(shape, rows, columns, l, e, in_runs, random);
  });
}

TEST_CASE("outer tiles equal a double loop and stay within their operands") {
  std::mt19937 random(2);
  for_each_tile([&](const TileShape& shape, int rows, int columns) {
    for (const Length& l : kLengths)
      for (bool accumulate : {false, true}) check_outer(shape, rows, columns, l, accumulate, random);
  });
}

TEST_CASE("column sums equal a double loop and stay within their operands") {
  std::mt19937 random(3);
  for (Isa isa : available_isas()) {
    force_isa(isa);
    CAPTURE(name_of(isa));
    for (int64_t pixels : {1, 2, 7, 33, 200})
      for (int64_t channels = 1; channels <= 3 * table().tile.lanes + 1; ++channels) {
        CAPTURE(pixels);
        CAPTURE(channels);
        const int64_t pitch = channels + pixels % 3;
        Guarded<float> x(static_cast<size_t>((pixels - 1) * pitch + channels)), out(static_cast<size_t>(channels));
        fill(x, random), fill(out, random);
        table().tile.column_sum(x.data(), pixels, channels, pitch, out.data());
        int wrong = 0;
        for (int64_t c = 0; c < channels; ++c) {
          double sum = 0, magnitude = 0;
          for (int64_t p = 0; p < pixels; ++p) {
            const double v = x.data()[p * pitch + c];
            sum += v, magnitude += std::abs(v);
          }
          wrong += !close(out.data()[c], sum, magnitude, pixels);
        }
        CHECK(wrong == 0);
      }
  }
  force_isa(available_isas().back());
}

TEST_CASE("gather tiles lose nothing between runs") {
  constexpr int kRuns = 40, kSteps = kRuns * kRunSteps;
  constexpr double kBig = 1 << 25, kRest = kRuns - 1;  // floats there are 4 apart, runs 1
  std::vector<float> x(kSteps, 1.0f / kRunSteps);
  x[0] = kBig;
  std::fill_n(x.begin() + 1, kRunSteps - 1, 0.0f);
  for_each_tile([&](const TileShape& shape, int rows, int columns) {
    const std::vector<float> w(static_cast<size_t>(kSteps * shape.nr), 1.0f);
    std::vector<float> y(static_cast<size_t>(rows * columns));
    const std::vector<const float*> px(static_cast<size_t>(2 * rows), x.data());
    std::vector<float*> py;
    for (int p = 0; p < rows; ++p) py.push_back(y.data() + p * columns);
    const int64_t offset = 0;
    TileStore store;
    store.in_runs = true;
    shape.gather(rows, columns, px.data(), &offset, 1, kSteps, w.data(), py.data(), store, 0);
    for (float sum : y) CHECK(std::abs(sum - (kBig + kRest)) <= 2.0);
  });
}

TEST_CASE("gather tiles keep NaN and infinity") {
  constexpr int kSteps = 3 * kRunSteps;
  for (Isa isa : available_isas()) {
    force_isa(isa);
    for (bool in_runs : {false, true}) {
      const TileShape& shape = table().tile.shape[0];
      std::vector<float> x(kSteps, 1.0f), w(static_cast<size_t>(kSteps * shape.nr), 1.0f), y(1);
      const float* px = x.data();
      float* py = y.data();
      const int64_t offset = 0;
      x[0] = std::nanf("");
      shape.gather(1, 1, &px, &offset, 1, kSteps, w.data(), &py, {nullptr, nullptr, 0, 6, nullptr, 0, in_runs}, 0);
      CHECK(std::isnan(y[0]));
      x[0] = 1.0f;
      w[0] = kInf;
      shape.gather(1, 1, &px, &offset, 1, kSteps, w.data(), &py, {nullptr, nullptr, -kInf, kInf, nullptr, 0, in_runs},
                   0);
      CHECK(y[0] == kInf);
    }
  }
  force_isa(available_isas().back());
}

TEST_CASE("the peak loop counts its operations") {
  for (Isa isa : available_isas()) {
    force_isa(isa);
    CHECK(table().tile.fma_peak(10) == 10 * table().tile.fma_peak(1));
  }
  force_isa(available_isas().back());
}

}  // namespace convcore
