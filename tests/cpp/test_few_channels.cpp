// SPDX-License-Identifier: BSD-3-Clause
// The kernels for few channels (row_product, run_tile, plane) of every table against double loops, with the tails of
// operands next to guard pages. Values are small integers, so that every sum is exact in any order.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "guard.h"
#include "kernels/table.h"

namespace convcore {
namespace {

using testing::Guarded;

constexpr float kSentinel = -12345.0f;
constexpr float kInf = std::numeric_limits<float>::infinity();

struct Integers : Guarded<float> {
  Integers(int64_t count, std::mt19937& random) : Guarded(static_cast<size_t>(count)) {
    for (size_t i = 0; i < size(); ++i) data()[i] = static_cast<float>(static_cast<int>(random() % 9) - 4);
  }
};

struct Sentinels : Guarded<float> {
  explicit Sentinels(int64_t count) : Guarded(static_cast<size_t>(count)) { std::fill_n(data(), size(), kSentinel); }
};

template <class Check>
void on_every_table(const Check& check) {
  std::mt19937 random(1);
  for (Isa isa : available_isas()) {
    force_isa(isa);
    CAPTURE(name_of(isa));
    check(table(), random);
  }
  force_isa(available_isas().back());
}

int64_t wrong_products(const RowProductKernels& kernels, int bases, int rows, int columns, bool accumulate,
                       std::mt19937& random) {
  constexpr int64_t kSegments = 2, kLength = 3;
  const int64_t a_step = 2, b_step = columns + 1, c_pitch = columns + 2, c_base = rows * c_pitch + 1;
  const int64_t offsets[] = {5, 0}, b_offsets[] = {0, kLength * b_step};
  std::vector<int64_t> base;
  for (int64_t i = 0; i < kMaxBases; ++i) base.push_back(i * 7);
  const Integers a(5 + base[static_cast<size_t>(bases - 1)] + (kLength - 1) * a_step + rows, random);
  const Integers b((kSegments * kLength - 1) * b_step + columns, random);
  const Sentinels c((bases - 1) * c_base + (rows - 1) * c_pitch + columns);
  kernels.product(bases, rows, (columns + kernels.lanes - 1) / kernels.lanes,
                  {a.data(), b.data(), offsets, b_offsets, base.data(), kSegments, kLength, a_step, b_step, columns,
                   c.data(), c_pitch, c_base, accumulate, nullptr, 0});
  int64_t wrong = 0;
  std::vector<float> expected(c.size(), kSentinel);
  for (int64_t i = 0; i < bases; ++i)
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < columns; ++j) {
        float sum = accumulate ? kSentinel : 0;
        for (int64_t s = 0; s < kSegments; ++s)
          for (int64_t k = 0; k < kLength; ++k)
            sum += a.data()[offsets[s] + base[static_cast<size_t>(i)] + k * a_step + r] *
                   b.data()[b_offsets[s] + k * b_step + j];
        expected[static_cast<size_t>(i * c_base + r * c_pitch + j)] = sum;
      }
  for (size_t i = 0; i < c.size(); ++i) wrong += c[i] != expected[i];
  return wrong;
}

int64_t wrong_run(const RunKernels& kernels, int lanes, int rows, int columns, bool bias, bool add, float lower,
                  std::mt19937& random) {
  constexpr int64_t kSegments = 2, kLength = 3;
  const int64_t x_step = 2, y_step = columns + 1, offsets[] = {4, 0};
  const Integers x((rows - 1) * x_step + 4 + kLength, random);
  const Integers w(kSegments * kLength * lanes, random);
  const Integers shift(columns, random);
  const Integers addend((rows - 1) * (y_step + 1) + columns, random);
  const Sentinels y((rows - 1) * y_step + columns);
  kernels.tile(rows, {x.data(), x_step, offsets, kSegments, kLength, w.data(), y.data(), y_step, columns,
                      bias ? shift.data() : nullptr, add ? addend.data() : nullptr, y_step + 1, lower, kInf});
  int64_t wrong = 0;
  for (int64_t p = 0; p < rows; ++p)
    for (int64_t j = 0; j < y_step && p * y_step + j < static_cast<int64_t>(y.size()); ++j) {
      float sum = bias && j < columns ? shift.data()[j] : 0;
      if (add && j < columns) sum += addend.data()[p * (y_step + 1) + j];
      for (int64_t s = 0; s < kSegments && j < columns; ++s)
        for (int64_t k = 0; k < kLength; ++k)
          sum += x.data()[p * x_step + offsets[s] + k] * w.data()[(s * kLength + k) * lanes + j];
      wrong += y.data()[p * y_step + j] != (j < columns ? std::max(sum, lower) : kSentinel);
    }
  return wrong;
}

// Two vectors of the tile, the second not whole.
int64_t wrong_plane_tile(const PlaneKernels& kernels, int outputs, int last, bool bias, bool add, int64_t slack,
                         std::mt19937& random) {
  constexpr int64_t kChannels = 2, kTaps = 3;
  const int vectors = std::min(2, kernels.tile_vectors[outputs - 1]), lanes = kernels.lanes;
  const int64_t offsets[kTaps] = {0, 2, 7}, at[] = {3, 0}, plane = 3 + 7 + lanes, y_step = outputs + slack;
  const int pixels[] = {last, lanes};
  const Integers x(kChannels * plane, random);
  const Integers w(kChannels * kTaps * outputs, random);
  const Integers shift(outputs, random);
  const Sentinels y0((last - 1) * y_step + outputs);
  const Sentinels y1((lanes - 1) * y_step + outputs);
  const Integers add0((last - 1) * y_step + outputs, random);
  const Integers add1((lanes - 1) * y_step + outputs, random);
  float* const y[] = {y0.data(), y1.data()};
  const float* const addend[] = {add0.data(), add1.data()};
  kernels.tile(outputs, {x.data(), kChannels, plane, kTaps, offsets, w.data(), vectors, at, pixels, y, y_step,
                         bias ? shift.data() : nullptr, add ? addend : nullptr, y_step, -3, 20});
  int64_t wrong = 0;
  for (int n = 0; n < vectors; ++n)
    for (int64_t l = 0; l < pixels[n]; ++l)
      for (int64_t j = 0; j < (l + 1 < pixels[n] ? y_step : outputs); ++j) {
        float sum = bias && j < outputs ? shift.data()[j] : 0;
        for (int64_t c = 0; c < kChannels && j < outputs; ++c)
          for (int64_t t = 0; t < kTaps; ++t)
            sum += x.data()[c * plane + offsets[t] + at[n] + l] * w.data()[(c * kTaps + t) * outputs + j];
        if (add && j < outputs) sum += addend[n][l * y_step + j];
        wrong += y[n][l * y_step + j] != (j < outputs ? std::clamp(sum, -3.0f, 20.0f) : kSentinel);
      }
  return wrong;
}

int64_t wrong_to_planes(const PlaneKernels& kernels, int64_t channels, int64_t pixels, int64_t pitch,
                        std::mt19937& random) {
  const int64_t left = 2, width = left + pixels + 3, plane = width + 1;
  const Integers in(pixels > 0 ? (pixels - 1) * pitch + channels : 0, random);
  const Sentinels out((channels - 1) * plane + width);
  kernels.to_planes(in.data(), pitch, pixels, channels, left, width, out.data(), plane);
  int64_t wrong = 0;
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t p = 0; p < (c + 1 < channels ? plane : width); ++p) {
      const bool inside = p >= left && p < left + pixels;
      const float expected = p >= width ? kSentinel : inside ? in.data()[(p - left) * pitch + c] : 0.0f;
      wrong += out.data()[c * plane + p] != expected;
    }
  return wrong;
}

int64_t wrong_plane_product(const PlaneKernels& kernels, int outputs, int64_t rows, bool accumulate,
                            std::mt19937& random) {
  const int64_t lanes = kernels.lanes, length = 3 * lanes;
  std::vector<int64_t> offsets;
  for (int64_t r = 0; r < rows; ++r) offsets.push_back(rows - 1 - r);
  const Integers x(length + rows - 1, random);
  const Integers dy(outputs * length, random);
  const Sentinels sums(outputs * rows * lanes);
  kernels.product(outputs, {x.data(), dy.data(), length, length, rows, offsets.data(), sums.data(), accumulate});
  int64_t wrong = 0;
  for (int64_t j = 0; j < outputs; ++j)
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t l = 0; l < lanes; ++l) {
        float sum = accumulate ? kSentinel : 0;
        for (int64_t i = l; i < length; i += lanes) sum += x.data()[rows - 1 - r + i] * dy.data()[j * length + i];
        wrong += sums.data()[(j * rows + r) * lanes + l] != sum;
      }
  return wrong;
}

}  // namespace

TEST_CASE("products of rows equal a double loop and stay within their operands") {
  on_every_table([](const KernelTable& t, std::mt19937& random) {
    const RowProductKernels& kernels = t.row_product;
    for (int columns = 1; columns <= 2 * kernels.lanes; ++columns)
      for (int bases = 1; bases <= kMaxBases; ++bases)
        for (int rows = 1; bases * rows <= kernels.max_rows[columns > kernels.lanes]; ++rows) {
          CAPTURE(columns);
          CAPTURE(bases);
          CAPTURE(rows);
          CHECK(wrong_products(kernels, bases, rows, columns, rows % 2 > 0, random) == 0);
        }
    const Integers in(2 * 20 + 19, random);
  const Sentinels out(3 * (1 + 19 + 17));
    kernels.pad_rows(in.data(), 20, 3, 1, 19, 17, out.data());
    for (int64_t i = 0; i < 3 * 37; ++i) {
      const int64_t column = i % 37 - 1;
      CHECK(out.data()[i] == (column >= 0 && column < 19 ? in.data()[i / 37 * 20 + column] : 0.0f));
    }
  });
}

TEST_CASE("tiles of evenly spaced pixels equal a double loop and stay within their operands") {
  on_every_table([](const KernelTable& t, std::mt19937& random) {
    for (int rows = 1; rows <= t.run.max_rows; ++rows)
      for (int columns = 1; columns <= t.tile.lanes; ++columns)
        for (int way = 0; way < 4; ++way) {
          CAPTURE(rows);
          CAPTURE(columns);
          CHECK(wrong_run(t.run, t.tile.lanes, rows, columns, way & 1, way & 2, way == 3 ? 0 : -kInf, random) == 0);
        }
  });
}

TEST_CASE("planes equal double loops and stay within their operands") {
  on_every_table([](const KernelTable& t, std::mt19937& random) {
    for (int outputs = 1; outputs <= kMaxPlaneOutputs; ++outputs) {
      CAPTURE(outputs);
      for (int last = 1; last <= t.plane.lanes; ++last)
        for (int way = 0; way < 8; ++way)
          CHECK(wrong_plane_tile(t.plane, outputs, last, way & 1, way & 2, way / 4 * 2, random) == 0);
      for (int64_t rows = 1; rows <= 2 * t.plane.product_rows[outputs - 1] + 1; ++rows)
        CHECK(wrong_plane_product(t.plane, outputs, rows, rows % 2 > 0, random) == 0);
    }
    for (int64_t channels = 1; channels <= 2 * t.plane.lanes + 1; ++channels)
      for (int64_t pixels = 0; pixels <= 2 * t.plane.lanes + 1; ++pixels) {
        CAPTURE(channels);
        CAPTURE(pixels);
        CHECK(wrong_to_planes(t.plane, channels, pixels, channels + pixels % 2, random) == 0);
      }
  });
}

}  // namespace convcore
