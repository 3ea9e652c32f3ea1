// SPDX-License-Identifier: BSD-3-Clause
#include "graph/steps.h"

#include <cstring>

#include "base/parallel.h"
#include "kernels/table.h"

namespace convcore {
namespace {

// Tensors grow while the calls are built, so a span is first only a place in the list.
struct Place {
  size_t begin, count;
};

struct Places {
  Place inputs, outputs, grad_outputs, grad_inputs;
};

std::span<const Tensor> span_of(const std::vector<Tensor>& tensors, Place p) {
  return {tensors.data() + p.begin, p.count};
}

bool packs_computed_values(const Graph& graph, const Layout& layout, const Node& node, const Op& op) {
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i] < 0 || !op.is_dense(static_cast<int>(i))) continue;
    const Value& value = graph.values()[node.inputs[i]];
    if (value.kind == ValueKind::input || (value.kind == ValueKind::activation && !layout.once[value.producer]))
      return true;
  }
  return false;
}

bool takes_given_labels(const Graph& graph, const Node& node) {
  bool any = false;
  for (const int v : node.inputs) {
    if (v < 0 || graph.values()[v].spec.dtype != DType::i64) continue;
    if (graph.values()[v].kind != ValueKind::input) return false;
    any = true;
  }
  return any;
}

// Seen as runs of `length` elements: one run when there are no gaps.
struct Runs {
  int64_t count, length;
};

Runs runs_of(const Tensor& x, const Tensor& y) {
  const int64_t channels = channels_of(x.shape), pixels = pixels_of(x.shape);
  if (x.pitch == channels && y.pitch == channels) return {1, pixels * channels};
  return {pixels, channels};
}

}  // namespace

int Steps::add(const TensorSpec& spec, const View& view) {
  const int t = static_cast<int>(tensors.size());
  tensors.push_back({nullptr, spec.shape, spec.dtype, view.pitch});
  if (view.region >= 0) uses_[view.region].push_back({t, view.offset * size_of(spec.dtype)});
  return t;
}

int Steps::add_value(const Graph& graph, const std::vector<View>& views, int value) {
  return value < 0 ? add({}, {}) : add(graph.values()[value].spec, views[value]);
}

Steps::Steps(const Graph& graph, std::span<const std::unique_ptr<Op>> ops, std::span<const BackwardStep> backward_plan,
             const Layout& layout)
    : uses_(layout.regions.size()) {
  std::vector<Places> places(graph.nodes().size());
  const auto add_all = [&](const std::vector<View>& views, const std::vector<int>& values) {
    const size_t begin = tensors.size();
    for (int v : values) add_value(graph, views, v);
    return Place{begin, values.size()};
  };
  for (size_t n = 0; n < places.size(); ++n) {
    const Node& node = graph.nodes()[n];
    places[n].inputs = add_all(layout.values, node.inputs);
    places[n].outputs = add_all(layout.values, node.outputs);
    forward.push_back({ops[n].get(), {}});
    forward[n].packs = ops[n]->needs().packed > 0;
    forward[n].always_packs = packs_computed_values(graph, layout, node, *ops[n]);
    forward[n].given_labels = takes_given_labels(graph, node);
    forward[n].once = layout.once[n];
    forward[n].skip = layout.skip_forward[n];
  }
  for (size_t s = 0; s < backward_plan.size(); ++s) {
    const BackwardStep& step = backward_plan[s];
    const Node& node = graph.nodes()[step.node];
    Places& p = places[step.node];
    p.grad_outputs = add_all(layout.gradients, node.outputs);
    std::vector<View> wanted(node.inputs.size());
    for (size_t i = 0; i < step.parts.size(); ++i) wanted[step.parts[i].slot] = layout.parts[s][i];
    p.grad_inputs = {tensors.size(), node.inputs.size()};
    for (size_t i = 0; i < wanted.size(); ++i)
      add(node.inputs[i] < 0 ? TensorSpec{} : graph.values()[node.inputs[i]].spec, wanted[i]);
    backward.push_back({step.node, ops[step.node].get(), {}, layout.skip_backward[s], {}});
    for (const GradientPart& part : step.parts)
      if (!part.first && !(layout.adds[s] >> part.slot & 1))
        backward[s].additions.push_back(
            {static_cast<int>(p.grad_inputs.begin) + part.slot, add_value(graph, layout.gradients, part.value)});
  }
  for (const auto& [value, view] : layout.copies)
    copies.push_back({add_value(graph, layout.values, value), add(graph.values()[value].spec, view)});

  for (size_t n = 0; n < places.size(); ++n) {
    forward[n].call.inputs = span_of(tensors, places[n].inputs);
    forward[n].call.outputs = span_of(tensors, places[n].outputs);
  }
  for (size_t s = 0; s < backward.size(); ++s) {
    BackwardCall& step = backward[s];
    const Places& p = places[step.node];
    step.call = forward[step.node].call;
    step.call.adds = layout.adds[s];
    step.call.grad_outputs = span_of(tensors, p.grad_outputs);
    step.call.grad_inputs = span_of(tensors, p.grad_inputs);
  }
}

void Steps::set_region(int region, void* memory, int64_t pitch) {
  for (const Use& use : uses_[region]) {
    tensors[use.tensor].data = static_cast<std::byte*>(memory) + use.bytes;
    if (pitch > 0) tensors[use.tensor].pitch = pitch;
  }
}

void add_pixels(const Tensor& x, const Tensor& y) {
  const Runs runs = runs_of(x, y);
  const auto add = table().arithmetic.of(Binary::add);
  const auto add_block = [&](int64_t rows, int64_t columns, const float* from, float* to) {
    add(rows, columns, {to, y.pitch}, {from, x.pitch}, {to, y.pitch});
  };
  if (runs.count == 1) {
    parallel_for(runs.length, 4096, 1,
                 [&](int64_t begin, int64_t end) { add_block(1, end - begin, x.f32() + begin, y.f32() + begin); });
  } else {
    parallel_for(runs.count, 64, runs.length, [&](int64_t begin, int64_t end) {
      add_block(end - begin, runs.length, x.f32() + begin * x.pitch, y.f32() + begin * y.pitch);
    });
  }
}

void copy_pixels(const Tensor& x, const Tensor& y) {
  const Runs runs = runs_of(x, y);
  const int64_t item = size_of(x.dtype);
  const auto* from = static_cast<const std::byte*>(x.data);
  auto* to = static_cast<std::byte*>(y.data);
  parallel_for(runs.count, 64, runs.length * item, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      std::memcpy(to + i * y.pitch * item, from + i * x.pitch * item, static_cast<size_t>(runs.length * item));
  });
}

}  // namespace convcore
