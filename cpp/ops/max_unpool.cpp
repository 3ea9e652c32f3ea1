// SPDX-License-Identifier: BSD-3-Clause
#include "ops/max_unpool.h"

#include "ops/checks.h"
#include "ops/strided.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "max_unpool2d";

class MaxUnpool : public Op {
 public:
  explicit MaxUnpool(std::vector<int64_t> size) : size_(std::move(size)) {}

  std::string_view kind() const override { return kKind; }
  bool is_dense(int) const override { return false; }
  bool backward_reads_input(int input) const override { return input == 1; }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 2, 2);
    check_dtype(kind(), "x", inputs[0], DType::f32);
    require<TypeError>(inputs[1].dtype != DType::u8, kind(), "indices must be int64 or float32, got uint8");
    const Shape& x = inputs[0].shape;
    const int rank = x.rank();
    require<ShapeError>(rank == 3 || rank == 4, kind(), "x must be (N, C, L) or (N, C, H, W), got ", x);
    require<ShapeError>(inputs[1].shape == x, kind(), "indices must have x's shape ", x, ", got ", inputs[1].shape);
    require<ShapeError>(size_.size() == 2 && size_[0] >= 0 && size_[1] >= 0 && (rank == 4 || size_[0] == 1), kind(),
                        "output_size must be (H, W), and (1, L) for (N, C, L), got ", listed(size_), " (x: ", x, ")");
    x.size(kind());  // throws when it overflows
    Shape y = x;
    if (rank == 4) y[2] = size_[0];
    y[rank - 1] = size_[1];
    y.size(kind());
    return {{y, DType::f32}};
  }

  void check_inputs(const OpCall& call) const override {
    const Tensor& indices = call.inputs[1];
    indices.dtype == DType::i64 ? check(indices, indices.i64()) : check(indices, indices.f32());
  }

  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &y = call.outputs[0];
    fill_strided(walk_over(y.shape, strides_of(y)), 0, y.f32());
    for_all(call, [&](int64_t from, int64_t to) { y.f32()[to] = x.f32()[from]; }, x, y);
  }

  void backward(const OpCall& call) const override {
    const Tensor &dy = call.grad_outputs[0], &dx = call.grad_inputs[0];
    require(!call.grad_inputs[1], kind(), "indices have no gradient");
    if (dx) for_all(call, [&](int64_t from, int64_t to) { dx.f32()[from] = dy.f32()[to]; }, dx, dy);
  }

 private:
  int64_t area() const { return size_[0] * size_[1]; }

  template <class T>
  void check(const Tensor& indices, const T* values) const {
    for (int64_t p = 0; p < indices.pixels(); ++p)
      for (int64_t c = 0; c < indices.c(); ++c) {
        const T value = values[p * indices.pitch + c];
        require(value >= 0 && value < static_cast<T>(area()) && value == static_cast<T>(static_cast<int64_t>(value)),
                kind(), "index ", value, " is no position in a map of (", size_[0], ", ", size_[1], ")");
      }
  }

  // body(offset in small, offset in large) for all elements of small, in the order of their pixels: a channel is one
  // thread's.
  template <class Body>
  void for_all(const OpCall& call, Body&& body, const Tensor& small, const Tensor& large) const {
    constexpr int64_t kSlice = 16;
    const Tensor& indices = call.inputs[1];
    const int64_t channels = small.c(), slices = (channels + kSlice - 1) / kSlice, pixels = small.h() * small.w();
    parallel_for(small.n() * slices, 1, 2 * kSlice * pixels, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t n = i / slices, first = i % slices * kSlice, last = std::min(first + kSlice, channels);
        for (int64_t p = n * pixels; p < (n + 1) * pixels; ++p)
          for (int64_t c = first; c < last; ++c) {
            const int64_t at = p * indices.pitch + c;
            const int64_t position =
                indices.dtype == DType::i64 ? indices.i64()[at] : static_cast<int64_t>(indices.f32()[at]);
            body(p * small.pitch + c, (n * area() + position) * large.pitch + c);
          }
      }
    });
  }

  std::vector<int64_t> size_;
};

}  // namespace

std::unique_ptr<Op> make_max_unpool2d(const Attributes& attributes) {
  attributes.check_known(kKind, {"output_size"});
  return std::make_unique<MaxUnpool>(attributes.integers(kKind, "output_size", {}));
}

}  // namespace convcore
