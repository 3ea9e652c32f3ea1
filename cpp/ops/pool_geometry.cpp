// SPDX-License-Identifier: BSD-3-Clause
#include "ops/pool_geometry.h"

namespace convcore {
namespace {

constexpr int64_t kLimit = INT32_MAX;  // keeps all arithmetic on coordinates within 64 bits, tables within 32

// Two integers of [lowest, 2^31).
void read_pair(std::string_view kind, const Attributes& attributes, const char* key, std::vector<int64_t> fallback,
               int64_t lowest, int64_t (&pair)[2]) {
  require(attributes.has(key) || !fallback.empty(), kind, key, " is missing");
  const std::vector<int64_t> given = attributes.integers(kind, key, std::move(fallback));
  require(given.size() == 2, kind, key, " must be two integers (height, width), got ", given.size());
  for (int i = 0; i < 2; ++i) {
    require(given[i] >= lowest, kind, key, " must be at least ", lowest, ", got (", given[0], ", ", given[1], ")");
    require(given[i] <= kLimit, kind, key, " must be below 2^31, got (", given[0], ", ", given[1], ")");
    pair[i] = given[i];
  }
}

void require_addressable(std::string_view kind, const char* what, const Shape& shape) {
  int64_t total = 8;
  bool fits = true;
  for (int64_t d : shape) fits = fits && !__builtin_mul_overflow(total, std::max<int64_t>(d, 1), &total);
  require<ShapeError>(fits, kind, "the size of the ", what, " overflows 64 bits: ", shape);
}

// torch's pooling_output_shape
int64_t sliding_outputs(int64_t in, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation, bool ceil_mode) {
  const int64_t room = in + 2 * padding - dilation * (kernel - 1) - 1 + (ceil_mode ? stride - 1 : 0);
  if (room < 0) return 0;
  const int64_t out = room / stride + 1;
  return ceil_mode && (out - 1) * stride >= in + padding ? out - 1 : out;
}

}  // namespace

PoolGeometry::PoolGeometry(std::string_view kind, Windows windows, const Attributes& attributes, Divisor divisor)
    : kind_(kind), style_(windows), divisor_(divisor) {
  if (windows == Windows::adaptive) {
    read_pair(kind, attributes, "output_size", {}, 1, output_size_);
    return;
  }
  read_pair(kind, attributes, "kernel_size", {}, 1, kernel_);
  read_pair(kind, attributes, "stride", {kernel_[0], kernel_[1]}, 1, stride_);
  read_pair(kind, attributes, "padding", {0, 0}, 0, padding_);
  read_pair(kind, attributes, "dilation", {1, 1}, 1, dilation_);
  ceil_mode_ = attributes.flag(kind, "ceil_mode", false);
  for (int i = 0; i < 2; ++i)
    require(padding_[i] <= kernel_[i] / 2, kind, "padding must be at most half of kernel_size, got padding (",
            padding_[0], ", ", padding_[1], ") with kernel_size (", kernel_[0], ", ", kernel_[1], ")");
}

Shape PoolGeometry::plan(std::span<const TensorSpec> inputs) {
  require(inputs.size() == 1, kind_, "takes one input, got ", inputs.size());
  const Shape& shape = inputs[0].shape;
  const int rank = shape.rank();
  require<TypeError>(inputs[0].dtype == DType::f32, kind_, "x must be float32, got ", name_of(inputs[0].dtype));
  require<ShapeError>(rank == 3 || rank == 4, kind_, "x must be (N, C, L) or (N, C, H, W), got ", shape);
  require<ShapeError>(shape[0] >= 0, kind_, "dimensions must not be negative, got x: ", shape);
  for (int i = 1; i < rank; ++i)
    require<ShapeError>(shape[i] > 0 && shape[i] <= kLimit, kind_,
                        "channels and sides must be positive and below 2^31, got x: ", shape);
  require_addressable(kind_, "input", shape);
  const int64_t height = rank == 4 ? shape[2] : 1, width = shape[rank - 1];
  n_ = shape[0];
  channels_ = shape[1];

  int64_t out[2] = {output_size_[0], output_size_[1]};
  if (style_ == Windows::sliding) {
    out[0] = sliding_outputs(height, kernel_[0], stride_[0], padding_[0], dilation_[0], ceil_mode_);
    out[1] = sliding_outputs(width, kernel_[1], stride_[1], padding_[1], dilation_[1], ceil_mode_);
    require<ShapeError>(out[0] > 0 && out[1] > 0, kind_, "the window must fit into the padded map, got kernel_size (",
                        kernel_[0], ", ", kernel_[1], "), dilation (", dilation_[0], ", ", dilation_[1], "), padding (",
                        padding_[0], ", ", padding_[1], ") with x: ", shape);
  }
  require<ShapeError>(rank == 4 || out[0] == 1, kind_, "x of rank 3 has height 1, so must the output, got height ",
                      out[0], " (x: ", shape, ")");
  Shape result = shape;
  if (rank == 4) result[2] = out[0];
  result[rank - 1] = out[1];
  require_addressable(kind_, "output", result);
  rows_ = plan_axis(0, height, out[0]);
  columns_ = plan_axis(1, width, out[1]);
  return result;
}

PoolAxis PoolGeometry::plan_axis(int axis, int64_t in, int64_t out) const {
  const bool sliding = style_ == Windows::sliding;
  PoolAxis a;
  a.in = in;
  a.out = out;
  a.windows.resize(out);
  std::vector<int64_t> last(out);  // last coordinate that each window reaches over
  a.dilation = sliding ? dilation_[axis] : 1;
  a.disjoint = a.dilation == 1;
  int64_t inside = 0;
  for (int64_t o = 0; o < out; ++o) {
    int64_t origin, end, divisor;  // end: one past the last tap, unclipped
    if (sliding) {
      origin = o * stride_[axis] - padding_[axis];
      end = origin + a.dilation * (kernel_[axis] - 1) + 1;
      divisor = (std::min(end, in + padding_[axis]) - origin + a.dilation - 1) / a.dilation;
    } else {
      origin = o * in / out;
      end = ((o + 1) * in + out - 1) / out;
      divisor = end - origin;
    }
    const int64_t begin = origin >= 0 ? origin : origin + (-origin + a.dilation - 1) / a.dilation * a.dilation;
    const int64_t clipped = std::min(end, in);
    const int64_t count = begin < clipped ? (clipped - begin + a.dilation - 1) / a.dilation : 0;
    if (divisor_ == Divisor::inside) divisor = std::max<int64_t>(count, 1);
    if (divisor_ == Divisor::none) divisor = 1;
    a.windows[o] = {static_cast<int32_t>(origin), static_cast<int32_t>(begin), static_cast<int32_t>(count),
                    1.0f / static_cast<float>(divisor)};
    a.extent = std::max(a.extent, end - origin);
    a.taps = std::max(a.taps, count);
    inside += count;
    last[o] = clipped - 1;
    if (o > 0 && last[o - 1] >= origin) a.disjoint = false;
  }
  a.fills = a.disjoint && inside == in;

  const auto unclipped = [&](int64_t o) {
    return o < out && a.windows[o].begin == a.windows[o].origin && a.windows[o].count == a.taps;
  };
  while (a.run_begin < out && !unclipped(a.run_begin)) ++a.run_begin;
  a.run_end = a.run_begin;
  if (unclipped(a.run_begin + 1)) a.run_step = a.windows[a.run_begin + 1].origin - a.windows[a.run_begin].origin;
  while (unclipped(a.run_end) &&
         a.windows[a.run_end].origin == a.windows[a.run_begin].origin + (a.run_end - a.run_begin) * a.run_step)
    ++a.run_end;

  // Windows start and end in order, so those over a coordinate stand side by side.
  a.covers.resize(in);
  for (int64_t i = 0, first = 0, end = 0; i < in; ++i) {
    while (first < out && last[first] < i) ++first;
    while (end < out && a.windows[end].origin <= i) ++end;
    a.covers[i] = {static_cast<int32_t>(first), static_cast<int32_t>(end - first)};
    a.overlap = std::max(a.overlap, end - first);
  }
  return a;
}

int64_t PoolGeometry::flops() const {
  int64_t operations;
  return __builtin_mul_overflow(outputs(), taps(), &operations) ? INT64_MAX : operations;
}

PoolArgs PoolGeometry::args(int64_t x_pitch, int64_t y_pitch) const {
  PoolArgs a;
  a.height = static_cast<int32_t>(rows_.in);
  a.width = static_cast<int32_t>(columns_.in);
  a.out_height = static_cast<int32_t>(rows_.out);
  a.out_width = static_cast<int32_t>(columns_.out);
  // A dilation beyond the map leaves one tap per window, so no step is ever taken.
  a.row_dilation = static_cast<int32_t>(std::min(rows_.dilation, rows_.in));
  a.column_dilation = static_cast<int32_t>(std::min(columns_.dilation, columns_.in));
  a.extent = static_cast<int32_t>(std::min(columns_.extent, kLimit));
  a.fills = rows_.fills && columns_.fills;
  a.run_begin = static_cast<int32_t>(columns_.run_begin);
  a.run_end = static_cast<int32_t>(columns_.run_end);
  a.run_step = static_cast<int32_t>(columns_.run_step);
  a.channels = channels_;
  a.x_pitch = x_pitch;
  a.y_pitch = y_pitch;
  a.position_pitch = channels_;
  a.rows = rows_.windows.data();
  a.columns = columns_.windows.data();
  a.row_covers = rows_.covers.data();
  a.column_covers = columns_.covers.data();
  return a;
}

}  // namespace convcore
