// SPDX-License-Identifier: BSD-3-Clause
// One op with all the memory that its run needs, for tests and benchmarks.
#pragma once

#include <algorithm>
#include <memory>
#include <random>
#include <string_view>
#include <vector>

#include "base/memory.h"
#include "ops/op.h"

namespace convcore::testing {

// Memory: AlignedBuffer, or Guarded<std::byte> to find whoever reads or writes past an end.
template <class Memory = AlignedBuffer>
class OpRunner {
 public:
  // Plans, and throws what plan() throws. slack: extra floats between the pixels of every activation (pitch - C).
  OpRunner(std::string_view kind, const Attributes& attributes, std::vector<TensorSpec> inputs, bool training,
           int64_t slack = 0)
      : op_(make_op(kind, attributes)), training_(training), slack_(slack), input_specs_(std::move(inputs)) {
    output_specs_ = op_->plan(input_specs_, training_);
  }

  // About the bytes that allocate() will reserve. A double: planned sizes may exceed 64 bits together.
  double bytes() const {
    const OpNeeds needs = op_->needs();
    double total = static_cast<double>(needs.packed) + static_cast<double>(needs.saved) +
                   static_cast<double>(std::max(needs.forward, needs.backward));
    for (const auto* specs : {&input_specs_, &output_specs_})
      for (const TensorSpec& spec : *specs) {
        double size = 2.0 * static_cast<double>(size_of(spec.dtype));
        for (int i = 0; i < spec.shape.rank(); ++i)  // a 0 counts as 1: loops may still walk the other dimensions
          size *= static_cast<double>(std::max<int64_t>(spec.shape[i], 1) + (i == 1 ? slack_ : 0));
        total += size;
      }
    return total;
  }

  // Uniform numbers in [-1, 1) in every float, zeros elsewhere.
  void allocate(unsigned seed = 1) {
    std::mt19937 random(seed);
    for (size_t i = 0; i < input_specs_.size(); ++i) {
      const bool dense = op_->is_dense(static_cast<int>(i)), absent = input_specs_[i].shape.rank() == 0;
      inputs_.push_back(absent ? Tensor{} : tensor(input_specs_[i], dense, random));
      const bool wanted = training_ && !absent && input_specs_[i].dtype == DType::f32;
      grad_inputs_.push_back(wanted ? tensor(input_specs_[i], dense, random) : Tensor{});
    }
    for (const TensorSpec& spec : output_specs_) {
      outputs_.push_back(tensor(spec, false, random));
      grad_outputs_.push_back(training_ ? tensor(spec, false, random) : Tensor{});
    }
    const OpNeeds needs = op_->needs();
    packed_ = scratch(needs.packed);
    saved_ = scratch(needs.saved);
    workspace_ = scratch(std::max(needs.forward, needs.backward));
    pack();
  }

  void pack() { if (op_->needs().packed > 0) op_->pack(call()); }
  void forward() {
    op_->check_inputs(call());
    op_->forward(call());
  }
  void backward() { op_->backward(call()); }

  const Op& op() const { return *op_; }
  const std::vector<TensorSpec>& output_specs() const { return output_specs_; }
  std::vector<Tensor>& inputs() { return inputs_; }
  std::vector<Tensor>& outputs() { return outputs_; }
  std::vector<Tensor>& grad_outputs() { return grad_outputs_; }
  std::vector<Tensor>& grad_inputs() { return grad_inputs_; }  // clear one's data: that gradient is not wanted

 private:
  Tensor tensor(const TensorSpec& spec, bool dense, std::mt19937& random) {
    Tensor t{nullptr, spec.shape, spec.dtype, 0};
    const bool slice = !dense && spec.shape.rank() > 1;
    if (!dense) t.pitch = t.c() + (slice ? slack_ : 0);
    // The last pixel of a slice ends with its own channels: nothing may be read after them.
    const int64_t count = slice && spec.shape.size() > 0 ? (t.pixels() - 1) * t.pitch + t.c() : spec.shape.size();
    memory_.push_back(std::make_unique<Memory>(static_cast<size_t>(std::max<int64_t>(count, 1) * size_of(spec.dtype))));
    t.data = memory_.back()->data();
    std::uniform_real_distribution<float> uniform(-1, 1);
    if (spec.dtype == DType::f32)
      for (int64_t i = 0; i < count; ++i) t.f32()[i] = uniform(random);
    else
      std::fill_n(reinterpret_cast<std::byte*>(t.data), count * size_of(spec.dtype), std::byte{0});
    return t;
  }

  std::byte* scratch(size_t bytes) {
    if (bytes == 0) return nullptr;
    memory_.push_back(std::make_unique<Memory>(align_up(bytes)));
    return memory_.back()->data();
  }

  OpCall call() const {
    OpCall c;
    c.inputs = inputs_, c.outputs = outputs_, c.grad_outputs = grad_outputs_, c.grad_inputs = grad_inputs_;
    c.packed = packed_, c.saved = saved_, c.workspace = workspace_;
    c.seed = 1;
    return c;
  }

  std::unique_ptr<Op> op_;
  bool training_;
  int64_t slack_;
  std::vector<TensorSpec> input_specs_, output_specs_;
  std::vector<Tensor> inputs_, outputs_, grad_outputs_, grad_inputs_;
  std::byte *packed_ = nullptr, *saved_ = nullptr, *workspace_ = nullptr;
  std::vector<std::unique_ptr<Memory>> memory_;
};

}  // namespace convcore::testing
