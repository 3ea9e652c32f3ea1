// SPDX-License-Identifier: BSD-3-Clause
// Cuts activations of one shape into blocks for the elementwise kernels, and adds up sums over fixed chunks of rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "base/parallel.h"
#include "base/tensor.h"
#include "kernels/elementwise.h"

namespace convcore {

// Pixels [first, first + rows) of a tensor; or, where all are packed, elements [first, first + columns) as one row.
struct RowBlock {
  int64_t first, rows, columns;
  bool packed;

  int64_t offset(const Tensor& t) const { return packed ? first : first * t.pitch; }
  ConstRows in(const Tensor& t) const { return {t.f32() + offset(t), t.pitch}; }
  Rows out(const Tensor& t) const { return {t.f32() + offset(t), t.pitch}; }
};

// body(RowBlock) for all blocks of these tensors, which have the same shape. cost: operations per element.
template <class Body>
void parallel_blocks(std::initializer_list<const Tensor*> tensors, int64_t cost, Body&& body) {
  const Tensor& t = **tensors.begin();
  const int64_t c = t.c();
  if (std::all_of(tensors.begin(), tensors.end(), [](const Tensor* each) { return each->packed(); })) {
    parallel_for(t.pixels() * c, 1024, cost,
                 [&](int64_t begin, int64_t end) { body(RowBlock{begin, 1, end - begin, true}); });
  } else {
    parallel_for(t.pixels(), 1024 / std::max<int64_t>(c, 1) + 1, cost * c,
                 [&](int64_t begin, int64_t end) { body(RowBlock{begin, end - begin, c, false}); });
  }
}

// y = x. Nothing to do where they are one memory.
inline void copy(const Tensor& x, const Tensor& y) {
  if (x.data == y.data && x.pitch == y.pitch) return;
  parallel_blocks({&x, &y}, 1, [&](const RowBlock& b) {
    const ConstRows from = b.in(x);
    const Rows to = b.out(y);
    for (int64_t r = 0; r < b.rows; ++r)
      std::memcpy(to.data + r * to.pitch, from.data + r * from.pitch, static_cast<size_t>(b.columns) * sizeof(float));
  });
}

// Sums over rows are cut into chunks of about 4096 elements. The cut depends on the shape alone, and the chunks' sums
// are added in order, so the result is the same for any number of threads.
struct RowChunks {
  int64_t rows, columns;

  int64_t rows_in_chunk() const { return std::max<int64_t>(1, 4096 / std::max<int64_t>(columns, 1)); }
  int64_t count() const { return (rows + rows_in_chunk() - 1) / rows_in_chunk(); }
  size_t bytes() const { return static_cast<size_t>(count()) * sizeof(double); }

  // Sum of body(first row, end row) over the chunks. partial: bytes() of scratch. cost: operations per element.
  template <class Body>
  double sum(std::byte* partial, int64_t cost, Body&& body) const {
    double* sums = reinterpret_cast<double*>(partial);
    const int64_t step = rows_in_chunk();
    parallel_for(count(), 1, cost * step * columns, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) sums[k] = body(k * step, std::min((k + 1) * step, rows));
    });
    double total = 0;
    for (int64_t k = 0; k < count(); ++k) total += sums[k];
    return total;
  }
};

}  // namespace convcore
