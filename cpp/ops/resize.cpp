// SPDX-License-Identifier: BSD-3-Clause
#include "ops/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/memory.h"
#include "kernels/table.h"
#include "ops/checks.h"
#include "ops/resize_taps.h"
#include "ops/strided.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "resize";
constexpr int kMost = 5;               // dimensions
constexpr int64_t kLongest = 1 << 27;  // taps are numbered in 32 bits

// From one shape to another, axis by axis: forward, or with transposed taps backward.
class Resizing {
 public:
  // axes: of each logical dimension of tensors of this shape.
  void plan(const Shape& from, std::vector<AxisTaps> axes) {
    rank_ = from.rank();
    from_ = to_ = from;
    axes_.clear(), passes_.clear();
    // in the order of memory
    const bool last = rank_ == 3 || rank_ == 4;
    for (int d = 0; d < rank_; ++d)
      if (!last || d != 1) axes_.push_back(std::move(axes[static_cast<size_t>(d)]));
    if (last) axes_.push_back(std::move(axes[1]));
    for (int d = 0, m = 0; d < rank_; ++d)
      if (!last || d != 1) to_[d] = axes_[static_cast<size_t>(m++)].out();
    if (last) to_[1] = axes_.back().out();

    for (int m = 0; m < rank_; ++m)
      if (!axes_[static_cast<size_t>(m)].is_identity()) passes_.push_back(m);
    // What shrinks goes first.
    std::stable_sort(passes_.begin(), passes_.end(), [&](int a, int b) {
      const AxisTaps &p = axis(a), &q = axis(b);
      return p.out() * q.in() < q.out() * p.in();
    });
    is_image_ = last && std::all_of(passes_.begin(), passes_.end(), [&](int m) { return m > 0 && m < rank_ - 1; });
    const int64_t row = to_[rank_ - 1] * channels_of(to_);
    rows_ = is_image_ ? std::clamp<int64_t>(16384 / std::max<int64_t>(row, 1), 1, std::max<int64_t>(height(), 1)) : 1;
    slots_ = num_threads();
    Shape size;
    for (const AxisTaps& a : axes_) size.push_back(a.in());
    buffer_ = size.size(kKind);
    for (int m : passes_) {
      size[m] = axis(m).out();
      buffer_ = std::max(buffer_, size.size(kKind));
    }
  }

  size_t workspace_bytes() const {
    if (is_image_) return static_cast<size_t>(slots_) * row_bytes();
    return 2 * align_up(static_cast<size_t>(buffer_) * sizeof(float));
  }

  // Of all passes, for each float of y.
  int64_t flops() const {
    double flops = 0;
    for (int m : passes_) flops += 2 * static_cast<double>(axis(m).most()) * static_cast<double>(to_.size());
    return static_cast<int64_t>(std::min(flops, 1e18));
  }

  void run(const Tensor& x, const Tensor& y, std::byte* workspace) const {
    if (to_.size() == 0) return;
    is_image_ ? run_image(x, y, workspace) : run_passes(x, y, workspace);
  }

 private:
  const AxisTaps& axis(int m) const { return axes_[static_cast<size_t>(m)]; }
  int64_t height() const { return rank_ == 4 ? to_[2] : 1; }
  size_t row_bytes() const { return align_up(static_cast<size_t>(axis(rank_ - 2).in() * from_[1]) * sizeof(float)); }

  // One output row after the other: its rows of x into one, while that is in the cache, and this along the columns.
  void run_image(const Tensor& x, const Tensor& y, std::byte* workspace) const {
    const AxisTaps& columns = axis(rank_ - 2);
    const int64_t c = x.c(), width = columns.in(), out_width = columns.out(), in_height = x.h(), rows = height();
    const int64_t row_pitch = width * x.pitch, blocks = (rows + rows_ - 1) / rows_;
    const auto resample = table().resize.resample;
    const int64_t cost = columns.most() * rows_ * out_width * c;
    parallel_tasks(x.n() * blocks, slots_, cost, [&](int64_t slot, int64_t task) {
      float* row = reinterpret_cast<float*>(workspace + static_cast<size_t>(slot) * row_bytes());
      const int64_t n = task / blocks, begin = task % blocks * rows_, end = std::min(begin + rows_, rows);
      const float* image = x.f32() + n * in_height * row_pitch;
      for (int64_t r = begin; r < end; ++r) {
        const int64_t same = rank_ == 4 ? axis(1).copy_of(r) : 0;
        const float* from = same >= 0 ? image + same * row_pitch : row;
        if (same < 0) {
          // Pixels without gaps are one.
          const int64_t pixels = x.packed() ? 1 : width, floats = width * c / pixels;
          for (int64_t p = 0; p < pixels; ++p)
            resample(1, floats, axis(1).taps(r), image + p * x.pitch, row_pitch, row + p * c, 0);
        }
        resample(out_width, c, columns.taps(), from, same < 0 ? c : x.pitch,
                 y.f32() + (n * rows + r) * out_width * y.pitch, y.pitch);
      }
    });
  }

  void run_passes(const Tensor& x, const Tensor& y, std::byte* workspace) const {
    float* buffers[] = {reinterpret_cast<float*>(workspace),
                        reinterpret_cast<float*>(workspace + workspace_bytes() / 2)};
    if (passes_.empty()) return copy(x, y);
    const float* from = x.f32();
    Shape size;
    for (const AxisTaps& a : axes_) size.push_back(a.in());
    int next = 0;
    if (!x.packed()) {
      copy(x, packed(buffers[next], from_));
      from = buffers[next], next = 1 - next;
    }
    for (int m : passes_) {
      float* to = m == passes_.back() && y.packed() ? y.f32() : buffers[next];
      pass(size, m, from, to);
      size[m] = axis(m).out();
      from = to, next = 1 - next;
    }
    if (from != y.f32()) copy(packed(const_cast<float*>(from), to_), y);
  }

  void pass(const Shape& size, int m, const float* x, float* y) const {
    int64_t outer = 1, inner = 1;
    for (int d = 0; d < m; ++d) outer *= size[d];
    for (int d = m + 1; d < rank_; ++d) inner *= size[d];
    const AxisTaps& a = axis(m);
    // Few outer ones are made up for by pieces of the outputs.
    const int64_t step = std::clamp<int64_t>(16384 / std::max<int64_t>(inner, 1), 1, a.out());
    const int64_t pieces = (a.out() + step - 1) / step;
    parallel_for(outer * pieces, 1, a.most() * step * inner, [&](int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t o = unit / pieces, j = unit % pieces * step;
        table().resize.resample(std::min(step, a.out() - j), inner, a.taps(j), x + o * a.in() * inner, inner,
                                y + (o * a.out() + j) * inner, inner);
      }
    });
  }

  static Tensor packed(float* data, const Shape& shape) { return {data, shape, DType::f32, channels_of(shape)}; }
  static void copy(const Tensor& x, const Tensor& y) {
    const Strides in_x = strides_of(x), in_y = strides_of(y);
    Walk<2> walk;
    for (int d = 0; d < x.shape.rank(); ++d) walk.add(x.shape[d], {in_y[d], in_x[d]});
    copy_strided(walk, x.f32(), y.f32());
  }

  int rank_ = 0;
  Shape from_, to_;
  std::vector<AxisTaps> axes_;  // in the order of memory, as passes_
  std::vector<int> passes_;
  bool is_image_ = false;  // rows and columns of pixels alone
  int64_t rows_ = 1, slots_ = 1, buffer_ = 0;
};

class ResizeOp : public Op {
 public:
  explicit ResizeOp(const Attributes& a)
      : attributes_(a), mode_(kKind, a), extrapolated_(static_cast<float>(a.number(kKind, "extrapolation_value", 0))) {}

  std::string_view kind() const override { return kKind; }
  bool backward_reads_input(int) const override { return false; }
  int64_t flops() const override { return forward_.flops(); }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool training) override {
    check_count(kKind, inputs, 1, 1);
    check_tensor(kKind, "x", inputs[0]);
    const Shape& x = inputs[0].shape;
    const auto rank = static_cast<size_t>(x.rank());
    require<ShapeError>(rank <= kMost, kKind, "x must have 1 to ", kMost, " dimensions, got ", x);
    const bool crops = mode_.coordinates == ResizeMode::Coordinates::crop;
    const std::vector<double> scales = numbers("scales", rank, true), roi = numbers("roi", 2 * rank, !crops);
    const std::vector<int64_t> sizes = attributes_.integers(kKind, "sizes", {});
    require(!sizes.empty() || !scales.empty(), kKind, "sizes or scales must be given");
    require<ShapeError>(sizes.empty() || sizes.size() == rank, kKind, "sizes must hold ", rank, " values for x ", x,
                        ", got ", listed(sizes));
    Shape y;
    std::vector<AxisTaps> axes;
    for (size_t d = 0; d < rank; ++d) {
      const int64_t in = x[static_cast<int>(d)], out = sizes.empty() ? scaled(in, scales[d]) : sizes[d];
      require<ShapeError>((out > 0) == (in > 0) && out <= kLongest && in <= kLongest, kKind,
                          "sizes must be positive (0 where x has 0) and at most 2^27, got ", out, " for dimension ", d,
                          " of x ", x);
      y.push_back(out);
      const auto length = static_cast<double>(in), wanted = static_cast<double>(out);
      const double scale = scales.empty() ? wanted / std::max(length, 1.0) : scales[d];
      const bool near = std::abs(scale * length - wanted) <= 1 + 1e-4 * wanted && scale * length >= 0.5;
      require(near || in == 0, kKind, "scale ", scale, " does not make ", out, " of ", in, " (dimension ", d, " of x ",
              x, ")");
      axes.emplace_back(mode_, in, out, scale, crops ? roi[d] : 0, crops ? roi[rank + d] : 1);
    }
    y.size(kKind);
    outside_.clear();
    for (const AxisTaps& a : axes) outside_.push_back(a.outside());
    if (training) {
      std::vector<AxisTaps> transposed;
      for (const AxisTaps& a : axes) transposed.push_back(a.transposed());
      backward_.plan(y, std::move(transposed));
    }
    training_ = training;
    forward_.plan(x, std::move(axes));
    return {{y, DType::f32}};
  }

  OpNeeds needs() const override {
    OpNeeds needs;
    needs.forward = forward_.workspace_bytes();
    if (training_) needs.backward = backward_.workspace_bytes();
    return needs;
  }

  void forward(const OpCall& call) const override {
    const Tensor& y = call.outputs[0];
    forward_.run(call.inputs[0], y, call.workspace);
    for (int d = 0; d < y.shape.rank(); ++d)
      for (int64_t j : outside_[static_cast<size_t>(d)]) fill(y, d, j);
  }

  void backward(const OpCall& call) const override {
    require(training_, kKind, "backward needs a plan for training");
    if (call.grad_inputs[0]) backward_.run(call.grad_outputs[0], call.grad_inputs[0], call.workspace);
  }

 private:
  std::vector<double> numbers(std::string_view key, size_t count, bool optional) const {
    std::vector<double> values = attributes_.numbers(kKind, key, {});
    const bool finite = std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
    require((values.size() == count && finite) || (optional && values.empty()), kKind, key, " must hold ", count,
            " finite numbers, got ", values.size());
    if (key == "scales")
      for (double v : values) require(static_cast<float>(v) > 0, kKind, "scales must be positive, got ", v);
    return values;
  }
  // In float32, as ONNX's shape inference has it.
  static int64_t scaled(int64_t in, double scale) {
    const float out = std::floor(static_cast<float>(in) * static_cast<float>(scale));
    return static_cast<int64_t>(std::min(out, 2.0f * kLongest));
  }

  // y = extrapolation_value where index d is j.
  void fill(const Tensor& y, int dim, int64_t j) const {
    const Strides strides = strides_of(y);
    Walk<1> walk;
    for (int d = 0; d < y.shape.rank(); ++d)
      if (d != dim) walk.add(y.shape[d], {strides[d]});
    walk.simplify(1);
    for_pieces(walk, 1, 1, [&](const std::array<int64_t, 1>& at, int64_t n) {
      float* to = y.f32() + j * strides[dim] + at[0];
      for (int64_t i = 0; i < n; ++i) to[i * walk.inner().stride[0]] = extrapolated_;
    });
  }

  Attributes attributes_;
  ResizeMode mode_;
  float extrapolated_;
  bool training_ = false;
  std::vector<std::vector<int64_t>> outside_;
  Resizing forward_, backward_;
};

}  // namespace

std::unique_ptr<Op> make_resize(const Attributes& attributes) {
  attributes.check_known(kKind, {"sizes", "scales", "mode", "coordinate_transformation_mode", "nearest_mode",
                                 "cubic_coeff_a", "exclude_outside", "extrapolation_value", "antialias", "roi"});
  return std::make_unique<ResizeOp>(attributes);
}

}  // namespace convcore
