// SPDX-License-Identifier: BSD-3-Clause
#include "ops/strided.h"

#include <cstring>

#include "kernels/table.h"

namespace convcore {

void copy_strided(Walk<2> walk, const float* x, float* y) {
  walk.simplify(2);
  const int inner = walk.count() - 1;
  // x in a row where y is not: transposed, in squares
  for (int d = 0; d < inner && walk.inner().stride[1] != 1; ++d)
    if (walk[d].stride[1] == 1) walk.bring_in(d), d = inner;
  const auto rows = walk.inner(2), columns = walk.inner();
  if (columns.stride[0] == 1 && columns.stride[1] == 1) {
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
    for (int64_t r = 0; r < n; ++r, to += rows.stride[0], from += rows.stride[1])
      for (int64_t j = 0; j < columns.size; ++j) to[j * columns.stride[0]] = from[j * columns.stride[1]];
  });
}

}  // namespace convcore
