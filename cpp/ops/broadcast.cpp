// SPDX-License-Identifier: BSD-3-Clause
#include "ops/broadcast.h"

#include <algorithm>
#include <array>

#include "kernels/table.h"
#include "ops/strided.h"
#include "ops/tiles.h"

namespace convcore {
namespace {

template <size_t K>
Walk<static_cast<int>(K)> walk_of(const Shape& full, const std::array<const View*, K>& views) {
  Walk<static_cast<int>(K)> walk;
  for (int d = 0; d < full.rank(); ++d) {
    std::array<int64_t, K> strides;
    for (size_t k = 0; k < K; ++k) strides[k] = views[k]->strides[static_cast<size_t>(d)];
    walk.add(full[d], strides);
  }
  walk.simplify(1);
  return walk;
}

// Whether all step by 1 or not at all, the first by 1: rows for a kernel.
template <class Dim>
bool is_line(const Dim& inner) {
  return inner.stride[0] == 1 &&
         std::all_of(inner.stride.begin(), inner.stride.end(), [](int64_t s) { return s == 0 || s == 1; });
}

// run(rows, columns, operands): blocks of the views, of which the first is written. Where no dimension is a line,
// elements are rows of one column.
template <size_t K, class Run>
void for_blocks(const Shape& full, int64_t cost, const std::array<const View*, K>& views, Run&& run) {
  constexpr int64_t kLong = 4096;
  const auto walk = walk_of(full, views);
  const auto inner = walk.inner();
  const bool line = is_line(inner), rows = line && walk.count() > 1 && inner.size < kLong;
  const auto step = rows ? walk.inner(2) : inner;
  if (line && walk.count() == 1) {  // equal shapes, or one scalar
    parallel_for(inner.size, 1024, cost, [&](int64_t begin, int64_t end) {
      std::array<Operand, K> operands;
      for (size_t k = 0; k < K; ++k) operands[k] = {views[k]->data + begin * inner.stride[k], 0, inner.stride[k] == 0};
      run(1, end - begin, operands);
    });
    return;
  }
  for_pieces(walk, rows ? 2 : 1, cost, [&](const std::array<int64_t, K>& at, int64_t n) {
    std::array<Operand, K> operands;
    for (size_t k = 0; k < K; ++k) operands[k] = {views[k]->data + at[k], step.stride[k], line && inner.stride[k] == 0};
    run(line && !rows ? 1 : n, rows ? inner.size : line ? n : 1, operands);
  });
}

Rows written(const Operand& o) { return {const_cast<float*>(o.data), o.pitch}; }

// The dimensions of a fold: those of the result (cells), those folded, and the innermost one of x, if it is a line.
class Folding {
 public:
  Folding(const FoldKernels& kernels, const Shape& full, const View& x, const View& other, const View& y)
      : kernels_(kernels), x_(x), other_(other), y_(y) {
    const Walk<3> walk = walk_of<3>(full, {&x, &y, &other});
    const auto& inner = walk.inner();
    const bool line = inner.stride[0] == 1 && (inner.stride[2] == 0 || inner.stride[2] == 1);
    folds_line_ = !line || inner.stride[1] == 0;
    if (line) {
      length_ = inner.size, y_step_ = inner.stride[1];
      width_ = std::min(length_, folds_line_ ? kLine : kFoldWidth);
    }
    other_repeated_ = !line || inner.stride[2] == 0;
    for (int d = 0; d < walk.count() - line; ++d) {
      const bool kept = walk[d].stride[1] != 0;
      (kept ? cells_ : sources_)[static_cast<size_t>((kept ? cell_dims_ : source_dims_)++)] = walk[d];
      (kept ? cell_count_ : source_count_) *= walk[d].size;
    }
    blocks_ = width_ ? ceil_div(length_, width_) : 0;
  }

  void run(float* partial) const {
    // One unit is a cell and a block of its line, if that is kept; else the line's blocks are sources, too.
    const int64_t units = cell_count_ * (folds_line_ ? 1 : blocks_);
    const int64_t steps = source_count_ * (folds_line_ ? blocks_ : 1);
    const int64_t most = std::min(steps, units * steps * width_ / kLeastPart);
    const int64_t parts = std::clamp<int64_t>(units ? kFoldParts / units : 1, 1, std::max<int64_t>(most, 1));
    const int64_t width = folds_line_ ? 1 : width_;
    parallel_for(units * parts, 1, 2 * (steps / parts + 1) * width_, [&](int64_t begin, int64_t end) {
      std::array<float, kFoldWidth> sums;
      for (int64_t task = begin; task < end; ++task) {
        const int64_t unit = task / parts, part = task % parts;
        float* to = parts == 1 ? sums.data() : partial + task * width;
        fold_steps(unit, steps * part / parts, steps * (part + 1) / parts, to);
        if (parts == 1) store(unit, to);
      }
    });
    if (parts == 1) return;
    std::array<float, kFoldWidth> sums;
    for (int64_t unit = 0; unit < units; ++unit) {
      for (int64_t j = 0; j < width; ++j) {
        const float* of_parts = partial + unit * parts * width + j;
        double all = of_parts[0];
        for (int64_t part = 1; part < parts; ++part) all = kernels_.join(all, of_parts[part * width]);
        sums[static_cast<size_t>(j)] = static_cast<float>(all);
      }
      store(unit, sums.data());
    }
  }

 private:
  using Dim = Walk<3>::Dim;
  using Dims = std::array<Dim, kMaxRank>;
  using Position = std::array<int64_t, 3>;
  static constexpr int64_t kLine = 4096, kRun = 256;  // what one call of a kernel folds: short float sums
  static constexpr int64_t kLeastPart = 1 << 14;      // elements: of fewer, joining the parts takes longer

  static void move(Position& at, const Dim& dim, int64_t index) {
    for (size_t k = 0; k < 3; ++k) at[k] += index * dim.stride[k];
  }

  Position cell(int64_t unit) const {
    Position at{};
    int64_t index = folds_line_ ? unit : unit / blocks_;
    for (int d = cell_dims_ - 1; d >= 0; --d) {
      move(at, cells_[static_cast<size_t>(d)], index % cells_[static_cast<size_t>(d)].size);
      index /= cells_[static_cast<size_t>(d)].size;
    }
    return at;
  }

  // Steps [begin, end) of a unit: blocks of lines, or lines in runs along the innermost folded dimension.
  void fold_steps(int64_t unit, int64_t begin, int64_t end, float* to) const {
    const Position start = cell(unit);
    const bool cut = folds_line_ && blocks_ > 1;
    const int64_t run = cut || source_dims_ == 0 ? 1 : sources_[static_cast<size_t>(source_dims_ - 1)].size;
    const int64_t own_block = folds_line_ ? 0 : unit % blocks_;
    double all = kernels_.start;
    if (!folds_line_) std::fill_n(to, width_, kernels_.start);
    for (int64_t s = begin; s < end;) {
      const int64_t block = cut ? s % blocks_ : own_block, first = block * width_;
      const int64_t rows = std::min({run - s % run, end - s, kRun}), columns = std::min(width_, length_ - first);
      Position at = start;
      for (int64_t index = cut ? s / blocks_ : s, d = source_dims_ - 1; d >= 0; --d) {
        move(at, sources_[static_cast<size_t>(d)], index % sources_[static_cast<size_t>(d)].size);
        index /= sources_[static_cast<size_t>(d)].size;
      }
      const Dim step = source_dims_ ? sources_[static_cast<size_t>(source_dims_ - 1)] : Dim{};
      const ConstRows x{x_.data + at[0] + first, step.stride[0]};
      Operand other{nullptr, 0};
      if (other_.data) other = {other_.data + at[2] + (other_repeated_ ? 0 : first), step.stride[2], other_repeated_};
      if (folds_line_)
        all = kernels_.join(all, kernels_.all(rows, columns, x, other));
      else
        kernels_.columns(rows, columns, x, other, to);
      s += rows;
    }
    if (folds_line_) *to = static_cast<float>(all);
  }

  void store(int64_t unit, const float* sums) const {
    float* to = y_.data + cell(unit)[1];
    if (folds_line_) {
      *to = *sums;
      return;
    }
    const int64_t first = unit % blocks_ * width_;
    for (int64_t j = 0; j < std::min(width_, length_ - first); ++j) to[(first + j) * y_step_] = sums[j];
  }

  const FoldKernels& kernels_;
  const View &x_, &other_, &y_;
  Dims cells_{}, sources_{};
  int cell_dims_ = 0, source_dims_ = 0;
  int64_t cell_count_ = 1, source_count_ = 1;
  int64_t length_ = 1, width_ = 1, blocks_ = 1, y_step_ = 0;  // of the line
  bool folds_line_, other_repeated_;
};

}  // namespace

View repeated(const Tensor& tensor, const Shape& full) {
  View view{tensor.f32(), strides_of(tensor)};
  for (int d = 0; d < full.rank(); ++d)
    if (tensor.shape[d] == 1) view.strides[static_cast<size_t>(d)] = 0;
  return view;
}

View constant(const float& value) { return {const_cast<float*>(&value), {}}; }

Shape common_shape(std::string_view kind, const Shape& a, const Shape& b) {
  bool fits = a.rank() == b.rank();
  Shape full = a;
  for (int i = 0; fits && i < a.rank(); ++i) {
    fits = a[i] == b[i] || a[i] == 1 || b[i] == 1;
    if (a[i] == 1) full[i] = b[i];
  }
  require<ShapeError>(fits, kind, "operands must have the same rank and each dimension must match or be 1, got ", a,
                      " and ", b);
  full.size(kind);  // throws when it overflows
  return full;
}

void apply(Binary f, int64_t cost, const Shape& full, const View& a, const View& b, const View& y) {
  const auto kernel = table().arithmetic.of(f);
  for_blocks<3>(full, cost, {&y, &a, &b}, [&](int64_t rows, int64_t columns, const std::array<Operand, 3>& o) {
    kernel(rows, columns, o[1], o[2], written(o[0]));
  });
}

void apply(Ternary f, int64_t cost, const Shape& full, const View& p, const View& a, const View& b, const View& z) {
  const auto kernel = table().arithmetic.of(f);
  for_blocks<4>(full, cost, {&z, &p, &a, &b}, [&](int64_t rows, int64_t columns, const std::array<Operand, 4>& o) {
    kernel(rows, columns, o[1], o[2], o[3], written(o[0]));
  });
}

void fold(Fold f, const Shape& full, const View& x, const View& other, const View& y, std::byte* workspace) {
  Folding(table().arithmetic.of(f), full, x, other, y).run(reinterpret_cast<float*>(workspace));
}

}  // namespace convcore
