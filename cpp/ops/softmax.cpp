// SPDX-License-Identifier: BSD-3-Clause
#include "ops/softmax.h"

#include <array>

#include "base/memory.h"
#include "kernels/table.h"
#include "ops/axes.h"
#include "ops/blocks.h"
#include "ops/checks.h"
#include "ops/strided.h"

namespace convcore {
namespace {

class SoftmaxOp : public Op {
 public:
  SoftmaxOp(bool log, const Attributes& a) : log_(log), axis_(a.integer(kind(), "axis", 1)) {}

  std::string_view kind() const override { return log_ ? "log_softmax" : "softmax"; }
  bool can_run_in_place(int input) const override { return input == 0; }
  bool backward_reads_input(int) const override { return false; }
  bool backward_reads_outputs() const override { return true; }
  OpNeeds needs() const override {
    OpNeeds needs;
    if (!rows_) needs.forward = line_bytes(), needs.backward = 2 * line_bytes();
    return needs;
  }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 1, 1);
    check_tensor(kind(), "x", inputs[0]);
    const Shape& x = inputs[0].shape;
    lines_ = {x, axis_of(kind(), axis_, x)};
    rows_ = x.rank() > 1 && lines_.axis == (x.rank() > 4 ? x.rank() - 1 : 1);
    return {inputs[0]};
  }

  void forward(const OpCall& call) const override {
    if (lines_.shape.size() == 0) return;
    const auto kernel = log_ ? table().elementwise.softmax.log_softmax : table().elementwise.softmax.softmax;
    const Tensor x = as_rows(call.inputs[0], call.workspace), y = rows_ ? call.outputs[0] : x;
    parallel_for(y.pixels(), 16, 20 * y.c(), [&](int64_t begin, int64_t end) {
      const RowBlock b{begin, end - begin, y.c(), false};
      kernel(b.rows, b.columns, b.in(x), b.out(y));
    });
    if (!rows_) move(y.f32(), call.outputs[0], true);
  }

  void backward(const OpCall& call) const override {
    if (!call.grad_inputs[0] || lines_.shape.size() == 0) return;
    const SoftmaxKernels& kernels = table().elementwise.softmax;
    const auto kernel = log_ ? kernels.log_softmax_backward : kernels.softmax_backward;
    const Tensor y = as_rows(call.outputs[0], call.workspace);
    const Tensor dy = as_rows(call.grad_outputs[0], call.workspace + line_bytes());
    const Tensor dx = rows_ ? call.grad_inputs[0] : dy;
    parallel_for(y.pixels(), 16, 10 * y.c(), [&](int64_t begin, int64_t end) {
      const RowBlock b{begin, end - begin, y.c(), false};
      kernel(b.rows, b.columns, b.in(dy), b.in(y), b.out(dx));
    });
    if (!rows_) move(dx.f32(), call.grad_inputs[0], true);
  }

 private:
  size_t line_bytes() const { return align_up(static_cast<size_t>(lines_.shape.size()) * sizeof(float)); }

  // The lines as the rows of a matrix: the tensor itself, or a copy in `memory`.
  Tensor as_rows(const Tensor& x, std::byte* memory) const {
    if (rows_) return x;
    move(reinterpret_cast<float*>(memory), x, false);
    return {memory, {lines_.count(), lines_.length()}, DType::f32, lines_.length()};
  }

  // rows = the tensor's lines, or back.
  void move(float* rows, const Tensor& tensor, bool back) const {
    const Strides strides = strides_of(tensor);
    const int rank = lines_.shape.rank(), nearest = rank == 3 || rank == 4 ? 1 : rank - 1;
    Walk<2> walk;
    int64_t row = lines_.length();
    const auto add = [&](int d) {
      const int64_t stride = strides[static_cast<size_t>(d)], in_rows = d == lines_.axis ? 1 : row;
      walk.add(lines_.shape[d], back ? std::array{stride, in_rows} : std::array{in_rows, stride});
      if (d != lines_.axis) row *= lines_.shape[d];
    };
    add(nearest);  // rows in the order of the tensor's memory
    for (int d = rank - 1; d >= 0; --d)
      if (d != nearest) add(d);
    back ? copy_strided(walk, rows, tensor.f32()) : copy_strided(walk, tensor.f32(), rows);
  }

  bool log_;
  int64_t axis_;
  Lines lines_;
  bool rows_ = true;  // lines are rows in memory
};

std::unique_ptr<Op> make(const Attributes& attributes, bool log) {
  attributes.check_known(log ? "log_softmax" : "softmax", {"axis"});
  return std::make_unique<SoftmaxOp>(log, attributes);
}

}  // namespace

std::unique_ptr<Op> make_softmax(const Attributes& attributes) { return make(attributes, false); }
std::unique_ptr<Op> make_log_softmax(const Attributes& attributes) { return make(attributes, true); }

}  // namespace convcore
