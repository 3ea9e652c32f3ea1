// SPDX-License-Identifier: BSD-3-Clause
#include "graph/layout.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace convcore {
namespace {

class Planner {
 public:
  Planner(const Graph& graph, std::span<const std::unique_ptr<Op>> ops, std::span<const BackwardStep> backward)
      : graph_(graph), ops_(ops), backward_(backward), nodes_(static_cast<int>(graph.nodes().size())) {}

  Layout plan() {
    layout_.values.resize(graph_.values().size());
    layout_.gradients.resize(graph_.values().size());
    layout_.skip_forward.resize(nodes_);
    in_place_.resize(nodes_);
    find_last_reads();
    place_given();
    place_outputs();
    for (int n = 0; n < nodes_; ++n) place_activations(n);
    for (int n = nodes_ - 1; n >= 0; --n)
      if (graph_.nodes()[n].kind == "concat") fold_concat(n);
    place_gradients();
    place_scratch();
    return std::move(layout_);
  }

 private:
  const Value& value(int v) const { return graph_.values()[v]; }
  const Shape& shape(int v) const { return value(v).spec.shape; }
  Region& region_of(const View& view) { return layout_.regions[view.region]; }
  int backward_time(int step) const { return nodes_ + 1 + step; }

  int add_region(Region region) {
    layout_.regions.push_back(region);
    return static_cast<int>(layout_.regions.size()) - 1;
  }

  // A region of its own for a value or its gradient.
  View add_view(int v, Memory memory, int index, int first, int last) {
    const TensorSpec& spec = value(v).spec;
    const int64_t channels = channels_of(spec.shape);
    const size_t bytes = static_cast<size_t>(spec.shape.size() * size_of(spec.dtype));
    return {add_region({memory, index, bytes, first, last, channels, pixels_of(spec.shape)}), 0, channels};
  }

  void find_last_reads() {
    last_read_.assign(graph_.values().size(), -1);
    const auto read = [&](int v, int time) {
      if (v >= 0) last_read_[v] = std::max(last_read_[v], time);
    };
    for (int n = 0; n < nodes_; ++n)
      for (int v : graph_.nodes()[n].inputs) read(v, n);
    for (int v : graph_.outputs()) read(v, nodes_);
    for (size_t s = 0; s < backward_.size(); ++s) {
      if (can_slice_gradient(backward_[s])) continue;
      const int n = backward_[s].node, time = backward_time(static_cast<int>(s));
      const std::vector<int>& inputs = graph_.nodes()[n].inputs;
      for (size_t i = 0; i < inputs.size(); ++i)
        if (ops_[n]->backward_reads_input(static_cast<int>(i))) read(inputs[i], time);
      if (ops_[n]->backward_reads_outputs())
        for (int v : graph_.nodes()[n].outputs) read(v, time);
    }
  }

  void place_given() {
    const std::pair<ValueKind, Memory> kinds[] = {{ValueKind::input, Memory::input},
                                                  {ValueKind::parameter, Memory::parameter},
                                                  {ValueKind::buffer, Memory::buffer}};
    for (auto [kind, memory] : kinds) {
      int index = 0;
      for (int v : graph_.of_kind(kind)) layout_.values[v] = add_view(v, memory, index++, 0, 0);
    }
  }

  // A computed value goes straight to the caller; a second listing of it, and values that are given, are copied.
  void place_outputs() {
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      const int v = graph_.outputs()[i];
      require(!value(v).dense || layouts_agree(shape(v)), "program", "output '", value(v).name, "' of shape ", shape(v),
              " is dense memory, not an image batch; only computed values can be outputs");
      const View view = add_view(v, Memory::output, static_cast<int>(i), 0, 0);
      if (layout_.values[v].region < 0)
        layout_.values[v] = view;
      else
        layout_.copies.push_back({v, view});
    }
  }

  bool same_pixels(int a, int b) const {
    return channels_of(shape(a)) == channels_of(shape(b)) && pixels_of(shape(a)) == pixels_of(shape(b));
  }

  // The output takes the input's memory if this node's first input is the last thing that reads it.
  bool forward_in_place(int n) const {
    const Node& node = graph_.nodes()[n];
    if (!ops_[n]->can_run_in_place() || node.inputs.empty() || node.outputs.size() != 1) return false;
    const int x = node.inputs[0], y = node.outputs[0];
    return x >= 0 && value(x).kind == ValueKind::activation && last_read_[x] == n &&
           std::count(node.inputs.begin(), node.inputs.end(), x) == 1 && value(x).spec.dtype == value(y).spec.dtype &&
           shape(x).size() == shape(y).size();
  }

  void place_activations(int n) {
    const Node& node = graph_.nodes()[n];
    for (int v : node.outputs) {
      View& view = layout_.values[v];
      const int last = std::max(last_read_[v], n);
      if (!forward_in_place(n)) {
        if (view.region < 0) view = add_view(v, Memory::arena, 0, n, last);
        continue;
      }
      in_place_[n] = true;
      const int x = node.inputs[0];
      Region& shared = region_of(layout_.values[x]);
      shared.mixed |= !same_pixels(x, v);
      shared.last = std::max(shared.last, last);
      if (view.region >= 0) {  // an output of the graph: all that ran in place before it moves to the caller's memory
        shared.memory = Memory::output;
        shared.index = region_of(view).index;
      }
      view = {layout_.values[x].region, 0, channels_of(shape(v))};
    }
  }

  // The first step after n at which an op that runs in place overwrites something in this region.
  int overwritten_after(int region, int n) const {
    int time = std::numeric_limits<int>::max();
    for (size_t v = 0; v < layout_.values.size(); ++v) {
      const int producer = value(static_cast<int>(v)).producer;
      if (layout_.values[v].region == region && producer > n && in_place_[producer]) time = std::min(time, producer);
    }
    return time;
  }

  // x may be a slice of y, the concat of node n, if its region is its own, nothing overwrites x there and nothing reads
  // x after y is overwritten.
  bool is_sliceable(int x, int y, int n) {
    if (x < 0 || value(x).kind != ValueKind::activation || value(x).spec.dtype != value(y).spec.dtype) return false;
    const View view = layout_.values[x];
    const Region& region = region_of(view);
    return region.memory == Memory::arena && !region.mixed && view.pitch == region.channels &&
           region.channels == channels_of(shape(x)) &&
           overwritten_after(view.region, value(x).producer) == std::numeric_limits<int>::max() &&
           region.last < overwritten_after(layout_.values[y].region, n);
  }

  // The producers of a concat's inputs write straight into their channel slices of its output.
  void fold_concat(int n) {
    const Node& node = graph_.nodes()[n];
    const int y = node.outputs[0];
    std::vector<int> regions;
    for (int x : node.inputs) {
      if (!is_sliceable(x, y, n)) return;
      regions.push_back(layout_.values[x].region);
    }
    std::sort(regions.begin(), regions.end());
    if (std::adjacent_find(regions.begin(), regions.end()) != regions.end()) return;

    const View whole = layout_.values[y];
    int64_t offset = whole.offset;
    for (int x : node.inputs) {
      const int old = layout_.values[x].region;
      for (View& view : layout_.values)
        if (view.region == old) view = {whole.region, offset, whole.pitch};
      Region& region = region_of(whole);
      region.first = std::min(region.first, layout_.regions[old].first);
      region.last = std::max(region.last, layout_.regions[old].last);
      layout_.regions[old].memory = Memory::none;
      offset += channels_of(shape(x));
    }
    layout_.skip_forward[n] = true;
  }

  // The step that consumes v's gradient.
  int consumed_at(int v) const { return backward_time(step_of_[value(v).producer]); }

  void place_gradients() {
    step_of_.assign(nodes_, -1);
    for (size_t s = 0; s < backward_.size(); ++s) step_of_[backward_[s].node] = static_cast<int>(s);
    layout_.parts.resize(backward_.size());
    layout_.skip_backward.resize(backward_.size());
    if (graph_.training()) layout_.gradients[graph_.outputs()[0]] = add_view(graph_.outputs()[0], Memory::one, 0, 0, 0);
    for (size_t s = 0; s < backward_.size(); ++s) {
      const BackwardStep& step = backward_[s];
      layout_.skip_backward[s] = can_slice_gradient(step);
      for (const GradientPart& part : step.parts) {
        const bool is_parameter = value(part.value).kind == ValueKind::parameter;
        const int time = backward_time(static_cast<int>(s));
        const int last = part.first && !is_parameter ? consumed_at(part.value) : time;
        View view;
        if (layout_.skip_backward[s])
          view = gradient_slice(step.node, part.slot);
        else if (part.first && is_parameter)
          view = add_view(part.value, Memory::gradient, parameter_index(part.value), 0, 0);
        else if (backward_in_place(step))
          view = gradient_in_place(step.node, part.value);
        else
          view = add_view(part.value, Memory::arena, 0, time, last);
        region_of(view).last = std::max(region_of(view).last, last);
        if (part.first) layout_.gradients[part.value] = view;
        layout_.parts[s].push_back(view);
      }
    }
  }

  int parameter_index(int v) const {
    int index = 0;
    for (int u = 0; u < v; ++u) index += value(u).kind == ValueKind::parameter;
    return index;
  }

  // The gradients of a concat's inputs are slices of its output's gradient, which nobody else needs any more.
  bool can_slice_gradient(const BackwardStep& step) const {
    return graph_.nodes()[step.node].kind == "concat" &&
           std::all_of(step.parts.begin(), step.parts.end(),
                       [&](const GradientPart& p) { return value(p.value).kind == ValueKind::activation; });
  }

  View gradient_slice(int n, int slot) const {
    const Node& node = graph_.nodes()[n];
    View view = layout_.gradients[node.outputs[0]];
    for (int i = 0; i < slot; ++i) view.offset += channels_of(shape(node.inputs[i]));
    return view;
  }

  // The only wanted gradient, that of input 0, may take the memory of the output's gradient, which is spent here.
  bool backward_in_place(const BackwardStep& step) {
    const Node& node = graph_.nodes()[step.node];
    if (!ops_[step.node]->can_run_in_place() || node.outputs.size() != 1) return false;
    if (step.parts.size() != 1 || step.parts[0].slot != 0) return false;
    const int x = node.inputs[0], y = node.outputs[0];
    const View& view = layout_.gradients[y];
    return region_of(view).memory == Memory::arena && shape(x).size() == shape(y).size() &&
           (same_pixels(x, y) || view.pitch == channels_of(shape(y)));
  }

  View gradient_in_place(int n, int x) const {
    const int y = graph_.nodes()[n].outputs[0];
    View view = layout_.gradients[y];
    if (!same_pixels(x, y)) view.pitch = channels_of(shape(x));
    return view;
  }

  void place_scratch() {
    const int end = backward_time(static_cast<int>(backward_.size()));
    layout_.saved.assign(nodes_, -1);
    size_t workspace = 0;
    for (int n = 0; n < nodes_; ++n) {
      const OpNeeds needs = ops_[n]->needs();
      const int step = step_of_[n];
      workspace = std::max({workspace, needs.forward, step < 0 ? 0 : needs.backward});
      if (needs.saved)
        layout_.saved[n] = add_region({Memory::arena, 0, needs.saved, n, step < 0 ? n : backward_time(step)});
    }
    if (workspace) layout_.workspace = add_region({Memory::arena, 0, workspace, 0, end});
  }

  const Graph& graph_;
  std::span<const std::unique_ptr<Op>> ops_;
  std::span<const BackwardStep> backward_;
  int nodes_;
  std::vector<int> last_read_;  // by value
  std::vector<bool> in_place_;  // by node
  std::vector<int> step_of_;    // by node: its backward step, or -1
  Layout layout_;
};

}  // namespace

Layout plan_layout(const Graph& graph, std::span<const std::unique_ptr<Op>> ops,
                   std::span<const BackwardStep> backward) {
  return Planner(graph, ops, backward).plan();
}

}  // namespace convcore
