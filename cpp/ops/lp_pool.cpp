// SPDX-License-Identifier: BSD-3-Clause
#include "ops/lp_pool.h"

#include <cmath>

#include "kernels/table.h"
#include "ops/blocks.h"
#include "ops/pool_geometry.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "lp_pool2d";

float power_of(float x, double p) {
  return p == 1 ? x : p == 2 ? x * x : static_cast<float>(std::pow(static_cast<double>(x), p));
}

class LpPool : public Op {
 public:
  LpPool(PoolGeometry geometry, double p) : geometry_(std::move(geometry)), p_(p) {}

  std::string_view kind() const override { return kKind; }
  bool backward_reads_outputs() const override { return true; }
  int64_t flops() const override { return geometry_.flops(); }
  // The powers of x; or, backwards, dy y^(1-p).
  OpNeeds needs() const override {
    const int64_t inputs = geometry_.n() * geometry_.input_pixels() * geometry_.channels();
    return {.forward = static_cast<size_t>(inputs) * sizeof(float),
            .backward = static_cast<size_t>(geometry_.outputs()) * sizeof(float)};
  }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    return {{geometry_.plan(inputs), DType::f32}};
  }

  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &y = call.outputs[0];
    const Tensor powers = packed(call, x);
    for_elements(x, powers, powers, [&](float value, float) { return power_of(std::abs(value), p_); });
    const PoolArgs whole = geometry_.args(powers.pitch, y.pitch);
    geometry_.for_output_rows([&](int64_t n, int row, int64_t c, int64_t channels) {
      PoolArgs args = whole;
      args.channels = channels;
      table().pool.sum(args, row, powers.f32() + n * geometry_.input_pixels() * powers.pitch + c,
                       y.f32() + n * geometry_.output_pixels() * y.pitch + c);
    });
    if (p_ != 1)
      for_elements(y, y, y, [&](float sum, float) {
        return p_ == 2 ? std::sqrt(sum) : static_cast<float>(std::pow(static_cast<double>(sum), 1 / p_));
      });
  }

  void backward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &y = call.outputs[0], &dy = call.grad_outputs[0], &dx = call.grad_inputs[0];
    if (!dx) return;
    const Tensor scaled = packed(call, y);
    for_elements(dy, y, scaled, [&](float slope, float value) {
      return value > 0 ? slope / power_of(value, p_ - 1) : 0.0f;
    });
    const PoolArgs whole = geometry_.args(dx.pitch, scaled.pitch);
    geometry_.for_input_rows([&](int64_t n, int row) {
      table().pool.sum_gather(whole, row, scaled.f32() + n * geometry_.output_pixels() * scaled.pitch,
                              dx.f32() + n * geometry_.input_pixels() * dx.pitch);
    });
    for_elements(dx, x, dx, [&](float sum, float value) {
      return value == 0 ? 0.0f : std::copysign(power_of(std::abs(value), p_ - 1), value) * sum;
    });
  }

 private:
  static Tensor packed(const OpCall& call, const Tensor& like) {
    return {call.workspace, like.shape, DType::f32, like.c()};
  }

  template <class Body>
  static void for_elements(const Tensor& a, const Tensor& b, const Tensor& to, Body&& body) {
    parallel_blocks({&a, &b, &to}, 8, [&](const RowBlock& block) {
      for (int64_t r = 0; r < block.rows; ++r) {
        const float *from_a = block.in(a).data + r * a.pitch, *from_b = block.in(b).data + r * b.pitch;
        float* out = block.out(to).data + r * to.pitch;
        for (int64_t j = 0; j < block.columns; ++j) out[j] = body(from_a[j], from_b[j]);
      }
    });
  }

  PoolGeometry geometry_;
  double p_;
};

}  // namespace

std::unique_ptr<Op> make_lp_pool2d(const Attributes& attributes) {
  attributes.check_known(kKind, {"p", "kernel_size", "stride", "padding", "dilation", "ceil_mode"});
  const double p = attributes.number(kKind, "p", 2.0);
  require(p >= 1 && std::isfinite(p), kKind, "p must be at least 1, got ", p);
  return std::make_unique<LpPool>(
      PoolGeometry(kKind, PoolGeometry::Windows::sliding, attributes, PoolGeometry::Divisor::none), p);
}

}  // namespace convcore
