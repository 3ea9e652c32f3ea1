// SPDX-License-Identifier: BSD-3-Clause
// The kernels of narrow groups on every table against double loops, through the lanes that ops plan for them: groups
// that divide a vector, that straddle it, that are wider; all operands next to a guard page.
#include <doctest/doctest.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "base/memory.h"
#include "base/threads.h"
#include "guard.h"
#include "kernels/table.h"
#include "ops/grouped.h"

namespace convcore {
namespace {

using testing::Guarded;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr GroupedShape kShapes[] = {{8, 4, 4}, {16, 2, 2}, {7, 3, 3}, {6, 6, 6},  {5, 5, 5},  {3, 8, 8},  {2, 16, 16},
                                    {3, 12, 12}, {2, 24, 24}, {8, 2, 6}, {8, 6, 2}, {32, 1, 1}, {32, 1, 2}, {9, 2, 4}};

void fill(const Guarded<float>& memory, std::mt19937& random) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (size_t i = 0; i < memory.size(); ++i) memory[i] = uniform(random);
}

size_t size(int64_t n) { return static_cast<size_t>(n); }

struct Sum {
  double value = 0, magnitude = 0;
  int64_t terms = 0;
  void add(double v) { value += v, magnitude += std::abs(v), ++terms; }
  bool close(double got) const {
    return std::abs(got - value) <= FLT_EPSILON * (static_cast<double>(terms) + 2) * (magnitude + 1e-30);
  }
};

// Pixels lie in a row; the segments of three, two and one tap begin at pixels 0, 1 and 2 of it.
void check_tile(const GroupedShape& s, int pixels, bool residual, std::mt19937& random) {
  const GroupedKernels& kernels = table().grouped;
  const GroupedChannels channels(s, false);
  const int64_t in = s.groups * s.in_c, out = s.groups * s.out_c, lanes = kernels.lanes;
  Guarded<float> x(size((pixels + 2) * in)), y(size(pixels * out)), bias(size(out)), r(size(pixels * out));
  Guarded<float> w(size(6 * s.in_c * lanes));
  fill(x, random), fill(w, random), fill(bias, random), fill(r, random);
  std::vector<const float*> lists[3];
  std::vector<GroupedSegment> segments;
  int64_t weights = 0;
  for (int i = 0; i < 3; ++i) {
    const int taps = 3 - i;
    for (int j = 0; j < pixels + taps - 1; ++j) lists[i].push_back(x.data() + (i + j) * in);
    segments.push_back({lists[i].data(), weights, taps});
    weights += taps * s.in_c * lanes;
  }
  for (size_t i = 0; i < y.size(); ++i) y[i] = r[i];
  const float* before = residual ? y.data() : nullptr;
  const GroupedTile tile{pixels, segments.data(), 3, y.data(), out, before, out, bias.data(), -1, 1};
  for (const GroupedLanes& l : channels.vectors()) kernels.tile(tile, l, w.data());

  int wrong = 0;
  for (int p = 0; p < pixels; ++p)
    for (const GroupedLanes& l : channels.vectors())
      for (int j = 0; j < l.columns; ++j) {
        const int64_t o = l.channel + j, first = o / s.out_c * s.in_c;
        Sum sum;
        sum.add(bias[size(o)]);
        if (residual) sum.add(r[size(p * out + o)]);
        for (int i = 0; i < 3; ++i)
          for (int64_t k = 0; k < s.in_c; ++k)
            for (int t = 0; t < segments[size(i)].taps; ++t)
              sum.add(static_cast<double>(x[size((p + i + t) * in + first + k)]) *
                      w[size(segments[size(i)].weights + (k * segments[size(i)].taps + t) * lanes + j)]);
        sum.value = std::fmin(std::fmax(sum.value, -1), 1);
        wrong += !sum.close(y[size(p * out + o)]);
      }
  CHECK(wrong == 0);
}

struct Walk {
  int64_t width, out_width, stride, dilation, offset;
};
constexpr Walk kWalks[] = {{7, 7, 1, 1, -1}, {5, 3, 1, 1, 0},  {2, 4, 1, 1, -2},
                           {9, 4, 2, 1, -1}, {6, 5, 1, 2, -2}, {3, 1, 1, 1, 2}};

void check_sums(const GroupedShape& s, const Walk& walk, int taps, std::mt19937& random) {
  const GroupedKernels& kernels = table().grouped;
  const int64_t in = s.groups * s.in_c, out = s.groups * s.out_c, lanes = kernels.lanes, rows = 2;
  const GroupedChannels channels(s, true);
  Guarded<float> x(size(rows * walk.width * in)), dy(size(rows * walk.out_width * out)), zeros(size(in));
  Guarded<float> sums(size(s.in_c * taps * lanes));
  fill(x, random), fill(dy, random);
  for (size_t i = 0; i < zeros.size(); ++i) zeros[i] = 0;
  const float* x_rows[] = {x.data() + walk.width * in, x.data()};
  const float* dy_rows[] = {dy.data() + walk.out_width * out, dy.data()};
  const GroupedSums args{x_rows, dy_rows, rows, in, out, walk.width, walk.out_width, walk.stride, walk.dilation,
                         walk.offset, taps, zeros.data()};
  int wrong = 0;
  for (const GroupedLanes& l : channels.vectors()) {
    for (size_t i = 0; i < sums.size(); ++i) sums[i] = 0.5f;
    kernels.sums(args, l, sums.data());
    for (int64_t k = 0; k < s.in_c; ++k)
      for (int t = 0; t < taps; ++t)
        for (int j = 0; j < l.columns; ++j) {
          const int64_t o = l.channel + j, c = o / s.out_c * s.in_c + k;
          Sum sum;
          sum.add(0.5);
          for (int r = 0; r < rows; ++r)
            for (int64_t i = 0; i < walk.out_width; ++i) {
              const int64_t column = i * walk.stride + t * walk.dilation + walk.offset;
              if (column >= 0 && column < walk.width)
                sum.add(static_cast<double>(x_rows[r][column * in + c]) * dy_rows[r][i * out + o]);
            }
          wrong += !sum.close(sums[size((k * taps + t) * lanes + j)]);
        }
  }
  CHECK(wrong == 0);
}

template <class Check>
void for_each_shape(const Check& check) {
  for (Isa isa : available_isas()) {
    force_isa(isa);
    CAPTURE(name_of(isa));
    for (const GroupedShape& s : kShapes) {
      CAPTURE(s.in_c);
      CAPTURE(s.out_c);
      if (GroupedChannels::accepts(s)) check(s);
    }
  }
  force_isa(available_isas().back());
}

}  // namespace

TEST_CASE("grouped tiles equal a double loop and stay within their operands") {
  std::mt19937 random(1);
  for_each_shape([&](const GroupedShape& s) {
    for (int pixels = 1; pixels <= table().grouped.pixels; ++pixels)
      for (bool residual : {false, true}) check_tile(s, pixels, residual, random);
  });
}

TEST_CASE("grouped sums equal a double loop and stay within their operands") {
  std::mt19937 random(2);
  for_each_shape([&](const GroupedShape& s) {
    for (const Walk& walk : kWalks)
      for (int taps = 1; taps <= kGroupedTaps; ++taps) check_sums(s, walk, taps, random);
  });
}

TEST_CASE("vectors hold every channel once, or some twice where all are whole") {
  for_each_shape([&](const GroupedShape& s) {
    for (bool whole : {false, true}) {
      const GroupedChannels channels(s, whole);
      int64_t next = 0;
      for (const GroupedLanes& l : channels.vectors()) {
        CHECK((whole ? l.channel <= next : l.channel == next));
        CHECK(l.columns <= table().grouped.lanes);
        if (whole) CHECK(l.columns == table().grouped.lanes);
        next = l.channel + l.columns;
      }
      CHECK(next == s.groups * s.out_c);
    }
  });
}

// Rows read in place and copied, by one thread and two: the same bits, and moments of what was stored.
TEST_CASE("a grouped convolution gathers the moments of its parts") {
  std::mt19937 random(3);
  const int threads = num_threads();
  for (Isa isa : available_isas()) {
    force_isa(isa);
    CAPTURE(name_of(isa));
    Conv2dGeometry g{.n = 3, .c = 40, .h = 13, .w = 16, .o = 40, .out_h = 13, .out_w = 16};
    g.kernel_h = g.kernel_w = 3, g.groups = 10, g.pad_top = g.pad_left = g.pad_bottom = g.pad_right = 1;
    const int64_t pixels = g.n * g.h * g.w, pitch = 48;
    AlignedBuffer memory(size((pixels + 1) * pitch * 4)), out[2] = {AlignedBuffer(size(pixels * g.o * 4)),
                                                                    AlignedBuffer(size(pixels * g.o * 4))};
    std::vector<float> w(size(g.o * g.c_per_group() * 9));
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (float& v : w) v = uniform(random);
    for (int run = 0; run < 2; ++run) {
      set_num_threads(run + 1);
      float* x = memory.floats() + run;  // aligned, not aligned
      std::mt19937 same(4);
      for (int64_t i = 0; i < pixels * pitch; ++i) x[i] = uniform(same);
      const GroupedConvolution conv(g, Pass::forward);
      AlignedBuffer packed(conv.packed_bytes()), workspace(conv.workspace_bytes());
      conv.pack(w.data(), packed.data());
      std::vector<float> statistics(size(conv.statistic_parts() * 2 * g.o));
      Epilogue epilogue;
      epilogue.statistics = statistics.data();
      const Tensor y{out[run].data(), {g.n, g.o, g.h, g.w}, DType::f32, g.o};
      conv.run({x, {g.n, g.c, g.h, g.w}, DType::f32, pitch}, packed.data(), epilogue, y, workspace.data());
      int64_t first = 0;
      int wrong = 0;
      for (int64_t part = 0; part < conv.statistic_parts(); ++part) {
        const int64_t count = conv.statistic_pixels(part);
        for (int64_t c = 0; c < g.o; ++c) {
          double mean = 0, square = 0;
          for (int64_t p = first; p < first + count; ++p) mean += y.f32()[p * g.o + c] / static_cast<double>(count);
          for (int64_t p = first; p < first + count; ++p) square += std::pow(y.f32()[p * g.o + c] - mean, 2);
          wrong += std::abs(statistics[size(2 * part * g.o + c)] - mean) > 1e-5;
          wrong += std::abs(statistics[size((2 * part + 1) * g.o + c)] - square) > 1e-5 * (square + 1);
        }
        first += count;
      }
      CHECK(wrong == 0);
      CHECK(first == pixels);
    }
    CHECK(std::equal(out[0].floats(), out[0].floats() + pixels * g.o, out[1].floats()));
  }
  set_num_threads(threads);
  force_isa(available_isas().back());
}

TEST_CASE("grouped tiles keep NaN") {
  for (Isa isa : available_isas()) {
    force_isa(isa);
    const GroupedShape s{32, 2, 2};
    const GroupedChannels channels(s, false);
    const int64_t lanes = table().grouped.lanes;
    std::vector<float> x(64, std::nanf("")), w(size(2 * lanes), 1.0f), y(64);
    const float* pixel = x.data();
    const GroupedSegment segment{&pixel, 0, 1};
    const GroupedTile tile{1, &segment, 1, y.data(), 64, nullptr, 0, nullptr, 0, kInf};
    table().grouped.tile(tile, channels.vectors()[0], w.data());
    CHECK(std::isnan(y[0]));
  }
  force_isa(available_isas().back());
}

}  // namespace convcore
