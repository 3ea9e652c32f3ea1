// SPDX-License-Identifier: BSD-3-Clause
#include "ops/correct_count.h"

#include "ops/blocks.h"
#include "ops/checks.h"
#include "ops/loss.h"

namespace convcore {
namespace {

bool is_argmax(const float* row, int64_t classes, int64_t label) {
  if (label < 0 || label >= classes) return false;
  const float value = row[label];
  const bool nan = value != value;
  int64_t larger = 0;
  for (int64_t j = 0; j < label; ++j) larger += nan ? row[j] != row[j] : !(row[j] < value);
  if (!nan)
    for (int64_t j = label + 1; j < classes; ++j) larger += !(row[j] <= value);
  return larger == 0;
}

class CorrectCountOp : public Op {
 public:
  std::string_view kind() const override { return "correct_count"; }
  bool backward_reads_input(int) const override { return false; }
  OpNeeds needs() const override {
    OpNeeds needs;
    needs.forward = chunks_.bytes();
    return needs;
  }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 2, 2);
    check_labels_shape(kind(), "logits", inputs[0], inputs[1]);
    chunks_ = {inputs[1].shape.size(), inputs[0].shape[1]};
    return {{Shape{}, DType::f32}};
  }

  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[0], &labels = call.inputs[1];
    const double hits = chunks_.sum(call.workspace, 2, [&](int64_t begin, int64_t end) {
      double sum = 0;
      for (int64_t r = begin; r < end; ++r) sum += is_argmax(x.f32() + r * x.pitch, x.c(), labels.i64()[r]);
      return sum;
    });
    *call.outputs[0].f32() = static_cast<float>(hits);
  }

  bool has_gradient(int) const override { return false; }
  void backward(const OpCall&) const override { throw ValueError(message(kind(), "has no gradient")); }

 private:
  RowChunks chunks_{0, 1};
};

}  // namespace

std::unique_ptr<Op> make_correct_count(const Attributes& attributes) {
  attributes.check_known("correct_count", {});
  return std::make_unique<CorrectCountOp>();
}

}  // namespace convcore
