// SPDX-License-Identifier: BSD-3-Clause
#include "ops/arithmetic.h"

#include <algorithm>
#include <array>

#include "kernels/table.h"
#include "ops/blocks.h"
#include "ops/checks.h"

namespace convcore {
namespace {

using Binary = void (*)(int64_t, int64_t, ConstRows, ConstRows, bool, Rows);
using Position = std::array<int64_t, 3>;  // n, h, w

Position extents(const Tensor& t) { return {t.n(), t.h(), t.w()}; }

// Floats from one n, h, w to the next; 0 in the dimensions in which t is repeated to reach `full`.
Position strides(const Tensor& t, const Position& full) {
  const Position own = extents(t);
  Position s{t.h() * t.w() * t.pitch, t.w() * t.pitch, t.pitch};
  for (int i = 0; i < 3; ++i)
    if (own[i] == 1 && full[i] != 1) s[i] = 0;
  return s;
}

int64_t offset(const Position& at, const Position& strides) {
  return at[0] * strides[0] + at[1] * strides[1] + at[2] * strides[2];
}

Position position(int64_t index, const Position& extents) {
  return {index / (extents[1] * extents[2]), index / extents[2] % extents[1], index % extents[2]};
}

int64_t count(const Position& extents) { return extents[0] * extents[1] * extents[2]; }

// y = a op b
void apply(Binary kernel, const Tensor& a, const Tensor& b, const Tensor& y) {
  if (a.shape == y.shape && b.shape == y.shape) {
    return parallel_blocks({&a, &b, &y}, 1, [&](const RowBlock& block) {
      kernel(block.rows, block.columns, block.in(a), block.in(b), false, block.out(y));
    });
  }
  const Tensor &wide = a.c() == y.c() ? a : b, &other = a.c() == y.c() ? b : a;
  const Position full = extents(y);
  const Position wide_strides = strides(wide, full), other_strides = strides(other, full);
  const bool scalar = other.c() == 1 && y.c() != 1;
  parallel_for(full[0] * full[1], 1, 2 * full[2] * y.c(), [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const Position at{line / full[1], line % full[1], 0};
      kernel(full[2], y.c(), {wide.f32() + offset(at, wide_strides), wide_strides[2]},
             {other.f32() + offset(at, other_strides), other_strides[2]}, scalar,
             {y.f32() + line * full[2] * y.pitch, y.pitch});
    }
  });
}

// grad = sum of dy (times other) over the dimensions that grad lacks. Each pixel of grad has `sources` pixels of dy;
// where grad has few pixels, the sources are cut into `parts`, so that threads have work and float sums stay short.
class Reduction {
 public:
  static constexpr int64_t kPartials = 64;

  Reduction(const Tensor& dy, const Tensor& other, const Tensor& grad)
      : dy_(dy), other_(other), grad_(grad), full_(extents(dy)), target_(extents(grad)) {
    for (int i = 0; i < 3; ++i) summed_[i] = target_[i] == 1 ? full_[i] : 1;
    for (int i = 0; i < 3; ++i)
      if (summed_[i] != 1) run_axis_ = i;
    dy_strides_ = strides(dy, full_);
    if (other) other_strides_ = strides(other, full_);
    other_scalar_ = other && other.c() == 1 && dy.c() != 1;
  }

  // partial: kPartials * grad.c() floats.
  void run(float* partial) const {
    const int64_t pixels = count(target_), sources = count(summed_), c = grad_.c();
    if (pixels == 0 || c == 0) return;
    const int64_t parts = std::clamp<int64_t>(kPartials / pixels, 1, std::max<int64_t>(sources, 1));
    parallel_for(pixels * parts, 1, 2 * sources / parts * dy_.c(), [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t pixel = task / parts, part = task % parts;
        float* sum = parts == 1 ? grad_.f32() + pixel * grad_.pitch : partial + task * c;
        std::fill_n(sum, c, 0.0f);
        add_sources(pixel, sources * part / parts, sources * (part + 1) / parts, sum);
      }
    });
    if (parts == 1) return;
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      float* sum = grad_.f32() + pixel * grad_.pitch;
      for (int64_t j = 0; j < c; ++j) {
        double total = 0;
        for (int64_t part = 0; part < parts; ++part) total += partial[(pixel * parts + part) * c + j];
        sum[j] = static_cast<float>(total);
      }
    }
  }

 private:
  // sum += sources [begin, end) of one pixel, in runs along the innermost summed dimension.
  void add_sources(int64_t pixel, int64_t begin, int64_t end, float* sum) const {
    const Position at = position(pixel, target_);
    const int64_t run = summed_[run_axis_];
    const bool sum_channels = grad_.c() == 1 && dy_.c() != 1;
    double all = 0;
    for (int64_t s = begin; s < end;) {
      const int64_t length = std::min(run - s % run, end - s);
      Position from = position(s, summed_);
      for (int i = 0; i < 3; ++i) from[i] += at[i];
      const ConstRows dy{dy_.f32() + offset(from, dy_strides_), dy_strides_[run_axis_]};
      ConstRows other{nullptr, 0};
      if (other_) other = {other_.f32() + offset(from, other_strides_), other_strides_[run_axis_]};
      if (sum_channels)
        all += table().elementwise.sum_all(length, dy_.c(), dy, other, other_scalar_);
      else
        table().elementwise.sum_rows(length, dy_.c(), dy, other, other_scalar_, sum);
      s += length;
    }
    if (sum_channels) *sum = static_cast<float>(all);
  }

  const Tensor &dy_, &other_, &grad_;
  Position full_, target_, summed_{}, dy_strides_{}, other_strides_{};
  int run_axis_ = 2;
  bool other_scalar_ = false;
};

class ArithmeticOp : public Op {
 public:
  explicit ArithmeticOp(bool multiply) : multiply_(multiply) {}

  std::string_view kind() const override { return multiply_ ? "multiply" : "add"; }
  bool is_dense(int) const override { return false; }
  bool can_run_in_place(int input) const override { return !repeated_[input]; }
  bool passes_gradient(int input) const override { return !multiply_ && !repeated_[input]; }
  bool backward_reads_input(int) const override { return multiply_; }
  OpNeeds needs() const override {
    OpNeeds needs;
    if (repeated_[0] || repeated_[1])
      needs.backward = static_cast<size_t>(Reduction::kPartials * channels_) * sizeof(float);
    return needs;
  }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 2, 2);
    check_activation(kind(), "a", inputs[0]);
    check_activation(kind(), "b", inputs[1]);
    const Shape &a = inputs[0].shape, &b = inputs[1].shape;
    bool fits = a.rank() == b.rank();
    Shape y = a;
    for (int i = 0; fits && i < a.rank(); ++i) {
      fits = a[i] == b[i] || a[i] == 1 || b[i] == 1;
      if (a[i] == 1) y[i] = b[i];
    }
    require<ShapeError>(fits, kind(), "operands must have the same rank and each dimension must match or be 1, got ", a,
                        " and ", b);
    y.size(kind());  // throws when it overflows
    repeated_[0] = !(a == y);
    repeated_[1] = !(b == y);
    channels_ = y[1];
    return {{y, DType::f32}};
  }

  void forward(const OpCall& call) const override {
    const ElementwiseKernels& kernels = table().elementwise;
    apply(multiply_ ? kernels.multiply : kernels.add, call.inputs[0], call.inputs[1], call.outputs[0]);
  }

  // Last the gradient that may be written over dy.
  void backward(const OpCall& call) const override {
    const Tensor &dy = call.grad_outputs[0], none{};
    const int last = call.grad_inputs[1].data == dy.data ? 1 : 0;
    for (int i : {1 - last, last}) {
      const Tensor& grad = call.grad_inputs[i];
      if (!grad) continue;
      const Tensor& other = multiply_ ? call.inputs[1 - i] : none;
      if (repeated_[i])
        Reduction(dy, other, grad).run(reinterpret_cast<float*>(call.workspace));
      else if (multiply_)
        apply(table().elementwise.multiply, dy, other, grad);
      else
        copy(dy, grad);
    }
  }

 private:
  bool multiply_;
  bool repeated_[2] = {false, false};
  int64_t channels_ = 0;
};

std::unique_ptr<Op> make(const Attributes& attributes, bool multiply) {
  attributes.check_known(multiply ? "multiply" : "add", {});
  return std::make_unique<ArithmeticOp>(multiply);
}

}  // namespace

std::unique_ptr<Op> make_add(const Attributes& attributes) { return make(attributes, false); }
std::unique_ptr<Op> make_multiply(const Attributes& attributes) { return make(attributes, true); }

}  // namespace convcore
