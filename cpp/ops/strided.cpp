// SPDX-License-Identifier: BSD-3-Clause
#include "ops/strided.h"

#include <algorithm>
#include <cstring>

#include "kernels/table.h"

namespace convcore {
namespace {

constexpr int64_t kLongRun = 1024;  // elements that are worth a piece of their own

}  // namespace

void copy_strided(Walk<2> walk, const float* x, float* y) {
  walk.simplify(2);
  const int inner = walk.count() - 1;
  // x in a row where y is not: transposed, in squares
  for (int d = 0; d < inner && walk.inner().stride[1] != 1; ++d)
    if (walk[d].stride[1] == 1) walk.bring_in(d), d = inner;
  const auto rows = walk.inner(2), columns = walk.inner();
  const bool runs = columns.stride[0] == 1 && columns.stride[1] == 1;
  if (runs && columns.size >= kLongRun) {
    return for_pieces(walk, 1, 1, [&](const std::array<int64_t, 2>& at, int64_t n) {
      std::memcpy(y + at[0], x + at[1], static_cast<size_t>(n) * sizeof(float));
    });
  }
  const bool transposed = columns.stride[0] == 1 && rows.stride[1] == 1;
  for_pieces(walk, 2, 2, [&](const std::array<int64_t, 2>& at, int64_t n) {
    float* to = y + at[0];
    const float* from = x + at[1];
    if (transposed) {
      table().elementwise.transpose(columns.size, n, {from, columns.stride[1]}, {to, rows.stride[0]});
      return;
    }
    for (int64_t r = 0; r < n; ++r, to += rows.stride[0], from += rows.stride[1]) {
      if (runs) {
        std::memcpy(to, from, static_cast<size_t>(columns.size) * sizeof(float));
        continue;
      }
      for (int64_t j = 0; j < columns.size; ++j) to[j * columns.stride[0]] = from[j * columns.stride[1]];
    }
  });
}

void fill_strided(Walk<1> walk, float value, float* y) {
  walk.simplify(1);
  const int64_t stride = walk.inner().stride[0];
  for_pieces(walk, 1, 1, [&](const std::array<int64_t, 1>& at, int64_t n) {
    float* to = y + at[0];
    if (stride == 1)
      std::fill_n(to, n, value);
    else
      for (int64_t j = 0; j < n; ++j) to[j * stride] = value;
  });
}

void add_strided(Walk<2> walk, Walk<1> repeats, const float* x, float* y) {
  constexpr int64_t kBlock = 64;  // sums at a time
  walk.simplify(2);
  repeats.simplify(1);
  const auto rows = walk.inner(2), columns = walk.inner();
  const auto repeated = repeats.inner();
  int64_t lines = 1;
  for (int d = 0; d + 1 < repeats.count(); ++d) lines *= repeats[d].size;
  if (lines * repeated.size == 0) return;
  const auto first_of = [&](int64_t line) {
    int64_t offset = 0;
    for (int d = repeats.count() - 2; d >= 0; --d) {
      offset += line % repeats[d].size * repeats[d].stride[0];
      line /= repeats[d].size;
    }
    return offset;
  };
  const bool plain = lines * repeated.size == 1 && columns.stride[0] == 1 && columns.stride[1] == 1;
  if (plain && columns.size >= kLongRun) {
    return for_pieces(walk, 1, 1, [&](const std::array<int64_t, 2>& at, int64_t n) {
      table().arithmetic.of(Binary::add)(1, n, {y + at[0], n}, {x + at[1], n}, {y + at[0], n});
    });
  }
  for_pieces(walk, 2, 1 + lines * repeated.size, [&](const std::array<int64_t, 2>& at, int64_t n) {
    float* to = y + at[0];
    const float* from = x + at[1];
    if (plain) {
      const Rows sums{to, rows.stride[0]};
      return table().arithmetic.of(Binary::add)(n, columns.size, {to, rows.stride[0]}, {from, rows.stride[1]}, sums);
    }
    for (int64_t r = 0; r < n; ++r, to += rows.stride[0], from += rows.stride[1])
      for (int64_t first = 0; first < columns.size; first += kBlock) {
        const int64_t count = std::min(kBlock, columns.size - first);
        double sums[kBlock] = {};
        for (int64_t line = 0; line < lines; ++line) {
          const float* row = from + first * columns.stride[1] + first_of(line);
          for (int64_t i = 0; i < repeated.size; ++i, row += repeated.stride[0])
            for (int64_t j = 0; j < count; ++j) sums[j] += row[j * columns.stride[1]];
        }
        for (int64_t j = 0; j < count; ++j) {
          float& sum = to[(first + j) * columns.stride[0]];
          sum = static_cast<float>(sum + sums[j]);
        }
      }
  });
}

}  // namespace convcore
