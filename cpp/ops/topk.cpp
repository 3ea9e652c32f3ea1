// SPDX-License-Identifier: BSD-3-Clause
#include "ops/topk.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/parallel.h"
#include "ops/axes.h"
#include "ops/checks.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "topk";

class TopKOp : public Op {
 public:
  explicit TopKOp(const Attributes& a)
      : k_(a.integer(kKind, "k", 1)), axis_(a.integer(kKind, "axis", -1)), largest_(a.flag(kKind, "largest", true)) {}

  std::string_view kind() const override { return kKind; }
  bool has_gradient(int output) const override { return output == 0; }
  bool backward_reads_input(int) const override { return false; }
  bool backward_reads_outputs() const override { return true; }
  OpNeeds needs() const override {
    OpNeeds needs;
    needs.forward = static_cast<size_t>(lines_.shape.size()) * sizeof(int32_t);
    return needs;
  }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 1, 1);
    check_tensor(kind(), "x", inputs[0]);
    lines_ = {inputs[0].shape, axis_of(kind(), axis_, inputs[0].shape)};
    require(k_ >= 0 && k_ <= lines_.length(), kind(), "k must be from 0 to ", lines_.length(), ", the size of axis ",
            axis_, ", got ", k_);
    require<ShapeError>(lines_.length() <= 1 << 24, kind(), "an axis of ", lines_.length(),
                        " is too long for float32 indices");
    Shape y = lines_.shape;
    y[lines_.axis] = k_;
    return {{y, DType::f32}, {y, DType::f32}};
  }

  void forward(const OpCall& call) const override {
    if (lines_.shape.size() == 0 || k_ == 0) return;
    const Tensor &x = call.inputs[0], &values = call.outputs[0], &indices = call.outputs[1];
    const Strides in = strides_of(x), out = strides_of(values), places = strides_of(indices);
    const int64_t length = lines_.length();
    parallel_for(lines_.count(), 1, 20 * length, [&](int64_t begin, int64_t end) {
      for (int64_t line = begin; line < end; ++line) {
        int32_t* order = reinterpret_cast<int32_t*>(call.workspace) + line * length;
        const float* from = x.f32() + lines_.offset(line, in);
        sort(from, step(in), order);
        float* to = values.f32() + lines_.offset(line, out);
        float* place = indices.f32() + lines_.offset(line, places);
        for (int64_t i = 0; i < k_; ++i) {
          to[i * step(out)] = from[order[i] * step(in)];
          place[i * step(places)] = static_cast<float>(order[i]);
        }
      }
    });
  }

  void backward(const OpCall& call) const override {
    const Tensor &dy = call.grad_outputs[0], &indices = call.outputs[1], &dx = call.grad_inputs[0];
    if (!dx || lines_.shape.size() == 0) return;
    require(static_cast<bool>(dy), kind(), "indices have no gradient");
    const Strides in = strides_of(dx), out = strides_of(dy), places = strides_of(indices);
    parallel_for(lines_.count(), 1, 2 * lines_.length(), [&](int64_t begin, int64_t end) {
      for (int64_t line = begin; line < end; ++line) {
        float* to = dx.f32() + lines_.offset(line, in);
        const float* from = dy.f32() + lines_.offset(line, out);
        const float* place = indices.f32() + lines_.offset(line, places);
        for (int64_t i = 0; i < lines_.length(); ++i) to[i * step(in)] = 0;
        for (int64_t i = 0; i < k_; ++i)
          to[static_cast<int64_t>(place[i * step(places)]) * step(in)] = from[i * step(out)];
      }
    });
  }

 private:
  int64_t step(const Strides& strides) const { return strides[static_cast<size_t>(lines_.axis)]; }

  // The first k_ of `order` are then the numbers of the best elements.
  void sort(const float* line, int64_t stride, int32_t* order) const {
    const auto before = [&](int32_t i, int32_t j) {
      const float a = line[i * stride], b = line[j * stride];
      const bool a_nan = std::isnan(a), b_nan = std::isnan(b);
      if (a_nan || b_nan) return a_nan == b_nan ? i < j : a_nan == largest_;
      return a == b ? i < j : (a > b) == largest_;
    };
    const int64_t length = lines_.length();
    std::iota(order, order + length, 0);
    std::nth_element(order, order + k_ - 1, order + length, before);
    std::sort(order, order + k_, before);
  }

  int64_t k_, axis_;
  bool largest_;
  Lines lines_;
};

}  // namespace

std::unique_ptr<Op> make_topk(const Attributes& attributes) {
  attributes.check_known(kKind, {"k", "axis", "largest"});
  return std::make_unique<TopKOp>(attributes);
}

}  // namespace convcore
