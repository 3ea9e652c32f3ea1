// SPDX-License-Identifier: BSD-3-Clause
// Every way through a Winograd convolution, whatever the model of its cost would choose, against sums in double
// precision: all cuts of the tiles, pitches, the whole epilogue, and the moments of each part.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "base/threads.h"
#include "guard.h"
#include "image.h"
#include "kernels/table.h"
#include "ops/winograd_map.h"

namespace convcore {
namespace {

using testing::Guarded;
using testing::Image;

struct Convolution {
  Convolution(const Conv2dGeometry& geometry, Pass p, std::mt19937& random)
      : g(geometry),
        pass(p),
        in({g.n, forward() ? g.c : g.o, forward() ? g.h : g.out_h, forward() ? g.w : g.out_w}, 3, random),
        weight(static_cast<size_t>(g.o * g.c * 9)) {
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < weight.size(); ++i)
      weight[i] = normal(random) / std::sqrt(9.0f * static_cast<float>(in.tensor.c()));
  }
  bool forward() const { return pass == Pass::forward; }
  double sum(int64_t n, int64_t y, int64_t x, int64_t k) const {
    double total = 0;
    for (int64_t c = 0; c < in.tensor.c(); ++c)
      for (int64_t t = 0; t < 9; ++t) {
        const int64_t dy = t / 3 * g.dilation_h - g.pad_top, dx = t % 3 * g.dilation_w - g.pad_left;
        total += forward() ? double{in.padded(n, y + dy, x + dx, c)} * weight.data()[(k * g.c + c) * 9 + t]
                           : double{in.padded(n, y - dy, x - dx, c)} * weight.data()[(c * g.c + k) * 9 + t];
      }
    return total;
  }

  Conv2dGeometry g;
  Pass pass;
  Image in;
  Guarded<float> weight;
};

template <class Memory>
std::byte* bytes_of(Memory& memory) {
  return reinterpret_cast<std::byte*>(memory.data());
}

// Each part's moments, against those of what was stored.
int wrong_moments(const ConvMap& map, const Image& out, const std::vector<float>& statistics) {
  const int64_t channels = out.tensor.c();
  int64_t pixel = 0;
  int wrong = 0;
  for (int64_t part = 0; part < map.statistic_parts(); ++part) {
    const int64_t pixels = map.statistic_pixels(part);
    for (int64_t c = 0; c < channels; ++c) {
      double mean = 0, square = 0;
      const auto value = [&](int64_t p) { return double{out.memory.data()[(pixel + p) * out.tensor.pitch + c]}; };
      for (int64_t p = 0; p < pixels; ++p) mean += value(p) / static_cast<double>(pixels);
      for (int64_t p = 0; p < pixels; ++p) square += (value(p) - mean) * (value(p) - mean);
      const float* actual = statistics.data() + 2 * part * channels + c;
      wrong += std::abs(actual[0] - mean) > 1e-5 || std::abs(actual[channels] - square) > 1e-5 * (1 + square);
    }
    pixel += pixels;
  }
  return wrong + (map.statistic_parts() > 0 && pixel != out.tensor.pixels());
}

int check(const Convolution& conv, const WinogradPlan& plan, bool finishes, std::mt19937& random) {
  std::unique_ptr<ConvMap> map;
  if (plan.way == WinogradWay::blocked)
    map = std::make_unique<BlockedWinograd>(plan);
  else
    map = std::make_unique<SharedWinograd>(plan);
  const WinogradShape& s = plan.shape;
  Guarded<float> packed(map->packed_bytes() / 4), workspace(map->workspace_bytes() / 4);
  Image out({s.n, s.out_c, s.out_h, s.out_w}, 2, random);
  const std::vector<float> before(out.memory.data(), out.memory.end());
  std::vector<float> bias(static_cast<size_t>(s.out_c), 0.25f);
  std::vector<float> statistics(static_cast<size_t>(2 * map->statistic_parts() * s.out_c));
  Epilogue epilogue;
  if (finishes) epilogue = {bias.data(), out.tensor.f32(), out.tensor.pitch, -1.0f, 2.0f, statistics.data()};
  map->pack(conv.weight.data(), bytes_of(packed));
  map->run(conv.in.tensor, bytes_of(packed), epilogue, out.tensor, bytes_of(workspace));
  int wrong = 0;
  for (int64_t p = 0; p < out.tensor.pixels(); ++p)
    for (int64_t k = 0; k < out.tensor.pitch; ++k) {
      const size_t i = static_cast<size_t>(p * out.tensor.pitch + k);
      if (i >= out.memory.size()) continue;
      double expected = before[i];
      if (k < s.out_c) {
        const double sum = conv.sum(p / (s.out_h * s.out_w), p / s.out_w % s.out_h, p % s.out_w, k);
        expected = finishes ? std::clamp(sum + 0.25 + expected, -1.0, 2.0) : sum;
      }
      wrong += !(std::abs(out.memory[i] - expected) <= 3e-5);
    }
  return wrong + (finishes ? wrong_moments(*map, out, statistics) : 0);
}

constexpr struct {
  Pass pass;
  int64_t dilation[2];
} kPasses[] = {
    {Pass::forward, {1, 1}}, {Pass::backward_input, {1, 1}}, {Pass::forward, {2, 3}}, {Pass::backward_input, {3, 1}}};

TEST_CASE("every way and every cut of a Winograd convolution gives the sums, and the moments of what it stored") {
  std::mt19937 random(11);
  for (Isa isa : available_isas())
    for (int threads : {1, 2})
      for (auto [pass, dilation] : kPasses) {
        force_isa(isa);
        set_num_threads(threads);
        CAPTURE(name_of(isa));
        CAPTURE(threads);
        Conv2dGeometry g;
        g.n = 3, g.c = 19, g.h = 9, g.w = 14, g.o = 35, g.kernel_h = g.kernel_w = 3;
        g.pad_top = 1, g.pad_bottom = 4, g.pad_left = 3, g.pad_right = 0;
        g.dilation_h = dilation[0], g.dilation_w = dilation[1];
        g.out_h = g.h + 5 - 2 * g.dilation_h, g.out_w = g.w + 3 - 2 * g.dilation_w;
        const Convolution conv(g, pass, random);
        for (int m : {2, 4})
          for (int i = 0; i < table().winograd.panels; ++i)
            for (WinogradWay way : {WinogradWay::blocked, WinogradWay::shared, WinogradWay::shared_taps})
              for (int64_t part : {2, 9, 1000}) {
                CAPTURE(m);
                const WinogradPanel& panel = table().winograd.panel[i];
                CAPTURE(panel.nr);
                CAPTURE(static_cast<int>(way));
                CAPTURE(part);
                const WinogradPlan plan{WinogradShape(g, pass, m), panel, way, part, 30, 8, 0, threads};
                CHECK(check(conv, plan, part == 9, random) == 0);
              }
      }
  force_isa(available_isas().back());
}

}  // namespace
}  // namespace convcore
