// SPDX-License-Identifier: BSD-3-Clause
// Depthwise convolution against double loops, with every operand next to a guard page: epilogues, pitches, statistics.
#include <doctest/doctest.h>

#include <cfloat>
#include <cmath>
#include <random>
#include <vector>

#include "guard.h"
#include "image.h"
#include "kernels/table.h"
#include "ops/convolution.h"

namespace convcore {
namespace {

using testing::Guarded;
using testing::Image;

constexpr float kInf = std::numeric_limits<float>::infinity();

struct Case {
  int64_t n, c, h, w, kernel, stride, pad, dilation = 1;
};
constexpr Case kCases[] = {{2, 17, 5, 7, 3, 1, 1},  {1, 24, 6, 16, 3, 2, 1}, {1, 33, 9, 8, 5, 1, 2},
                           {3, 5, 7, 6, 5, 2, 2},   {1, 18, 8, 9, 7, 1, 3},  {1, 7, 10, 11, 3, 1, 2, 2},
                           {1, 16, 7, 13, 4, 3, 1}, {1, 3, 40, 3, 3, 1, 1},  {20, 19, 2, 2, 3, 2, 1}};

Conv2dGeometry geometry(const Case& k) {
  ConvSettings s;
  for (int i = 0; i < 2; ++i) s.stride[i] = k.stride, s.dilation[i] = k.dilation;
  for (int64_t& p : s.padding) p = k.pad;
  s.groups = k.c;
  return conv2d_geometry("conv2d", s, {k.n, k.c, k.h, k.w}, {k.c, 1, k.kernel, k.kernel}, {});
}

// body(n, oh, ow, ih, iw, tap) for all products of one channel.
template <class Body>
void for_products(const Conv2dGeometry& g, const Body& body) {
  for (int64_t n = 0; n < g.n; ++n)
    for (int64_t oh = 0; oh < g.out_h; ++oh)
      for (int64_t ow = 0; ow < g.out_w; ++ow)
        for (int64_t tap = 0; tap < g.taps(); ++tap) {
          const int64_t ih = oh * g.stride_h + tap / g.kernel_w * g.dilation_h - g.pad_top;
          const int64_t iw = ow * g.stride_w + tap % g.kernel_w * g.dilation_w - g.pad_left;
          if (ih >= 0 && ih < g.h && iw >= 0 && iw < g.w) body(n, oh, ow, ih, iw, tap);
        }
}

bool close(double got, double expected, double terms) {
  return std::abs(got - expected) <= FLT_EPSILON * (terms + 4) * (terms + 4);
}

const ConvAlgorithm& depthwise(const Conv2dGeometry& g, Pass pass) {
  const ConvAlgorithm& a = choose_algorithm("conv2d", g, pass, "auto");
  CHECK(a.name == std::string_view("depthwise"));
  return a;
}

// added: bias and residual (out's own memory if `in_place`).
void check_map(const Conv2dGeometry& g, Pass pass, int64_t slack, bool added, bool in_place, std::mt19937& random) {
  const bool forward = pass == Pass::forward;
  const Shape x{g.n, g.c, g.h, g.w}, y{g.n, g.c, g.out_h, g.out_w};
  const Image in(forward ? x : y, slack, random), out(forward ? y : x, slack, random);
  const Image residual(out.tensor.shape, slack + 1, random);
  const Image weight({1, g.c * g.taps(), 1, 1}, 0, random), bias({1, g.c, 1, 1}, 0, random);
  std::vector<double> expected(static_cast<size_t>(out.tensor.pixels() * g.c));
  const auto place = [&](int64_t n, int64_t h, int64_t w, int64_t c) {
    return static_cast<size_t>(((n * out.tensor.h() + h) * out.tensor.w() + w) * g.c + c);
  };
  for (int64_t c = 0; c < g.c; ++c)
    for_products(g, [&](int64_t n, int64_t oh, int64_t ow, int64_t ih, int64_t iw, int64_t tap) {
      const double w = weight.memory[static_cast<size_t>(c * g.taps() + tap)];
      expected[forward ? place(n, oh, ow, c) : place(n, ih, iw, c)] +=
          w * (forward ? in.at(n, ih, iw, c) : in.at(n, oh, ow, c));
    });
  Epilogue e;
  if (added) {
    const Image& from = in_place ? out : residual;
    e = {.bias = bias.memory.data(), .residual = from.tensor.f32(), .residual_pitch = from.tensor.pitch,
         .lower = 0, .upper = 1};
    for (int64_t p = 0; p < out.tensor.pixels(); ++p)
      for (int64_t c = 0; c < g.c; ++c) {
        double& v = expected[static_cast<size_t>(p * g.c + c)];
        v = std::fmin(1, std::fmax(0, v + bias.memory[static_cast<size_t>(c)] + e.residual[p * e.residual_pitch + c]));
      }
  }
  const auto map = depthwise(g, pass).map(g, pass);
  const Guarded<std::byte> packed(map->packed_bytes()), workspace(map->workspace_bytes());
  const Guarded<float> statistics(static_cast<size_t>(map->statistic_parts() * 2 * g.c));
  if (map->statistic_parts() > 0) e.statistics = statistics.data();
  map->pack(weight.memory.data(), packed.data());
  map->run(in.tensor, packed.data(), e, out.tensor, workspace.data());

  int wrong = 0;
  for (int64_t p = 0; p < out.tensor.pixels(); ++p)
    for (int64_t c = 0; c < g.c; ++c)
      wrong += !close(out.tensor.f32()[p * out.tensor.pitch + c], expected[static_cast<size_t>(p * g.c + c)],
                      static_cast<double>(g.taps()));
  CHECK(wrong == 0);

  int64_t pixel = 0;
  for (int64_t part = 0; part < map->statistic_parts(); ++part) {
    const int64_t pixels = map->statistic_pixels(part);
    for (int64_t c = 0; c < g.c; ++c) {
      double mean = 0, square = 0;
      for (int64_t p = 0; p < pixels; ++p) mean += out.tensor.f32()[(pixel + p) * out.tensor.pitch + c];
      mean /= static_cast<double>(pixels);
      for (int64_t p = 0; p < pixels; ++p)
        square += std::pow(out.tensor.f32()[(pixel + p) * out.tensor.pitch + c] - mean, 2);
      wrong += !close(statistics[static_cast<size_t>(part * 2 * g.c + c)], mean, static_cast<double>(pixels));
      wrong += !close(statistics[static_cast<size_t>((part * 2 + 1) * g.c + c)], square, static_cast<double>(pixels));
    }
    pixel += pixels;
  }
  CHECK(wrong == 0);
  CHECK(pixel == (forward ? out.tensor.pixels() : 0));
}

void check_reduce(const Conv2dGeometry& g, int64_t slack, std::mt19937& random) {
  const Image x({g.n, g.c, g.h, g.w}, slack, random), dy({g.n, g.c, g.out_h, g.out_w}, slack, random);
  const auto reduce = depthwise(g, Pass::backward_weight).reduce(g);
  const Guarded<std::byte> workspace(reduce->workspace_bytes());
  const Guarded<float> dw(static_cast<size_t>(g.c * g.taps()));
  reduce->run(x.tensor, dy.tensor, dw.data(), workspace.data());
  std::vector<double> expected(dw.size());
  for (int64_t c = 0; c < g.c; ++c)
    for_products(g, [&](int64_t n, int64_t oh, int64_t ow, int64_t ih, int64_t iw, int64_t tap) {
      const double product = static_cast<double>(x.at(n, ih, iw, c)) * dy.at(n, oh, ow, c);
      expected[static_cast<size_t>(c * g.taps() + tap)] += product;
    });
  const double terms = static_cast<double>(g.n * g.out_h * g.out_w);
  int wrong = 0;
  for (size_t i = 0; i < dw.size(); ++i) wrong += !close(dw[i], expected[i], terms);
  CHECK(wrong == 0);
}

template <class Check>
void for_each_case(const Check& check) {
  for (Isa isa : available_isas()) {
    force_isa(isa);
    CAPTURE(name_of(isa));
    for (const Case& k : kCases) {
      CAPTURE(&k - kCases);
      for (int64_t slack : {0, 3}) check(geometry(k), slack);
    }
  }
  force_isa(available_isas().back());
}

}  // namespace

TEST_CASE("depthwise forward and backward-input equal double loops and stay within their operands") {
  std::mt19937 random(1);
  for_each_case([&](const Conv2dGeometry& g, int64_t slack) {
    for (Pass pass : {Pass::forward, Pass::backward_input}) {
      check_map(g, pass, slack, false, false, random);
      for (bool in_place : {false, true}) check_map(g, pass, slack, true, in_place, random);
    }
  });
}

TEST_CASE("depthwise backward-weight equals a double loop and stays within its operands") {
  std::mt19937 random(2);
  for_each_case([&](const Conv2dGeometry& g, int64_t slack) { check_reduce(g, slack, random); });
}

TEST_CASE("a depthwise convolution keeps NaN and infinity, and multiplies no padding") {
  const Conv2dGeometry g = geometry({1, 2, 3, 3, 3, 1, 1});
  for (Isa isa : available_isas()) {
    force_isa(isa);
    const auto map = depthwise(g, Pass::forward).map(g, Pass::forward);
    const Guarded<std::byte> packed(map->packed_bytes());
    std::vector<float> weight(18, 1.0f), x(18, 1.0f), y(18);
    weight[0] = kInf;  // of channel 0, above and to the left
    x[9] = std::nanf("");  // of channel 1, in the middle
    map->pack(weight.data(), packed.data());
    map->run({x.data(), {1, 2, 3, 3}, DType::f32, 2}, packed.data(), {.lower = -1, .upper = kInf},
             {y.data(), {1, 2, 3, 3}, DType::f32, 2}, nullptr);
    CHECK(y[0] == 4.0f);
    CHECK(y[8] == kInf);
    for (size_t i = 1; i < y.size(); i += 2) CHECK(std::isnan(y[i]));
  }
  force_isa(available_isas().back());
}

}  // namespace convcore
