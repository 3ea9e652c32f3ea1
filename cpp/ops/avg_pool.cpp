// SPDX-License-Identifier: BSD-3-Clause
#include "ops/avg_pool.h"

#include "kernels/table.h"

namespace convcore {
namespace {

class SumPool : public Op {
 public:
  SumPool(std::string_view kind, PoolGeometry geometry) : kind_(kind), geometry_(std::move(geometry)) {}

  std::string_view kind() const override { return kind_; }
  bool backward_reads_input(int) const override { return false; }
  int64_t flops() const override { return geometry_.flops(); }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool training) override {
    training_ = training;
    return {{geometry_.plan(inputs), DType::f32}};
  }

  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &y = call.outputs[0];
    const PoolArgs whole = geometry_.args(x.pitch, y.pitch);
    geometry_.for_output_rows([&](int64_t n, int row, int64_t c, int64_t channels) {
      PoolArgs args = whole;
      args.channels = channels;
      table().pool.sum(args, row, x.f32() + n * geometry_.input_pixels() * x.pitch + c,
                       y.f32() + n * geometry_.output_pixels() * y.pitch + c);
    });
  }

  void backward(const OpCall& call) const override {
    require(training_, kind_, "backward needs a plan for training");
    const Tensor &dy = call.grad_outputs[0], &dx = call.grad_inputs[0];
    if (!dx) return;
    const PoolArgs whole = geometry_.args(dx.pitch, dy.pitch);
    const auto dy_image = [&](int64_t n) { return dy.f32() + n * geometry_.output_pixels() * dy.pitch; };
    const auto dx_image = [&](int64_t n) { return dx.f32() + n * geometry_.input_pixels() * dx.pitch; };
    if (!geometry_.disjoint()) {
      geometry_.for_input_rows(
          [&](int64_t n, int row) { table().pool.sum_gather(whole, row, dy_image(n), dx_image(n)); });
      return;
    }
    geometry_.for_output_rows([&](int64_t n, int row, int64_t c, int64_t channels) {
      PoolArgs args = whole;
      args.channels = channels;
      table().pool.sum_spread(args, row, dy_image(n) + c, dx_image(n) + c);
    });
  }

 private:
  std::string kind_;
  PoolGeometry geometry_;
  bool training_ = false;
};

}  // namespace

std::unique_ptr<Op> make_sum_pool(std::string_view kind, PoolGeometry geometry) {
  return std::make_unique<SumPool>(kind, std::move(geometry));
}

std::unique_ptr<Op> make_avg_pool2d(const Attributes& attributes) {
  constexpr std::string_view kind = "avg_pool2d";
  attributes.check_known(kind, {"kernel_size", "stride", "padding", "dilation", "ceil_mode", "count_include_pad"});
  const bool whole = attributes.flag(kind, "count_include_pad", true);
  return make_sum_pool(kind, {kind, PoolGeometry::Windows::sliding, attributes,
                              whole ? PoolGeometry::Divisor::window : PoolGeometry::Divisor::inside});
}

std::unique_ptr<Op> make_sum_pool2d(const Attributes& attributes) {
  constexpr std::string_view kind = "sum_pool2d";
  attributes.check_known(kind, {"kernel_size", "stride", "padding", "ceil_mode"});
  return make_sum_pool(kind, {kind, PoolGeometry::Windows::sliding, attributes, PoolGeometry::Divisor::none});
}

}  // namespace convcore
