// SPDX-License-Identifier: BSD-3-Clause
// The moments that a convolution gathers while its output is in cache: of every part, within rounding of a double sum,
// and the same bits for any number of threads.
#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "base/memory.h"
#include "base/threads.h"
#include "ops/convolution.h"

namespace convcore {
namespace {

Conv2dGeometry geometry(int64_t n, int64_t c, int64_t h, int64_t w, int64_t o, int64_t kernel, int64_t stride,
                        int64_t groups) {
  const int64_t pad = kernel / 2, out_h = (h + 2 * pad - kernel) / stride + 1;
  const int64_t out_w = (w + 2 * pad - kernel) / stride + 1;
  return {.n = n, .c = c, .h = h, .w = w, .o = o, .out_h = out_h, .out_w = out_w, .kernel_h = kernel,
          .kernel_w = kernel, .stride_h = stride, .stride_w = stride, .groups = groups, .pad_top = pad,
          .pad_left = pad, .pad_bottom = pad, .pad_right = pad};
}

// The same numbers for any pitch.
std::vector<float> uniform(int64_t pixels, int64_t channels, int64_t pitch, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> draw(-1, 1);
  std::vector<float> values(static_cast<size_t>(pixels * pitch));
  for (int64_t p = 0; p < pixels; ++p)
    for (int64_t c = 0; c < channels; ++c) values[static_cast<size_t>(p * pitch + c)] = draw(random);
  return values;
}

// Parts are runs of pixels in order, each as long as statistic_pixels() says.
std::vector<float> check_moments(const Conv2dGeometry& g, const ConvAlgorithm& algorithm, int64_t slack) {
  const std::unique_ptr<ConvMap> map = algorithm.map(g, Pass::forward);
  const int64_t parts = map->statistic_parts(), x_pitch = g.c + slack, y_pitch = g.o + slack;
  const int64_t weights = g.o * g.c_per_group() * g.taps(), outputs = g.n * g.out_h * g.out_w;
  std::vector<float> x = uniform(g.n * g.h * g.w, g.c, x_pitch, 1), w = uniform(1, weights, weights, 2);
  std::vector<float> y = uniform(outputs, 0, y_pitch, 3), bias = uniform(1, g.o, g.o, 4);
  std::vector<float> statistics(static_cast<size_t>(2 * parts * g.o));
  const AlignedBuffer packed(map->packed_bytes()), workspace(map->workspace_bytes());
  const Tensor in{reinterpret_cast<std::byte*>(x.data()), {g.n, g.c, g.h, g.w}, DType::f32, x_pitch};
  const Tensor out{reinterpret_cast<std::byte*>(y.data()), {g.n, g.o, g.out_h, g.out_w}, DType::f32, y_pitch};
  map->pack(w.data(), packed.data());
  Epilogue epilogue;
  epilogue.bias = bias.data(), epilogue.lower = 0, epilogue.statistics = parts > 0 ? statistics.data() : nullptr;
  map->run(in, packed.data(), epilogue, out, workspace.data());

  int64_t pixel = 0, wrong = 0;
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t pixels = map->statistic_pixels(part);
    for (int64_t c = 0; c < g.o; ++c) {
      const auto value = [&](int64_t p) { return static_cast<double>(y[static_cast<size_t>(p * y_pitch + c)]); };
      double sum = 0, square = 0, magnitude = 0;
      for (int64_t p = pixel; p < pixel + pixels; ++p) sum += value(p);
      const double mean = sum / static_cast<double>(pixels);
      for (int64_t p = pixel; p < pixel + pixels; ++p) {
        square += (value(p) - mean) * (value(p) - mean), magnitude += value(p) * value(p);
      }
      const float* moments = statistics.data() + 2 * part * g.o + c;
      const double bound = 1e-6 * static_cast<double>(pixels) * (1 + magnitude);
      wrong += !(std::abs(static_cast<double>(moments[0]) - mean) <= bound &&
                 std::abs(static_cast<double>(moments[g.o]) - square) <= bound);
    }
    pixel += pixels;
  }
  CHECK(wrong == 0);
  if (parts > 0) CHECK(pixel == outputs);
  return statistics;
}

}  // namespace

TEST_CASE("moments gathered by convolutions") {
  const int threads = num_threads();
  const Conv2dGeometry shapes[] = {
      geometry(2, 5, 9, 9, 7, 3, 1, 1),     geometry(3, 16, 8, 8, 130, 3, 1, 1), geometry(1, 64, 33, 33, 200, 1, 1, 1),
      geometry(5, 8, 4, 4, 12, 3, 1, 2),    geometry(2, 6, 17, 16, 10, 3, 2, 2), geometry(1, 128, 40, 40, 3, 1, 1, 1),
      geometry(1, 3, 3, 1500, 4, 3, 1, 1),  geometry(1, 3, 60, 60, 4, 5, 1, 1),  geometry(7, 4, 3, 3, 5, 3, 1, 1),
      geometry(0, 4, 8, 8, 5, 3, 1, 1),     geometry(2, 64, 40, 40, 8, 3, 1, 1),
  };
  for (const ConvAlgorithm& algorithm : conv_algorithms())
    for (const Conv2dGeometry& g : shapes) {
      if (!algorithm.accepts(g, Pass::forward)) continue;
      CAPTURE(algorithm.name);
      CAPTURE(g.c);
      set_num_threads(1);
      const std::vector<float> one = check_moments(g, algorithm, 0);
      set_num_threads(3);
      CHECK(check_moments(g, algorithm, 2) == one);
    }
  set_num_threads(threads);
  const ConvAlgorithm& direct = choose_algorithm("test", shapes[1], Pass::forward, "direct");
  CHECK(direct.map(shapes[1], Pass::forward)->statistic_parts() == 3);
}

}  // namespace convcore
