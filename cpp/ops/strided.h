// SPDX-License-Identifier: BSD-3-Clause
// Walks over several tensors of any strides at once: for ops that move elements about, repeat them, or add them up.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/parallel.h"
#include "base/tensor.h"

namespace convcore {

// The dimensions of a common shape, outermost first, with each tensor's stride in elements; 0 where it is repeated.
template <int K>
class Walk {
 public:
  static constexpr int kMaxDims = 12;  // a rearrangement splits dimensions
  struct Dim {
    int64_t size = 1;
    std::array<int64_t, K> stride{};
  };

  void add(int64_t size, const std::array<int64_t, K>& stride) {
    if (size != 1) dims_[count_++] = {size, stride};
  }
  // Puts the dimensions into the order of the first tensor's memory and merges those that are one to all tensors. At
  // least `least` dimensions remain.
  void simplify(int least) {
    std::stable_sort(dims_.begin(), dims_.begin() + count_,
                     [](const Dim& a, const Dim& b) { return std::abs(a.stride[0]) > std::abs(b.stride[0]); });
    int kept = 0;
    for (int i = 0; i < count_; ++i) {
      if (kept > 0 && is_run(dims_[kept - 1], dims_[i])) {
        dims_[i].size *= dims_[kept - 1].size;
        dims_[kept - 1] = dims_[i];
      } else {
        dims_[kept++] = dims_[i];
      }
    }
    count_ = kept;
    if (const int missing = least - count_; missing > 0) {
      std::move_backward(dims_.begin(), dims_.begin() + count_, dims_.begin() + least);
      std::fill_n(dims_.begin(), missing, Dim{});
      count_ = least;
    }
  }

  int count() const { return count_; }
  const Dim& operator[](int i) const { return dims_[i]; }
  const Dim& inner(int i = 1) const { return dims_[count_ - i]; }  // the i-th from the inside
  // Brings dimension i to just outside of the innermost one.
  void bring_in(int i) { std::rotate(dims_.begin() + i, dims_.begin() + i + 1, dims_.begin() + count_ - 1); }

 private:
  static bool is_run(const Dim& outer, const Dim& inner) {
    for (int k = 0; k < K; ++k)
      if (outer.stride[k] != inner.stride[k] * inner.size) return false;
    return true;
  }

  std::array<Dim, kMaxDims> dims_{};
  int count_ = 0;
};

// body(offsets, n) in parallel: the outer dimensions are walked one by one, the `kept` inner ones are the body's, of
// the outermost of which it gets n at a time. cost: operations per element.
template <int K, class Body>
void for_pieces(const Walk<K>& walk, int kept, int64_t cost, Body&& body) {
  constexpr int64_t kPiece = 16384;
  const int outer = walk.count() - kept;
  const typename Walk<K>::Dim& cut = walk[outer];
  int64_t rest = 1, lines = 1;
  for (int d = outer + 1; d < walk.count(); ++d) rest *= walk[d].size;
  for (int d = 0; d < outer; ++d) lines *= walk[d].size;
  if (rest * lines * cut.size == 0) return;
  const int64_t step = std::clamp<int64_t>(kPiece / rest, 1, cut.size), pieces = (cut.size + step - 1) / step;
  parallel_for(lines * pieces, 1, cost * step * rest, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t first = unit % pieces * step;
      std::array<int64_t, K> at;
      for (int k = 0; k < K; ++k) at[k] = first * cut.stride[k];
      for (int64_t index = unit / pieces, d = outer - 1; d >= 0; --d) {
        for (int k = 0; k < K; ++k) at[k] += index % walk[d].size * walk[d].stride[k];
        index /= walk[d].size;
      }
      body(at, std::min(step, cut.size - first));
    }
  });
}

// All elements of tensors of this shape.
template <class... S>
Walk<static_cast<int>(sizeof...(S))> walk_over(const Shape& shape, const S&... strides) {
  Walk<static_cast<int>(sizeof...(S))> walk;
  for (int d = 0; d < shape.rank(); ++d) walk.add(shape[d], {strides[static_cast<size_t>(d)]...});
  return walk;
}

// The offset of the element with this number in the order of the dimensions of `shape`.
inline int64_t offset_of(int64_t index, const Shape& shape, const Strides& strides) {
  int64_t offset = 0;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    offset += index % shape[d] * strides[static_cast<size_t>(d)];
    index /= shape[d];
  }
  return offset;
}

// y = x over the walk's dimensions; tensor 0 of the walk is y, tensor 1 is x.
void copy_strided(Walk<2> walk, const float* x, float* y);
// y = value.
void fill_strided(Walk<1> walk, float value, float* y);
// y += x, summed over the repeats, which are dimensions of x alone. No element of y is walked to twice.
void add_strided(Walk<2> walk, Walk<1> repeats, const float* x, float* y);

}  // namespace convcore
