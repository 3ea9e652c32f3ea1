// SPDX-License-Identifier: BSD-3-Clause
#include "ops/normalize.h"

#include <algorithm>
#include <cmath>

#include "kernels/table.h"
#include "ops/blocks.h"
#include "ops/checks.h"

namespace convcore {
namespace {

class NormalizeOp : public Op {
 public:
  NormalizeOp(double scale, std::vector<double> mean, std::vector<double> std)
      : scale_(scale), mean_(std::move(mean)), std_(std::move(std)) {}

  std::string_view kind() const override { return "normalize"; }
  bool backward_reads_input(int) const override { return false; }

  // The coefficients are repeated for several pixels, so that packed images of few channels fill whole vectors.
  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 1, 1);
    TensorSpec y = inputs[0];
    require<TypeError>(y.dtype != DType::i64, kind(), "x must be uint8 or float32, got ", name_of(y.dtype));
    bytes_ = y.dtype == DType::u8;
    y.dtype = DType::f32;
    check_activation(kind(), "x", y);
    const int64_t c = y.shape[1];
    for (const auto* list : {&mean_, &std_}) {
      const int64_t entries = static_cast<int64_t>(list->size());
      require<ShapeError>(entries == 1 || entries == c, kind(), list == &mean_ ? "mean" : "std",
                          " must have 1 or C = ", c, " entries, got ", entries, " (x: ", y.shape, ")");
    }
    pixels_ = c > 0 ? std::max<int64_t>(1, 64 / c) : 1;
    const size_t period = static_cast<size_t>(pixels_ * c);
    a_.resize(period);
    b_.resize(period);
    zeros_.assign(period, 0.0f);
    for (size_t i = 0; i < period; ++i) {
      const size_t channel = i % static_cast<size_t>(c);
      const double mean = mean_[mean_.size() == 1 ? 0 : channel], std = std_[std_.size() == 1 ? 0 : channel];
      a_[i] = static_cast<float>(scale_ / std);
      b_[i] = static_cast<float>(-mean / std);
    }
    return {y};
  }

  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &y = call.outputs[0];
    in_rows(x, y, [&](int64_t first, int64_t rows, int64_t columns, int64_t x_pitch, int64_t y_pitch) {
      const ElementwiseKernels& kernels = table().elementwise;
      const Rows out{y.f32() + first * y.pitch, y_pitch};
      if (bytes_)
        kernels.affine_u8(rows, columns, x.u8() + first * x.pitch, x_pitch, a_.data(), b_.data(), out);
      else
        kernels.affine(rows, columns, {x.f32() + first * x.pitch, x_pitch}, a_.data(), b_.data(), out);
    });
  }

  void backward(const OpCall& call) const override {
    const Tensor &dy = call.grad_outputs[0], &dx = call.grad_inputs[0];
    if (!dx) return;
    require(!bytes_, kind(), "a uint8 x has no gradient");
    in_rows(dy, dx, [&](int64_t first, int64_t rows, int64_t columns, int64_t dy_pitch, int64_t dx_pitch) {
      table().elementwise.affine(rows, columns, {dy.f32() + first * dy.pitch, dy_pitch}, a_.data(), zeros_.data(),
                                 {dx.f32() + first * dx.pitch, dx_pitch});
    });
  }

 private:
  // body(first pixel, rows, columns, pitches): rows of pixels_ pixels where both are packed, and a shorter last one.
  template <class Body>
  void in_rows(const Tensor& x, const Tensor& y, Body&& body) const {
    const int64_t c = y.c(), group = x.packed() && y.packed() ? pixels_ : 1;
    parallel_for(y.pixels(), 16 * group, 2 * c, [&](int64_t begin, int64_t end) {
      const int64_t rows = (end - begin) / group, rest = (end - begin) % group;
      body(begin, rows, group * c, group * x.pitch, group * y.pitch);
      if (rest > 0) body(end - rest, 1, rest * c, 0, 0);
    });
  }

  double scale_;
  std::vector<double> mean_, std_;
  std::vector<float> a_, b_, zeros_;
  int64_t pixels_ = 1;
  bool bytes_ = false;
};

}  // namespace

std::unique_ptr<Op> make_normalize(const Attributes& attributes) {
  attributes.check_known("normalize", {"scale", "mean", "std"});
  const double scale = attributes.number("normalize", "scale", 1.0 / 255);
  std::vector<double> mean = attributes.numbers("normalize", "mean", {0.0});
  std::vector<double> std = attributes.numbers("normalize", "std", {1.0});
  require(std::isfinite(scale), "normalize", "scale must be finite, got ", scale);
  for (double m : mean) require(std::isfinite(m), "normalize", "mean must be finite, got ", m);
  for (double s : std) require(std::isfinite(s) && s != 0, "normalize", "std must be finite and not 0, got ", s);
  return std::make_unique<NormalizeOp>(scale, std::move(mean), std::move(std));
}

}  // namespace convcore
