// SPDX-License-Identifier: BSD-3-Clause
#include "ops/gather.h"

#include <cstring>

#include "ops/checks.h"
#include "ops/strided.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "gather";

class GatherOp : public Op {
 public:
  GatherOp(int64_t axis, bool given, std::vector<int64_t> indices, const std::vector<int64_t>& shape)
      : axis_(axis), given_(given), indices_(std::move(indices)), given_shape_(shape) {}

  std::string_view kind() const override { return kKind; }
  bool is_dense(int input) const override { return input == 1 && type_ == DType::i64; }
  bool backward_reads_input(int input) const override { return input == 1; }
  OpNeeds needs() const override {
    const size_t bytes = given_ ? 0 : static_cast<size_t>(index_.size()) * sizeof(int64_t);
    return {.forward = bytes, .backward = bytes};
  }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, given_ ? 1 : 2, given_ ? 1 : 2);
    check_tensor(kind(), "x", inputs[0]);
    x_ = inputs[0].shape;
    require<ShapeError>(axis_ >= 0 && axis_ < x_.rank(), kind(), "axis must be from 0 to ", x_.rank() - 1, ", got ",
                        axis_, " (x: ", x_, ")");
    size_ = x_[static_cast<int>(axis_)];
    if (given_) {
      read_indices();
    } else {
      type_ = inputs[1].dtype;
      require<TypeError>(type_ != DType::u8, kind(), "indices must be int64 or float32, got ", name_of(type_));
      index_ = inputs[1].shape;
      require<ShapeError>(index_.rank() > 0, kind(), "indices must have at least 1 dimension");
      index_.size(kind());  // throws when it overflows
    }
    const int rank = x_.rank() - 1 + index_.rank();
    require<ShapeError>(rank <= kMaxRank, kind(), "the result may have ", kMaxRank, " dimensions, got ", rank,
                        " of x: ", x_, " with indices: ", index_);
    Shape y;
    for (int d = 0; d < x_.rank(); ++d) {
      if (d != axis_)
        y.push_back(x_[d]);
      else
        for (int64_t n : index_) y.push_back(n);
    }
    if (y.rank() == 0) y.push_back(1);
    y.size(kind());  // throws when it overflows
    return {{y, DType::f32}};
  }

  void check_inputs(const OpCall& call) const override {
    if (given_) return;
    const Tensor& indices = call.inputs[1];
    const Strides strides = strides_of(indices);
    for (int64_t k = 0; k < index_.size(); ++k) {
      if (type_ == DType::i64) {
        check_index(indices.i64()[k], k);
      } else {
        const float value = indices.f32()[offset_of(k, index_, strides)];
        check_index(value, k);
        require(value == static_cast<float>(static_cast<int64_t>(value)), kind(), "index ", value, " at ", k,
                " is no integer");
      }
    }
  }

  // The walk: y, x, the numbers of the indices.
  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &y = call.outputs[0];
    const Strides in_x = strides_of(x), in_y = strides_of(y), in_index = row_major(index_);
    const int64_t* index = indices_of(call);
    const int64_t along = in_x[static_cast<size_t>(axis_)];
    Walk<3> walk;
    size_t at_y = 0;
    for (size_t d = 0; d < static_cast<size_t>(x_.rank()); ++d) {
      if (static_cast<int64_t>(d) != axis_) {
        walk.add(x_[static_cast<int>(d)], {in_y[at_y++], in_x[d], 0});
        continue;
      }
      for (int i = 0; i < index_.rank(); ++i) walk.add(index_[i], {in_y[at_y++], 0, in_index[static_cast<size_t>(i)]});
    }
    walk.simplify(1);
    const auto inner = walk.inner();
    for_pieces(walk, 1, 2, [&](const std::array<int64_t, 3>& at, int64_t n) {
      float* to = y.f32() + at[0];
      const float* from = x.f32() + at[1];
      const int64_t* k = index + at[2];
      if (inner.stride[2] != 0)
        for (int64_t j = 0; j < n; ++j) to[j * inner.stride[0]] = from[k[j * inner.stride[2]] * along + j * inner.stride[1]];
      else if (inner.stride[0] == 1 && inner.stride[1] == 1)
        std::memcpy(to, from + *k * along, static_cast<size_t>(n) * sizeof(float));
      else
        for (int64_t j = 0; j < n; ++j) to[j * inner.stride[0]] = from[*k * along + j * inner.stride[1]];
    });
  }

  // The walk: dx, dy, over all axes but the gathered one, so that each element of dx is one thread's.
  void backward(const OpCall& call) const override {
    const Tensor &dy = call.grad_outputs[0], &dx = call.grad_inputs[0];
    require(call.grad_inputs.size() < 2 || !call.grad_inputs[1], kind(), "indices have no gradient");
    if (!dx) return;
    const Strides in_x = strides_of(dx), in_y = strides_of(dy);
    const int64_t* index = indices_of(call);
    const int64_t along = in_x[static_cast<size_t>(axis_)], count = index_.size();
    fill_strided(walk_over(x_, in_x), 0, dx.f32());
    Walk<2> walk;
    Strides between{};
    size_t at_y = 0;
    for (size_t d = 0; d < static_cast<size_t>(x_.rank()); ++d) {
      if (static_cast<int64_t>(d) != axis_)
        walk.add(x_[static_cast<int>(d)], {in_x[d], in_y[at_y++]});
      else
        for (int i = 0; i < index_.rank(); ++i) between[static_cast<size_t>(i)] = in_y[at_y++];
    }
    walk.simplify(1);
    const auto inner = walk.inner();
    for_pieces(walk, 1, 1 + count, [&](const std::array<int64_t, 2>& at, int64_t n) {
      for (int64_t k = 0; k < count; ++k) {
        float* to = dx.f32() + at[0] + index[k] * along;
        const float* from = dy.f32() + at[1] + offset_of(k, index_, between);
        for (int64_t j = 0; j < n; ++j) to[j * inner.stride[0]] += from[j * inner.stride[1]];
      }
    });
  }

 private:
  template <class T>
  void check_index(T value, int64_t at) const {
    require(value >= static_cast<T>(-size_) && value < static_cast<T>(size_), kind(), "index ", value, " at ", at,
            " is outside of axis ", axis_, " of size ", size_);
  }

  void read_indices() {
    index_ = {};
    require<ShapeError>(given_shape_.size() <= kMaxRank, kind(), "index_shape may have ", kMaxRank,
                        " dimensions, got ", listed(given_shape_));
    for (int64_t n : given_shape_) index_.push_back(n);
    require<ShapeError>(index_.size(kind()) == static_cast<int64_t>(indices_.size()), kind(), "index_shape ", index_,
                        " does not fit ", indices_.size(), " indices");
    for (size_t k = 0; k < indices_.size(); ++k) check_index(indices_[k], static_cast<int64_t>(k));
    counted_ = indices_;
    for (int64_t& k : counted_) k += k < 0 ? size_ : 0;
  }

  // From the front, in a row.
  const int64_t* indices_of(const OpCall& call) const {
    if (given_) return counted_.data();
    const Tensor& indices = call.inputs[1];
    const Strides strides = strides_of(indices);
    auto* counted = reinterpret_cast<int64_t*>(call.workspace);
    for (int64_t k = 0; k < index_.size(); ++k) {
      const int64_t index = type_ == DType::i64 ? indices.i64()[k]
                                                : static_cast<int64_t>(indices.f32()[offset_of(k, index_, strides)]);
      counted[k] = index < 0 ? index + size_ : index;
    }
    return counted;
  }

  int64_t axis_, size_ = 0;
  bool given_;
  std::vector<int64_t> indices_, given_shape_, counted_;
  DType type_ = DType::f32;
  Shape x_, index_;
};

}  // namespace

std::unique_ptr<Op> make_gather(const Attributes& attributes) {
  attributes.check_known(kKind, {"axis", "indices", "index_shape"});
  const std::vector<int64_t> indices = attributes.integers(kKind, "indices", {});
  return std::make_unique<GatherOp>(
      attributes.integer(kKind, "axis", 0), attributes.has("indices"), indices,
      attributes.integers(kKind, "index_shape", {static_cast<int64_t>(indices.size())}));
}

}  // namespace convcore
