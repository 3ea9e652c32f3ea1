// SPDX-License-Identifier: BSD-3-Clause
// The transforms of Winograd's backward-weight against their matrices, operands next to a guard page.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "guard.h"
#include "kernels/table.h"

namespace convcore {
namespace {

using testing::Guarded;

constexpr float kUntouched = 77.0f;
constexpr int kPoints = 36;

// p_i^k of a finite point; of infinity the last power.
double power(int i, int k, int powers) {
  const double points[] = {0, -std::sqrt(0.5), std::sqrt(0.5), -std::sqrt(2.0), std::sqrt(2.0)};
  return i == 5 ? k == powers - 1 : std::pow(points[i], k);
}
double divisor(int i) { return i == 0 || i == 5 ? 1 : i < 3 ? -1.5 : 6; }

bool close(float actual, double expected, double magnitude) { return std::abs(actual - expected) <= 4e-6 * magnitude; }

template <class Body>
void for_all(Body&& body) {
  for (Isa isa : available_isas()) {
    force_isa(isa);
    CAPTURE(name_of(isa));
    body(table().winograd_weight);
  }
  force_isa(available_isas().back());
}

void fill(Guarded<float>& values, std::mt19937& random) {
  std::normal_distribution<float> normal;
  for (size_t i = 0; i < values.size(); ++i) values[i] = normal(random);
}

int check_gradient(const WinogradWeightKernels& f, int bottom, int right, int64_t channels, std::mt19937& random) {
  const int64_t pixel = channels + 2, row = 4 * pixel + 1, step = channels + 3;
  const int64_t last = (bottom - 1) * row + (right - 1) * pixel;
  Guarded<float> y(bottom && right ? static_cast<size_t>(last + channels) : 0);
  Guarded<float> w(static_cast<size_t>((kPoints - 1) * step + channels));
  fill(y, random);
  std::fill(w.data(), w.end(), kUntouched);
  f.gradient6({y.data(), row, pixel, 0, bottom, 0, right}, channels, w.data(), step);
  int wrong = 0;
  for (int64_t p = 0; p < kPoints; ++p) {
    for (int64_t c = 0; c < channels; ++c) {
      double sum = 0, magnitude = 0;
      for (int k = 0; k < bottom; ++k)
        for (int l = 0; l < right; ++l) {
          const double v = power(static_cast<int>(p / 6), k, 4) * power(static_cast<int>(p % 6), l, 4) *
                           static_cast<double>(y.data()[k * row + l * pixel + c]);
          sum += v, magnitude += std::abs(v);
        }
      wrong += !close(w.data()[p * step + c], sum, magnitude);
    }
    for (int64_t c = channels; c < step && p + 1 < kPoints; ++c) wrong += w.data()[p * step + c] != kUntouched;
  }
  return wrong;
}

int check_weights(const WinogradWeightKernels& f, int64_t rows, int64_t columns, std::mt19937& random) {
  const int64_t pitch = columns + 1, step = rows * pitch + 2, dw_pitch = rows * 9 + 4;
  Guarded<float> u(static_cast<size_t>((kPoints - 1) * step + (rows - 1) * pitch + columns));
  Guarded<float> dw(static_cast<size_t>((columns - 1) * dw_pitch + rows * 9));
  fill(u, random);
  std::fill(dw.data(), dw.end(), kUntouched);
  f.weights3(rows, columns, u.data(), step, pitch, dw.data(), dw_pitch);
  int wrong = 0;
  for (int64_t o = 0; o < columns; ++o) {
    for (int64_t i = 0; i < rows * 9; ++i) {
      double sum = 0, magnitude = 0;
      for (int p = 0; p < kPoints; ++p) {
        const double v = power(p / 6, static_cast<int>(i % 9 / 3), 3) * power(p % 6, static_cast<int>(i % 3), 3) /
                         divisor(p / 6) / divisor(p % 6) *
                         static_cast<double>(u.data()[p * step + i / 9 * pitch + o]);
        sum += v, magnitude += std::abs(v);
      }
      wrong += !close(dw.data()[o * dw_pitch + i], sum, magnitude);
    }
    for (int64_t i = rows * 9; i < dw_pitch && o + 1 < columns; ++i)
      wrong += dw.data()[o * dw_pitch + i] != kUntouched;
  }
  return wrong;
}

TEST_CASE("gradient transforms equal G' y G'^T and read only the image") {
  std::mt19937 random(8);
  for_all([&](const WinogradWeightKernels& f) {
    for (int64_t channels = 1; channels <= 2 * table().tile.lanes + 1; ++channels)
      for (int bottom : {4, 3, 1, 0})
        for (int right : {4, 2, 1}) {
          CAPTURE(channels);
          CAPTURE(bottom);
          CAPTURE(right);
          CHECK(check_gradient(f, bottom, right, channels, random) == 0);
        }
  });
}

TEST_CASE("weight transforms equal A' u A'^T and write only the block") {
  std::mt19937 random(9);
  for_all([&](const WinogradWeightKernels& f) {
    for (int64_t rows : {1, 2, 3, 7, 15, 16, 17, 35})
      for (int64_t columns = 1; columns <= 2 * table().tile.lanes + 1; ++columns) {
        CAPTURE(rows);
        CAPTURE(columns);
        CHECK(check_weights(f, rows, columns, random) == 0);
      }
  });
}

}  // namespace
}  // namespace convcore
