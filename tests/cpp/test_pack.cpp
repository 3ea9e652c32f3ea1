// SPDX-License-Identifier: BSD-3-Clause
// The packing kernels of every table against plain loops, operands next to guard pages.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "guard.h"
#include "kernels/table.h"

namespace convcore {
namespace {

using testing::Guarded;

constexpr float kSentinel = -12345.0f;

struct Case {
  int64_t rows, channels, taps, width;
};

// In rows of the result: every other tap stands in reverse order behind the rest; the last of several is left out.
std::vector<int64_t> places(const Case& c) {
  std::vector<int64_t> place;
  for (int64_t t = 0; t < c.taps; ++t) place.push_back((c.taps - 1 - t) * c.channels);
  if (c.taps > 2) place.back() = -1;
  return place;
}

int64_t wrong_in_transpose(const PackKernels& kernels, const Case& c, bool past_caches) {
  const int64_t columns = c.channels * c.taps, pitch = columns + 3;
  Guarded<float> src(static_cast<size_t>((c.rows - 1) * pitch + columns));
  Guarded<float> dst(static_cast<size_t>(columns * c.width));
  for (size_t i = 0; i < src.size(); ++i) src[i] = static_cast<float>(i);
  std::vector<float> expected(dst.size(), kSentinel);
  std::fill_n(dst.data(), dst.size(), kSentinel);
  const std::vector<int64_t> place = places(c);
  for (int64_t channel = 0; channel < c.channels; ++channel)
    for (int64_t t = 0; t < c.taps; ++t)
      for (int64_t j = 0; j < c.width && place[static_cast<size_t>(t)] >= 0; ++j)
        expected[static_cast<size_t>((place[static_cast<size_t>(t)] + channel) * c.width + j)] =
            j < c.rows ? src[static_cast<size_t>(j * pitch + channel * c.taps + t)] : 0.0f;
  kernels.transpose({src.data(), pitch, c.rows, c.channels, c.taps, dst.data(), place.data(), c.width, c.width,
                     past_caches});
  kernels.fence();
  int64_t wrong = 0;
  for (size_t i = 0; i < dst.size(); ++i) wrong += dst[i] != expected[i];
  return wrong;
}

int64_t wrong_in_copy(const PackKernels& kernels, int64_t rows, int64_t columns, int64_t width) {
  const int64_t pitch = columns + 5;
  Guarded<float> src(static_cast<size_t>((rows - 1) * pitch + columns)), dst(static_cast<size_t>(rows * width));
  for (size_t i = 0; i < src.size(); ++i) src[i] = static_cast<float>(i + 1);
  std::fill_n(dst.data(), dst.size(), kSentinel);
  kernels.copy_rows(src.data(), pitch, rows, columns, dst.data(), width);
  int64_t wrong = 0;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < width; ++j) {
      const float expected = j < columns ? src[static_cast<size_t>(i * pitch + j)] : 0.0f;
      wrong += dst[static_cast<size_t>(i * width + j)] != expected;
    }
  return wrong;
}

// As backward-weight uses the two: rows of `taps` rows of tiles, interleaved one behind the other, then stored.
int64_t wrong_in_interleave(const PackKernels& kernels, int64_t taps, int64_t columns, bool past_caches) {
  const int64_t rows = 3, pitch = columns + 2, count = columns * taps, out_pitch = count + 7;
  Guarded<float> src(static_cast<size_t>(((rows - 1) * taps + taps - 1) * pitch + columns));
  Guarded<float> stage(static_cast<size_t>(((rows - 1) * columns + (columns + 15) / 16 * 16) * taps + 16));
  Guarded<float> dst(static_cast<size_t>((rows - 1) * out_pitch + count));
  for (size_t i = 0; i < src.size(); ++i) src[i] = static_cast<float>(i);
  std::fill_n(dst.data(), dst.size(), kSentinel);
  for (int64_t i = 0; i < rows; ++i)
    kernels.interleave(src.data() + i * taps * pitch, pitch, taps, columns, stage.data() + i * count);
  kernels.store_rows(stage.data(), count, rows, count, dst.data(), out_pitch, past_caches);
  kernels.fence();
  int64_t wrong = 0;
  for (int64_t i = 0; i < static_cast<int64_t>(dst.size()); ++i) {
    const int64_t row = i / out_pitch, column = i % out_pitch / taps, tap = i % out_pitch % taps;
    const float value = column < columns ? src[static_cast<size_t>((row * taps + tap) * pitch + column)] : kSentinel;
    wrong += dst[static_cast<size_t>(i)] != value;
  }
  return wrong;
}

}  // namespace

TEST_CASE("packing kernels") {
  for (const Isa isa : available_isas()) {
    force_isa(isa);
    CAPTURE(name_of(isa));
    const PackKernels& kernels = table().pack;
    for (const int64_t width : {1, 6, 14, 16, 32, 64})
      for (const int64_t taps : {1, 2, 3, 9, 25})
        for (const int64_t channels : {1, 2, 5, 16, 21, 67})
          for (const int64_t rows : {int64_t{1}, width / 2 + 1, width}) {
            CAPTURE(width);
            CAPTURE(taps);
            CAPTURE(channels);
            CAPTURE(rows);
            CHECK(wrong_in_transpose(kernels, {rows, channels, taps, width}, false) == 0);
            if (width % 16 == 0) CHECK(wrong_in_transpose(kernels, {rows, channels, taps, width}, true) == 0);
          }
    for (const int64_t taps : {1, 2, 3, 9, 16, 25})
      for (const int64_t columns : {1, 5, 16, 31, 64}) {
        CHECK(wrong_in_interleave(kernels, taps, columns, false) == 0);
        CHECK(wrong_in_interleave(kernels, taps, columns, true) == 0);
      }
    for (const int64_t width : {1, 3, 16, 33})
      for (int64_t columns = 1; columns <= width; ++columns) CHECK(wrong_in_copy(kernels, 4, columns, width) == 0);
  }
  force_isa(available_isas().back());
}

}  // namespace convcore
