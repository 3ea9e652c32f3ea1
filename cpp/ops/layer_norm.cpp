// SPDX-License-Identifier: BSD-3-Clause
#include "ops/layer_norm.h"

#include <algorithm>
#include <cmath>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/checks.h"

namespace convcore {
namespace {

constexpr int64_t kPart = 8192;   // elements of a block that are looked at together
constexpr int64_t kJoined = 16;   // columns that contiguous elements are laid out in for their moments
constexpr int64_t kColumns = 64;  // of weight that one thread sums up
constexpr int64_t kShortRow = 2048;  // columns whose sums, in floats, are as good as merged ones

// How memory falls into parts with statistics of their own. A tensor is `blocks` x `rows` x `columns`, one row `pitch`
// floats after the other. Every `span` columns of a block share a mean and a variance.
struct NormLayout {
  int64_t blocks = 1, rows = 1, columns = 1, span = 1;
  // What a weight is of.
  enum class Weights { column, element, row, channel } weights = Weights::element;
  int64_t run = 1;  // rows of a channel

  bool whole() const { return span == columns; }
  bool by_column() const { return weights == Weights::column || weights == Weights::element; }
  int64_t statistics() const { return columns / span; }  // of a block
  int64_t counted() const { return rows * span; }        // elements of a statistic
};

// layer_norm's. Where the channels, which lie side by side, are not among the normalised dimensions, each is on its
// own.
NormLayout layer_layout(const Shape& x, int axis) {
  NormLayout layout;
  layout.columns = channels_of(x);
  const int rank = x.rank(), last = rank > 4 ? rank - 1 : rank;
  const bool apart = axis > 1 && rank <= 4;
  for (int d = 0; d < std::min(axis, last); ++d)
    if (rank > 4 || d != 1) layout.blocks *= x[d];
  for (int d = axis; d < last; ++d)
    if (rank > 4 || d != 1) layout.rows *= x[d];
  layout.span = apart ? 1 : layout.columns;
  layout.weights = apart ? NormLayout::Weights::row : NormLayout::Weights::element;
  return layout;
}

NormLayout group_layout(const Shape& x, int64_t groups) {
  NormLayout layout;
  layout.columns = channels_of(x);
  if (x.rank() > 4) {  // row-major: a group's channels follow one another
    for (int d = 2; d < x.rank() - 1; ++d) layout.run *= x[d];
    layout.blocks = x[0] * groups;
    layout.rows = x[1] / groups * layout.run;
    layout.span = layout.columns;
    layout.weights = NormLayout::Weights::channel;
  } else {
    layout.blocks = x[0];
    for (int d = 2; d < x.rank(); ++d) layout.rows *= x[d];
    layout.span = x[1] / groups;
    layout.weights = NormLayout::Weights::column;
  }
  return layout;
}

class LayerNorm : public Op {
 public:
  enum Input { kX, kWeight, kBias, kInputs };
  enum class Kind { layer, group, instance };

  LayerNorm(Kind which, std::string_view kind, const Attributes& a)
      : which_(which),
        kind_(kind),
        eps_(a.number(kind, "eps", 1e-5)),
        axis_(a.integer(kind, "axis", -1)),
        groups_(a.integer(kind, "num_groups", 1)),
        gives_statistics_(a.flag(kind, "statistics", false)) {
    require(std::isfinite(eps_) && eps_ > 0, kind_, "eps must be positive and finite, got ", eps_);
    require(groups_ > 0, kind_, "num_groups must be positive, got ", groups_);
  }

  std::string_view kind() const override { return kind_; }
  bool is_dense(int input) const override { return which_ != Kind::layer && input > kX; }
  bool can_run_in_place(int input) const override { return input == kX; }
  bool has_gradient(int output) const override { return output == 0; }
  bool backward_reads_input(int input) const override { return input == kX || input == kWeight; }
  int64_t flops() const override { return 8 * l_.blocks * l_.rows * l_.columns; }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool training) override {
    check_count(kind_, inputs, 1, kInputs);
    check_tensor(kind_, "x", inputs[kX]);
    const Shape& x = inputs[kX].shape;
    const int rank = x.rank();
    require<ShapeError>(which_ == Kind::layer || rank > 1, kind_, "x must be (N, C, ...), got ", x);
    for (int i = 1; i < rank; ++i) require<ShapeError>(x[i] > 0, kind_, "only x's first size may be 0, got x: ", x);
    Shape image = x;
    image[0] = std::max<int64_t>(x[0], 1);
    require<ShapeError>(image.size(kind_) <= int64_t{1} << 56, kind_, "x is too large: ", x);
    require(axis_ >= -rank && axis_ < rank, kind_, "axis must be from ", -rank, " to ", rank - 1, ", got ", axis_);
    const int axis = static_cast<int>(axis_ < 0 ? axis_ + rank : axis_);
    const int64_t groups = which_ == Kind::instance ? x[1] : groups_;
    require<ShapeError>(which_ == Kind::layer || x[1] % groups == 0, kind_, "num_groups must divide the ",
                        rank > 1 ? x[1] : 0, " channels, got ", groups);
    require<ShapeError>(axis > 0 || which_ != Kind::layer || x[0] > 0, kind_,
                        "there is nothing to normalise in x: ", x);
    Shape weight = x, one = x;
    for (int d = 0; d < rank; ++d) (d < axis ? weight : one)[d] = 1;
    if (which_ != Kind::layer) weight = {x[1]};
    for (size_t i = kWeight; i < kInputs; ++i) {
      if (!is_present(inputs, i)) continue;
      check_dtype(kind_, i == kWeight ? "weight" : "bias", inputs[i], DType::f32);
      require<ShapeError>(inputs[i].shape == weight, kind_, i == kWeight ? "weight" : "bias", " must have shape ",
                          weight, ", got ", inputs[i].shape, " (x: ", x, ")");
    }
    l_ = which_ == Kind::layer ? layer_layout(x, axis) : group_layout(x, groups);
    step_ = std::clamp<int64_t>(kPart / l_.columns, 1, l_.rows);
    parts_ = (l_.rows + step_ - 1) / step_;
    merged_ = l_.whole() ? 1 : l_.columns;
    slots_ = num_threads();
    training_ = training;
    if (!gives_statistics_) return {inputs[kX]};
    return {inputs[kX], {one, DType::f32}, {one, DType::f32}};
  }

  OpNeeds needs() const override {
    OpNeeds needs;
    const size_t statistics = align_up(2 * static_cast<size_t>(l_.blocks * l_.statistics()) * sizeof(float));
    needs.forward = static_cast<size_t>(slots_) * slot_bytes() + (parts_ > 1 ? parts_bytes() : 0);
    needs.backward = needs.forward + statistics;
    if (training_)
      needs.saved = statistics;
    else
      needs.forward += statistics;
    return needs;
  }

  void forward(const OpCall& call) const override {
    const Tensor &x = call.inputs[kX], &y = call.outputs[0];
    std::byte* rest = call.workspace;
    const Statistics s = statistics(training_ ? call.saved : rest);
    if (!training_) rest += statistics_bytes();
    if (l_.rows == 1 && l_.whole() && l_.weights == NormLayout::Weights::element && l_.columns <= kShortRow) {
      const float *weight = tensor_at(call.inputs, kWeight).f32(), *bias = tensor_at(call.inputs, kBias).f32();
      return parallel_for(l_.blocks, 16, 8 * l_.columns, [&](int64_t begin, int64_t end) {
        table().norm.layer_rows({end - begin, l_.columns, in(x, begin, 0), weight, bias, static_cast<float>(eps_),
                                 out(y, begin, 0), s.first + begin, s.second + begin});
        for (int64_t b = begin; b < end; ++b) give_statistics(call, b, 0, s.first[b], s.second[b]);
      });
    }
    run(
        rest, [&](int64_t b, int64_t p, float* part, Slot& slot) { moments(x, b, p, part, slot); },
        [&](int64_t b, const float* parts, Slot& slot) { finish_moments(call, s, b, parts, slot); },
        [&](int64_t b, int64_t p, Slot& slot) {
          LayerBlock block = block_of(s, b, slot);
          each_run(call, block, b, p,
                   [&](int64_t row) { table().norm.layer_normalize(block, in(x, b, row), out(y, b, row)); });
        });
  }

  void backward(const OpCall& call) const override {
    require(training_, kind_, "backward needs a plan for training");
    const Tensor &x = call.inputs[kX], &dy = call.grad_outputs[0], dx = tensor_at(call.grad_inputs, kX);
    const Statistics s = statistics(call.saved), terms = statistics(call.workspace);
    backward_weight(call, s);
    if (!dx) return;
    run(
        call.workspace + statistics_bytes(),
        [&](int64_t b, int64_t p, float* part, Slot& slot) {
          LayerBlock block = block_of(s, b, slot);
          std::fill_n(part, 2 * merged_, 0.0f);
          each_run(call, block, b, p, [&](int64_t row) {
            table().norm.layer_sums(block, in(x, b, row), in(dy, b, row), slot.sums, slot.sums + merged_);
            for (int64_t j = 0; j < 2 * merged_; ++j) part[j] += slot.sums[j];
          });
        },
        [&](int64_t b, const float* parts, Slot& slot) { finish_sums(s, terms, b, parts, slot); },
        [&](int64_t b, int64_t p, Slot& slot) {
          LayerBlock block = block_of(s, b, slot);
          const float* slope = by_columns(terms.first, b, slot.columns + 2 * l_.columns);
          const float* offset = by_columns(terms.second, b, slot.columns + 3 * l_.columns);
          each_run(call, block, b, p, [&](int64_t row) {
            table().norm.layer_backward_input(block, in(x, b, row), in(dy, b, row), slope, offset, out(dx, b, row));
          });
        });
  }

 private:
  // Two values for each statistic of each block: mean and scale, or slope and offset.
  struct Statistics {
    float *first, *second;
  };
  // Scratch of one thread.
  struct Slot {
    double* merged;  // 2 for each of `merged_`
    float* part;     // where a block is one part: that
    float* sums;     // 2 for each column, or for each of kJoined
    float* columns;  // 4 for each column
  };

  int64_t most() const { return std::max(l_.columns, kJoined); }
  int64_t part_floats() const { return 1 + 2 * merged_; }
  size_t slot_bytes() const {
    return align_up(static_cast<size_t>(4 * merged_ + part_floats() + 2 * most() + 4 * l_.columns) * sizeof(float));
  }
  size_t parts_bytes() const {
    return align_up(static_cast<size_t>(l_.blocks * parts_ * part_floats()) * sizeof(float));
  }
  size_t statistics_bytes() const {
    return align_up(2 * static_cast<size_t>(l_.blocks * l_.statistics()) * sizeof(float));
  }
  Statistics statistics(std::byte* memory) const {
    float* first = reinterpret_cast<float*>(memory);
    return {first, first + l_.blocks * l_.statistics()};
  }
  Slot slot_at(std::byte* memory, int64_t slot) const {
    Slot s;
    s.merged = reinterpret_cast<double*>(memory + static_cast<size_t>(slot) * slot_bytes());
    s.part = reinterpret_cast<float*>(s.merged + 2 * merged_);
    s.sums = s.part + part_floats();
    s.columns = s.sums + 2 * most();
    return s;
  }

  ConstRows in(const Tensor& t, int64_t b, int64_t row) const {
    return {t.f32() + (b * l_.rows + row) * t.pitch, t.pitch};
  }
  Rows out(const Tensor& t, int64_t b, int64_t row) const { return {t.f32() + (b * l_.rows + row) * t.pitch, t.pitch}; }

  // first(block, part, its numbers, slot) for all parts, merge(block, its parts' numbers, slot) for all blocks,
  // second(block, part, slot) for all parts. A block of one part goes through all three while it is in the cache.
  template <class First, class Merge, class Second>
  void run(std::byte* memory, First&& first, Merge&& merge, Second&& second) const {
    const int64_t tasks = l_.blocks * parts_, cost = 4 * step_ * l_.columns;
    float* parts = reinterpret_cast<float*>(memory + static_cast<size_t>(slots_) * slot_bytes());
    parallel_tasks(tasks, slots_, cost, [&](int64_t number, int64_t task) {
      Slot slot = slot_at(memory, number);
      first(task / parts_, task % parts_, parts_ > 1 ? parts + task * part_floats() : slot.part, slot);
      if (parts_ > 1) return;
      merge(task, slot.part, slot);
      second(task, 0, slot);
    });
    if (parts_ == 1) return;
    parallel_tasks(l_.blocks, slots_, 8 * parts_ * merged_, [&](int64_t number, int64_t b) {
      Slot slot = slot_at(memory, number);
      merge(b, parts + b * parts_ * part_floats(), slot);
    });
    parallel_tasks(tasks, slots_, cost, [&](int64_t number, int64_t task) {
      Slot slot = slot_at(memory, number);
      second(task / parts_, task % parts_, slot);
    });
  }

  // The number of elements, means, sums of squared deviations.
  void moments(const Tensor& x, int64_t b, int64_t p, float* part, Slot& slot) const {
    const int64_t rows = std::min(step_, l_.rows - p * step_), n = rows * l_.columns;
    const float* from = in(x, b, p * step_).data;
    if (!l_.whole()) {
      part[0] = static_cast<float>(rows);
      table().norm.moments({rows, l_.columns, x.pitch, 0}, from, part + 1, part + 1 + l_.columns);
      return;
    }
    // Elements without gaps between them have no columns but those we give them.
    const bool joined = rows == 1 || x.packed();
    const int64_t columns = joined ? kJoined : l_.columns, whole = joined ? n / columns : rows;
    const int64_t pitch = joined ? columns : x.pitch, rest = n - whole * columns;
    float *mean = slot.sums, *square = mean + columns;
    if (whole > 0) table().norm.moments({whole, columns, pitch, 0}, from, mean, square);
    const float* last = from + whole * columns;  // rest > 0 only without gaps
    double total = 0, deviation = 0;
    const auto weight = static_cast<double>(whole);
    for (int64_t j = 0; j < columns && whole > 0; ++j) total += weight * mean[j];
    for (int64_t j = 0; j < rest; ++j) total += last[j];
    const double centre = total / static_cast<double>(n);
    for (int64_t j = 0; j < columns && whole > 0; ++j)
      deviation += square[j] + weight * (mean[j] - centre) * (mean[j] - centre);
    for (int64_t j = 0; j < rest; ++j) deviation += (last[j] - centre) * (last[j] - centre);
    part[0] = static_cast<float>(n);
    part[1] = static_cast<float>(centre);
    part[2] = static_cast<float>(deviation);
  }

  void finish_moments(const OpCall& call, const Statistics& s, int64_t b, const float* parts, Slot& slot) const {
    double *mean = slot.merged, *square = mean + merged_;
    table().norm.merge_moments(parts_, merged_, parts, 0, merged_, mean, square);
    const int64_t count = l_.statistics(), span = merged_ / count;
    for (int64_t i = 0; i < count; ++i, mean += span, square += span) {
      double centre = 0, deviation = 0;
      for (int64_t j = 0; j < span; ++j) centre += mean[j] / static_cast<double>(span);
      for (int64_t j = 0; j < span; ++j)
        deviation += square[j] + static_cast<double>(l_.rows) * (mean[j] - centre) * (mean[j] - centre);
      const double scale = 1 / std::sqrt(deviation / static_cast<double>(l_.counted()) + eps_);
      s.first[b * count + i] = static_cast<float>(centre);
      s.second[b * count + i] = static_cast<float>(scale);
      give_statistics(call, b, i, s.first[b * count + i], s.second[b * count + i]);
    }
  }
  static void give_statistics(const OpCall& call, int64_t b, int64_t i, float mean, float scale) {
    for (size_t k = 1; k < call.outputs.size(); ++k)
      if (const Tensor& y = call.outputs[k]) y.f32()[b * y.pitch + i] = k == 1 ? mean : scale;
  }

  void finish_sums(const Statistics& s, const Statistics& terms, int64_t b, const float* parts, Slot& slot) const {
    double *sum = slot.merged, *dot = sum + merged_;
    std::fill_n(sum, 2 * merged_, 0.0);
    for (int64_t p = 0; p < parts_; ++p, parts += part_floats())
      for (int64_t j = 0; j < 2 * merged_; ++j) sum[j] += parts[j];
    const int64_t count = l_.statistics(), span = merged_ / count;
    const auto n = static_cast<double>(l_.counted());
    for (int64_t i = 0; i < count; ++i) {
      double total = 0, product = 0;
      for (int64_t j = i * span; j < (i + 1) * span; ++j) total += sum[j], product += dot[j];
      const double scale = s.second[b * count + i];
      terms.first[b * count + i] = static_cast<float>(-scale * scale * scale * product / n);
      terms.second[b * count + i] = static_cast<float>(-scale * total / n);
    }
  }

  // A block's values, one for each column unless the block has but one.
  const float* by_columns(const float* values, int64_t b, float* room) const {
    values += b * l_.statistics();
    if (l_.whole() || l_.span == 1) return values;
    for (int64_t j = 0; j < l_.columns; ++j) room[j] = values[j / l_.span];
    return room;
  }

  LayerBlock block_of(const Statistics& s, int64_t b, Slot& slot) const {
    LayerBlock block{};
    block.columns = l_.columns;
    block.mean = by_columns(s.first, b, slot.columns);
    block.scale = by_columns(s.second, b, slot.columns + l_.columns);
    block.statistics_by_column = !l_.whole();
    block.weight_by_column = l_.by_column();
    return block;
  }

  // body(first row) for runs of rows of a part, whose number and weights are set in the block. Rows of one element,
  // without gaps between them, become one row.
  template <class Body>
  void each_run(const OpCall& call, LayerBlock& block, int64_t b, int64_t p, Body&& body) const {
    const int64_t end = std::min((p + 1) * step_, l_.rows);
    const bool channels = l_.weights == NormLayout::Weights::channel, joins = l_.columns == 1 && has_no_gaps(call);
    if (joins) block.weight_by_column = l_.weights != NormLayout::Weights::column && !channels;
    for (int64_t row = p * step_, next; row < end; row = next) {
      next = channels ? std::min(end, (row / l_.run + 1) * l_.run) : end;
      block.rows = joins ? 1 : next - row;
      block.columns = joins ? next - row : l_.columns;
      const Rows weight = weights(tensor_at(call.inputs, kWeight), b, row);
      const Rows bias = weights(tensor_at(call.inputs, kBias), b, row);
      block.weight = {weight.data, weight.pitch}, block.bias = {bias.data, bias.pitch};
      body(row);
    }
  }

  bool has_no_gaps(const OpCall& call) const {
    const auto packed = [](const Tensor& t) { return !t || t.pitch <= 1; };
    bool all = packed(tensor_at(call.outputs, 0)) && packed(tensor_at(call.grad_outputs, 0)) &&
               packed(tensor_at(call.grad_inputs, kX));
    for (const Tensor& t : call.inputs) all = all && packed(t);
    return all;
  }

  // Weights, or their gradients, from a row on.
  Rows weights(const Tensor& t, int64_t b, int64_t row) const {
    if (!t || l_.weights == NormLayout::Weights::column) return {t.f32(), 0};
    if (l_.weights != NormLayout::Weights::channel) return {t.f32() + row * t.pitch, t.pitch};
    const int64_t in_group = l_.rows / l_.run, groups = t.shape[0] / in_group;
    return {t.f32() + b % groups * in_group + row / l_.run, 0};
  }

  void backward_weight(const OpCall& call, const Statistics& s) const {
    const Tensor &x = call.inputs[kX], &dy = call.grad_outputs[0];
    const Tensor dweight = tensor_at(call.grad_inputs, kWeight), dbias = tensor_at(call.grad_inputs, kBias);
    for (const Tensor& t : {dweight, dbias}) {
      if (!t) continue;
      const int64_t c = is_dense(kWeight) ? t.shape.size() : t.c(), pixels = t.shape.size() / c;
      for (int64_t i = 0; i < pixels; ++i) std::fill_n(t.f32() + i * t.pitch, c, 0.0f);
    }
    if (!dweight && !dbias) return;
    // A unit of weights is summed up by one thread, block after block: some columns of some rows, or a channel.
    using Weights = NormLayout::Weights;
    const bool channels = l_.weights == Weights::channel;
    const int64_t columns = l_.by_column() ? std::min(kColumns, l_.columns) : l_.columns;
    const int64_t rows = channels ? l_.run : l_.weights == Weights::column ? l_.rows : std::min(step_, l_.rows);
    const int64_t across = (l_.columns + columns - 1) / columns, down = (l_.rows + rows - 1) / rows;
    const int64_t groups = channels ? x.shape[1] / down : 1;  // blocks of different channels that follow one another
    std::byte* memory = call.workspace + statistics_bytes();
    parallel_tasks(
        groups * down * across, slots_, 4 * l_.blocks / groups * rows * columns, [&](int64_t number, int64_t t) {
          Slot slot = slot_at(memory, number);
          const int64_t column = t % across * columns, row = t / across % down * rows;
          for (int64_t b = t / across / down; b < l_.blocks; b += groups) {
            LayerBlock block = block_of(s, b, slot);
            block.rows = std::min(rows, l_.rows - row), block.columns = std::min(columns, l_.columns - column);
            if (block.statistics_by_column) block.mean += column, block.scale += column;
            const auto moved = [&](const Tensor& gradient) {
              const Rows from = weights(gradient, b, row);
              return Rows{from.data && l_.by_column() ? from.data + column : from.data, from.pitch};
            };
            const ConstRows xs = in(x, b, row), dys = in(dy, b, row);
            table().norm.layer_backward_weight(block, {xs.data + column, xs.pitch}, {dys.data + column, dys.pitch},
                                               moved(dweight), moved(dbias));
          }
        });
  }

  Kind which_;
  std::string_view kind_;
  double eps_;
  int64_t axis_, groups_;
  bool gives_statistics_, training_ = false;
  NormLayout l_;
  int64_t step_ = 1, parts_ = 1;  // rows of a part, parts of a block
  int64_t merged_ = 1;            // numbers that a part's moments, or sums, have of each kind
  int64_t slots_ = 1;
};

std::unique_ptr<Op> make(LayerNorm::Kind which, std::string_view kind, const Attributes& attributes) {
  return std::make_unique<LayerNorm>(which, kind, attributes);
}

}  // namespace

std::unique_ptr<Op> make_layer_norm(const Attributes& attributes) {
  attributes.check_known("layer_norm", {"axis", "eps", "statistics"});
  return make(LayerNorm::Kind::layer, "layer_norm", attributes);
}

std::unique_ptr<Op> make_group_norm(const Attributes& attributes) {
  attributes.check_known("group_norm", {"num_groups", "eps"});
  require(attributes.has("num_groups"), "group_norm", "num_groups is missing");
  return make(LayerNorm::Kind::group, "group_norm", attributes);
}

std::unique_ptr<Op> make_instance_norm(const Attributes& attributes) {
  attributes.check_known("instance_norm", {"eps"});
  return make(LayerNorm::Kind::instance, "instance_norm", attributes);
}

}  // namespace convcore
