// SPDX-License-Identifier: BSD-3-Clause
#include "ops/max_pool.h"

#include "kernels/table.h"

namespace convcore {
namespace {

PoolGeometry sliding_geometry(std::string_view kind, const Attributes& attributes) {
  attributes.check_known(kind, {"kernel_size", "stride", "padding", "dilation", "ceil_mode"});
  return {kind, PoolGeometry::Windows::sliding, attributes, PoolGeometry::Divisor::none};
}

// Positions in the map are kept in 32 bits.
void require_small_map(std::string_view kind, const PoolGeometry& g) {
  require<ShapeError>(g.rows().in <= INT32_MAX / g.columns().in, kind, "maps must have less than 2^31 pixels, got ",
                      g.rows().in, " x ", g.columns().in);
}

class MaxPool : public Op {
 public:
  MaxPool(std::string_view kind, PoolGeometry geometry) : kind_(kind), geometry_(std::move(geometry)) {}

  std::string_view kind() const override { return kind_; }
  bool backward_reads_input(int) const override { return false; }
  int64_t flops() const override { return geometry_.flops(); }
  std::string algorithm() const override { return training_ ? name_of(backward_) : ""; }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool training) override {
    const Shape out = geometry_.plan(inputs);
    require_small_map(kind_, geometry_);
    training_ = training;
    const PoolAxis &rows = geometry_.rows(), &columns = geometry_.columns();
    const bool byte = rows.extent <= 256 && columns.extent <= 256 && rows.extent * columns.extent <= 256;
    // Gathering looks at every window over a pixel. One write per output is less work where those are many, or where
    // pixels are so narrow that vectors stay empty (measured: up to 5 times the speed).
    const bool narrow = geometry_.channels() * geometry_.output_pixels() < 8 * geometry_.input_pixels();
    if (byte && geometry_.disjoint())
      backward_ = Backward::spread;
    else if (byte && !narrow && rows.overlap * columns.overlap <= 16)
      backward_ = Backward::gather;
    else
      backward_ = Backward::scatter;
    return {{out, DType::f32}};
  }

  OpNeeds needs() const override {
    OpNeeds needs;
    const size_t bytes = backward_ == Backward::scatter ? sizeof(int32_t) : sizeof(uint8_t);
    if (training_) needs.saved = geometry_.outputs() * bytes + 64;
    return needs;
  }

  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &y = call.outputs[0];
    const PoolArgs whole = geometry_.args(x.pitch, y.pitch);
    const PoolKernels& kernels = table().pool;
    geometry_.for_output_rows([&](int64_t n, int row, int64_t c, int64_t channels) {
      PoolArgs args = whole;
      args.channels = channels;
      const float* from = x.f32() + n * geometry_.input_pixels() * x.pitch + c;
      float* to = y.f32() + n * geometry_.output_pixels() * y.pitch + c;
      if (!training_)
        kernels.max(args, row, from, to);
      else if (backward_ == Backward::scatter)
        kernels.max_i32(args, row, from, to, positions<int32_t>(call, n) + c);
      else
        kernels.max_u8(args, row, from, to, positions<uint8_t>(call, n) + c);
    });
  }

  void backward(const OpCall& call) const override {
    require(training_, kind_, "backward needs a plan for training");
    const Tensor &dy = call.grad_outputs[0], &dx = call.grad_inputs[0];
    if (!dx) return;
    const PoolArgs whole = geometry_.args(dx.pitch, dy.pitch);
    const PoolKernels& kernels = table().pool;
    const auto dy_image = [&](int64_t n) { return dy.f32() + n * geometry_.output_pixels() * dy.pitch; };
    const auto dx_image = [&](int64_t n) { return dx.f32() + n * geometry_.input_pixels() * dx.pitch; };
    if (backward_ == Backward::spread) {
      geometry_.for_output_rows([&](int64_t n, int row, int64_t c, int64_t channels) {
        PoolArgs args = whole;
        args.channels = channels;
        kernels.max_spread(args, row, dy_image(n) + c, positions<uint8_t>(call, n) + c, dx_image(n) + c);
      });
    } else if (backward_ == Backward::gather) {
      geometry_.for_input_rows([&](int64_t n, int row) {
        kernels.max_gather(whole, row, dy_image(n), positions<uint8_t>(call, n), dx_image(n));
      });
    } else {
      // Overlapping windows write the same pixels, so the pieces are images times channel slices.
      const int64_t slice = 64, slices = (whole.channels + slice - 1) / slice;
      const int64_t cost = (geometry_.input_pixels() + geometry_.output_pixels()) * std::min(slice, whole.channels);
      parallel_for(geometry_.n() * slices, 1, cost, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t n = i / slices, c = i % slices * slice;
          PoolArgs args = whole;
          args.channels = std::min(slice, whole.channels - c);
          kernels.max_scatter(args, dy_image(n) + c, positions<int32_t>(call, n) + c, dx_image(n) + c);
        }
      });
    }
  }

 private:
  enum class Backward { spread, gather, scatter };
  static const char* name_of(Backward b) {
    return b == Backward::spread ? "spread" : b == Backward::gather ? "gather" : "scatter";
  }

  // Saved positions of one image, packed.
  template <class T>
  T* positions(const OpCall& call, int64_t n) const {
    return reinterpret_cast<T*>(call.saved) + n * geometry_.output_pixels() * geometry_.channels();
  }

  std::string kind_;
  PoolGeometry geometry_;
  Backward backward_ = Backward::gather;
  bool training_ = false;
};

class MaxPoolIndices : public Op {
 public:
  explicit MaxPoolIndices(const Attributes& attributes) : geometry_(sliding_geometry(kKind, attributes)) {}

  std::string_view kind() const override { return kKind; }
  int64_t flops() const override { return geometry_.flops(); }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    const Shape out = geometry_.plan(inputs);
    require_small_map(kKind, geometry_);
    return {{out, DType::i64}};
  }

  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &y = call.outputs[0];
    geometry_.for_output_rows([&](int64_t n, int row, int64_t c, int64_t channels) {
      PoolArgs args = geometry_.args(x.pitch, y.pitch);
      args.channels = channels;
      args.position_pitch = y.pitch;
      table().pool.max_i64(args, row, x.f32() + n * geometry_.input_pixels() * x.pitch + c,
                           y.i64() + n * geometry_.output_pixels() * y.pitch + c);
    });
  }

  bool has_gradient(int) const override { return false; }
  void backward(const OpCall&) const override { throw ValueError(message(kKind, "positions have no gradient")); }

 private:
  static constexpr std::string_view kKind = "max_pool2d_indices";
  PoolGeometry geometry_;
};

}  // namespace

std::unique_ptr<Op> make_max_pool(std::string_view kind, PoolGeometry geometry) {
  return std::make_unique<MaxPool>(kind, std::move(geometry));
}

std::unique_ptr<Op> make_max_pool2d(const Attributes& attributes) {
  return make_max_pool("max_pool2d", sliding_geometry("max_pool2d", attributes));
}

std::unique_ptr<Op> make_max_pool2d_indices(const Attributes& attributes) {
  return std::make_unique<MaxPoolIndices>(attributes);
}

}  // namespace convcore
