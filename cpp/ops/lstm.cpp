// SPDX-License-Identifier: BSD-3-Clause
#include "ops/lstm.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "base/memory.h"
#include "kernels/table.h"
#include "ops/checks.h"
#include "ops/gemm.h"
#include "ops/strided.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "lstm";
enum Input { kX, kW, kR, kBias, kLengths, kH, kC, kPeephole, kRecurrentBias, kInputs };
constexpr const char* kNames[] = {"x",         "W",         "R", "bias",          "sequence_lens",
                                  "initial_h", "initial_c", "P", "recurrent_bias"};

// Without the sizes of 1 in front.
Shape bare(const Shape& shape) {
  Shape rest;
  for (int64_t d : shape)
    if (d != 1 || rest.rank() > 0) rest.push_back(d);
  return rest;
}

class Lstm : public Op {
 public:
  explicit Lstm(const Attributes& a)
      : direction_(a.text(kKind, "direction", "forward")),
        batch_first_(a.integer(kKind, "layout", 0) == 1),
        input_forget_(a.flag(kKind, "input_forget", false)),
        clip_(a.number(kKind, "clip", 0)),
        first_state_(a.integer(kKind, "first_state", 0)) {
    require(direction_ == "forward" || direction_ == "reverse" || direction_ == "bidirectional", kKind,
            "direction must be 'forward', 'reverse' or 'bidirectional', got '", direction_, "'");
    const int64_t layout = a.integer(kKind, "layout", 0);
    require(layout == 0 || layout == 1, kKind, "layout must be 0 or 1, got ", layout);
    require(std::isfinite(clip_) && clip_ >= 0, kKind, "clip must be positive, or 0 for none, got ", clip_);
    const std::string gates = a.text(kKind, "gates", "iofc");
    require(gates == "iofc" || gates == "ifco", kKind, "gates must be 'iofc' or 'ifco', got '", gates, "'");
    pytorch_ = gates == "ifco";
    directions_ = direction_ == "bidirectional" ? 2 : 1;
  }

  std::string_view kind() const override { return kKind; }
  bool is_dense(int input) const override {
    return input == kW || input == kR || input == kBias || input == kPeephole || input == kRecurrentBias;
  }
  bool has_gradient(int) const override { return false; }
  int64_t flops() const override { return 8 * directions_ * time_ * batch_ * hidden_ * (inputs_ + hidden_); }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool training) override {
    check_count(kKind, inputs, 3, kInputs);
    require(!training, kKind, "is for inference only: it has no gradient");
    for (size_t i = 0; i < inputs.size(); ++i)
      if (i <= kR || is_present(inputs, i)) check_tensor(kKind, kNames[i], inputs[i]);
    const Shape &x = inputs[kX].shape, &r = inputs[kR].shape;
    require<ShapeError>(x.rank() == 3, kKind, "x must be (", batch_first_ ? "batch, time" : "time, batch",
                        ", inputs), got ", x);
    time_ = x[batch_first_ ? 1 : 0], batch_ = x[batch_first_ ? 0 : 1], inputs_ = x[2], hidden_ = r[r.rank() - 1];
    require<ShapeError>(inputs_ > 0 && inputs_ <= INT32_MAX && hidden_ > 0 && hidden_ <= INT32_MAX, kKind,
                        "inputs and hidden must be positive and below 2^31, got x ", x, ", R ", r);
    const int64_t gates = 4 * hidden_;
    expect(inputs, kW, {directions_, gates, inputs_});
    expect(inputs, kR, {directions_, gates, hidden_});
    const bool joined = is_present(inputs, kBias) && inputs[kBias].shape.size() == 2 * directions_ * gates;
    bias_pitch_ = joined ? 2 * gates : gates;
    expect(inputs, kBias, {directions_, bias_pitch_});
    expect(inputs, kRecurrentBias, {directions_, gates});
    expect(inputs, kPeephole, {directions_, 3 * hidden_});
    expect(inputs, kLengths, {batch_});
    const Shape state = batch_first_ ? Shape{batch_, directions_, hidden_} : Shape{directions_, batch_, hidden_};
    const int along = batch_first_ ? 1 : 0;
    for (size_t i : {kH, kC}) {
      if (!is_present(inputs, i)) continue;
      Shape rest = inputs[i].shape;
      const int64_t states = rest.rank() == 3 ? rest[along] : 0;
      if (rest.rank() == 3) rest[along] = directions_;
      require<ShapeError>(rest == state && first_state_ >= 0 && first_state_ <= states - directions_, kKind, kNames[i],
                          " must have shape ", state, ", got ", inputs[i].shape, " (first_state ", first_state_, ")");
    }
    has_bias_ = is_present(inputs, kBias) || is_present(inputs, kRecurrentBias);
    Shape y = batch_first_ ? Shape{batch_, time_, directions_, hidden_} : Shape{time_, directions_, batch_, hidden_};
    Shape{time_, batch_, gates}.size(kKind), Shape{batch_, gates}.size(kKind);
    y.size(kKind);
    from_input_.emplace(time_ * batch_, gates, inputs_);
    from_state_.emplace(batch_, gates, hidden_);
    return {{y, DType::f32}, {state, DType::f32}, {state, DType::f32}};
  }

  OpNeeds needs() const override {
    OpNeeds needs;
    needs.packed = static_cast<size_t>(directions_) * packed_bytes();
    needs.forward = Scratch(*this, nullptr).bytes;
    return needs;
  }

  void check_inputs(const OpCall& call) const override {
    const Tensor lengths = tensor_at(call.inputs, kLengths);
    for (int64_t n = 0; lengths && n < batch_; ++n) {
      const float length = length_at(lengths, n);
      require(length >= 0 && length <= static_cast<float>(time_) && length == std::floor(length), kKind,
              "sequence_lens must be integers from 0 to the ", time_, " steps of x, got ", length);
    }
  }

  void pack(const OpCall& call) const override {
    const int64_t gates = 4 * hidden_;
    for (int64_t d = 0; d < directions_; ++d) {
      std::byte* to = call.packed + static_cast<size_t>(d) * packed_bytes();
      from_input_->pack({call.inputs[kW].f32() + d * gates * inputs_, 1, inputs_}, to);
      from_state_->pack({call.inputs[kR].f32() + d * gates * hidden_, 1, hidden_}, to + from_input_->packed_bytes());
      float* bias = packed_bias(call, d);
      std::fill_n(bias, gates, 0.0f);
      const Tensor both = tensor_at(call.inputs, kBias), recurrent = tensor_at(call.inputs, kRecurrentBias);
      for (int64_t j = 0; both && j < bias_pitch_; ++j) bias[j % gates] += both.f32()[d * bias_pitch_ + j];
      for (int64_t j = 0; recurrent && j < gates; ++j) bias[j] += recurrent.f32()[d * gates + j];
    }
  }

  void forward(const OpCall& call) const override {
    if (batch_ == 0) return;
    const Scratch s(*this, call.workspace);
    const Tensor& x = call.inputs[kX];
    const Strides in_x = strides_of(x);
    const int time = batch_first_ ? 1 : 0;
    Walk<2> rows;
    rows.add(time_, {batch_ * inputs_, in_x[time]});
    rows.add(batch_, {inputs_, in_x[1 - time]});
    rows.add(inputs_, {1, in_x[2]});
    if (time_ > 0) copy_strided(rows, x.f32(), s.x);
    for (int64_t d = 0; d < directions_; ++d) {
      move_state(tensor_at(call.inputs, kH), first_state_ + d, s.h, false);
      move_state(tensor_at(call.inputs, kC), first_state_ + d, s.c, false);
      if (time_ > 0) run_direction(call, s, d);
      move_state(call.outputs[1], d, s.h, true);
      move_state(call.outputs[2], d, s.c, true);
    }
  }

  void backward(const OpCall&) const override { require(false, kKind, "is for inference only: it has no gradient"); }

 private:
  struct Scratch {
    size_t bytes = 0;
    std::byte* memory;
    float *x, *gates, *recurrent, *h, *c, *y;
    std::byte* gemm;

    Scratch(const Lstm& op, std::byte* at) : memory(at) {
      const int64_t rows = op.time_ * op.batch_;
      x = take(rows * op.inputs_);
      gates = take(rows * 4 * op.hidden_);
      recurrent = take(op.batch_ * 4 * op.hidden_);
      h = take(op.batch_ * op.hidden_);
      c = take(op.batch_ * op.hidden_);
      y = take(rows * op.hidden_);
      gemm = memory + bytes;
      bytes += std::max(op.from_input_->workspace_bytes(), op.from_state_->workspace_bytes());
    }
    float* take(int64_t floats) {
      float* taken = reinterpret_cast<float*>(memory + bytes);
      bytes += align_up(static_cast<size_t>(floats) * sizeof(float));
      return taken;
    }
  };

  void expect(std::span<const TensorSpec> inputs, size_t i, const Shape& wanted) const {
    if (i > kR && !is_present(inputs, i)) return;
    require<ShapeError>(bare(inputs[i].shape) == bare(wanted), kKind, kNames[i], " must have shape ", wanted, ", got ",
                        inputs[i].shape, " (direction '", direction_, "')");
  }

  size_t packed_bytes() const {
    return from_input_->packed_bytes() + from_state_->packed_bytes() +
           align_up(static_cast<size_t>(4 * hidden_) * sizeof(float));
  }
  float* packed_bias(const OpCall& call, int64_t d) const {
    return reinterpret_cast<float*>(call.packed + static_cast<size_t>(d) * packed_bytes() +
                                    from_input_->packed_bytes() + from_state_->packed_bytes());
  }
  static float length_at(const Tensor& lengths, int64_t n) {
    return lengths.f32()[n * strides_of(lengths)[lengths.shape.rank() - 1]];
  }

  // Between state d and rows of `hidden` for each sequence; an absent one is zeros.
  void move_state(const Tensor& state, int64_t d, float* rows, bool out) const {
    if (!state) {
      std::fill_n(rows, batch_ * hidden_, 0.0f);
      return;
    }
    const Strides strides = strides_of(state);
    float* from = state.f32() + d * strides[batch_first_ ? 1 : 0];
    const int64_t step = strides[batch_first_ ? 0 : 1];
    Walk<2> walk;
    walk.add(batch_, out ? std::array{step, hidden_} : std::array{hidden_, step});
    walk.add(hidden_, out ? std::array{strides[2], int64_t{1}} : std::array{int64_t{1}, strides[2]});
    out ? copy_strided(walk, rows, from) : copy_strided(walk, from, rows);
  }

  LstmGates gates_at(const float* row) const {
    if (pytorch_) return {row, row + 3 * hidden_, row + hidden_, row + 2 * hidden_};
    return {row, row + hidden_, row + 2 * hidden_, row + 3 * hidden_};
  }

  void run_direction(const OpCall& call, const Scratch& s, int64_t d) const {
    const int64_t gates = 4 * hidden_;
    const bool reverse = d == 1 || direction_ == "reverse";
    const std::byte* packed = call.packed + static_cast<size_t>(d) * packed_bytes();
    from_input_->run({s.x, inputs_, 1}, packed, s.gates, gates, time_ * batch_, false, s.gemm);
    packed += from_input_->packed_bytes();

    LstmArgs args{};
    args.hidden = hidden_;
    if (has_bias_) args.bias = gates_at(packed_bias(call, d));
    if (const Tensor p = tensor_at(call.inputs, kPeephole)) {
      const float* row = p.f32() + d * 3 * hidden_;
      args.peephole = {row, row + hidden_, row + 2 * hidden_, nullptr};
    }
    args.clip = clip_ > 0 ? static_cast<float>(clip_) : std::numeric_limits<float>::infinity();
    args.input_forget = input_forget_;

    const Tensor lengths = tensor_at(call.inputs, kLengths);
    if (lengths) std::fill_n(s.y, time_ * batch_ * hidden_, 0.0f);
    for (int64_t step = 0; step < time_; ++step) {
      from_state_->run({s.h, hidden_, 1}, packed, s.recurrent, gates, batch_, false, s.gemm);
      parallel_for(batch_, 1, 64 * hidden_, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) {
          const int64_t length = lengths ? static_cast<int64_t>(length_at(lengths, n)) : time_;
          if (step >= length) continue;
          const int64_t row = (reverse ? length - 1 - step : step) * batch_ + n;
          float* h = s.h + n * hidden_;
          table().recurrent.lstm_step(args, gates_at(s.gates + row * gates), gates_at(s.recurrent + n * gates),
                                      s.c + n * hidden_, h);
          std::memcpy(s.y + row * hidden_, h, static_cast<size_t>(hidden_) * sizeof(float));
        }
      });
    }

    const Tensor& y = call.outputs[0];
    const Strides in_y = strides_of(y);
    Walk<2> walk;
    walk.add(time_, {in_y[batch_first_ ? 1 : 0], batch_ * hidden_});
    walk.add(batch_, {in_y[batch_first_ ? 0 : 2], hidden_});
    walk.add(hidden_, {in_y[3], 1});
    copy_strided(walk, s.y, y.f32() + d * in_y[batch_first_ ? 2 : 1]);
  }

  std::string direction_;
  bool batch_first_, input_forget_, pytorch_ = false, has_bias_ = false;
  double clip_;
  int64_t first_state_;
  int64_t directions_ = 1, time_ = 0, batch_ = 0, inputs_ = 0, hidden_ = 0;
  int64_t bias_pitch_ = 0;                       // of the input `bias`, from one direction to the next
  std::optional<Gemm> from_input_, from_state_;  // x W^T of all steps, h R^T of one
};

}  // namespace

std::unique_ptr<Op> make_lstm(const Attributes& attributes) {
  attributes.check_known(kKind, {"direction", "layout", "input_forget", "clip", "gates", "first_state"});
  return std::make_unique<Lstm>(attributes);
}

}  // namespace convcore
