// SPDX-License-Identifier: BSD-3-Clause
#include "graph/layout.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "graph/gradient_layout.h"
#include "ops/concat.h"

namespace convcore {
namespace {

// Scratch of up to this many bytes is one region, which stays in the cache. What is larger lives for one step, where at
// others activations are.
constexpr size_t kSharedScratch = size_t{1} << 20;

class Planner {
 public:
  Planner(const Graph& graph, std::span<const std::unique_ptr<Op>> ops, std::span<const BackwardStep> backward)
      : graph_(graph), ops_(ops), backward_(backward), nodes_(static_cast<int>(graph.nodes().size())) {}

  Layout plan() {
    layout_.values.resize(graph_.values().size());
    layout_.skip_forward.resize(nodes_);
    in_place_.resize(nodes_);
    find_constants();
    find_last_reads();
    place_given();
    place_outputs();
    for (int n = 0; n < nodes_; ++n) place_activations(n);
    for (int n = nodes_ - 1; n >= 0; --n)
      if (graph_.nodes()[n].kind == "concat") fold_concat(n);
    if (backward_.empty())
      for (int n = 0; n < nodes_; ++n) fold_part(n);
    place_gradients(graph_, ops_, backward_, layout_);
    place_scratch();
    return std::move(layout_);
  }

 private:
  const Value& value(int v) const { return graph_.values()[v]; }
  const Shape& shape(int v) const { return value(v).spec.shape; }
  Region& region_of(const View& view) { return layout_.regions[view.region]; }

  int add_region(size_t bytes, int first, int last, bool scratch) {
    Region region{Memory::arena, 0, bytes, first, last};
    region.scratch = scratch;
    layout_.regions.push_back(region);
    return static_cast<int>(layout_.regions.size()) - 1;
  }

  bool is_constant(int v) const {
    if (v < 0 || value(v).kind == ValueKind::parameter || value(v).kind == ValueKind::buffer) return true;
    return value(v).kind == ValueKind::activation && layout_.once[value(v).producer];
  }
  // In inference; but for outputs, whose memory is the caller's, and what a concatenation with computed values reads:
  // its slices are written where the whole stands, at every run.
  void find_constants() {
    std::vector<bool> sliced(nodes_);
    for (bool again : {true, false}) {
      layout_.once.assign(nodes_, false);
      for (int n = 0; n < nodes_ && !graph_.training(); ++n) {
        const Node& node = graph_.nodes()[n];
        const auto is_output = [&](int v) { return std::ranges::count(graph_.outputs(), v) > 0; };
        layout_.once[n] = !sliced[n] && !node.inputs.empty() && ops_[n]->needs().packed == 0 &&
                          std::ranges::all_of(node.inputs, [&](int v) { return is_constant(v); }) &&
                          std::ranges::none_of(node.outputs, is_output);
        if (!again || layout_.once[n] || node.kind != "concat") continue;
        for (int v : node.inputs)
          if (value(v).producer >= 0) sliced[value(v).producer] = true;
      }
    }
  }
  // Read by what runs every time.
  bool is_kept(int v) const {
    for (int n = value(v).producer + 1; n < nodes_; ++n)
      if (!layout_.once[n] && std::ranges::count(graph_.nodes()[n].inputs, v) > 0) return true;
    return false;
  }

  void find_last_reads() {
    last_read_.assign(graph_.values().size(), -1);
    const auto read = [&](int v, int time) {
      if (v >= 0) last_read_[v] = std::max(last_read_[v], time);
    };
    for (int n = 0; n < nodes_; ++n)
      for (int v : graph_.nodes()[n].inputs) read(v, n);
    for (int v : graph_.outputs()) read(v, nodes_);
    for (int n = 0; n < nodes_; ++n)
      for (int v : graph_.nodes()[n].outputs)
        if (layout_.once[n] && is_kept(v)) read(v, nodes_);
    for (size_t s = 0; s < backward_.size(); ++s) {
      if (slices_gradient(graph_, backward_[s])) continue;
      const int n = backward_[s].node, time = backward_time(graph_, static_cast<int>(s));
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
      for (int v : graph_.of_kind(kind)) layout_.values[v] = add_view(layout_, value(v), memory, index++, 0, 0);
    }
  }

  // A computed value goes straight to the caller; a second listing of it, and values that are given, are copied.
  void place_outputs() {
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      const int v = graph_.outputs()[i];
      require(!value(v).dense || layouts_agree(shape(v)), "program", "output '", value(v).name, "' of shape ", shape(v),
              " is dense memory, not an image batch; only computed values can be outputs");
      const View view = add_view(layout_, value(v), Memory::output, static_cast<int>(i), 0, 0);
      if (layout_.values[v].region < 0)
        layout_.values[v] = view;
      else
        layout_.copies.push_back({v, view});
    }
  }

  // The input whose memory output 0 takes: an activation that this node is the last to read, and reads once; or -1.
  int overwritten_input(int n) const {
    const Node& node = graph_.nodes()[n];
    const Value& y = value(node.outputs[0]);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const int x = node.inputs[i];
      if (x >= 0 && ops_[n]->can_run_in_place(static_cast<int>(i)) && value(x).kind == ValueKind::activation &&
          last_read_[x] == n && std::count(node.inputs.begin(), node.inputs.end(), x) == 1 &&
          value(x).spec.dtype == y.spec.dtype && shape(x).size() == y.spec.shape.size())
        return x;
    }
    return -1;
  }

  void place_activations(int n) {
    const Node& node = graph_.nodes()[n];
    const int x = overwritten_input(n);
    for (int v : node.outputs) {
      View& view = layout_.values[v];
      const int last = std::max(last_read_[v], n);
      if (x < 0 || v != node.outputs[0]) {
        if (view.region < 0) view = add_view(layout_, value(v), Memory::arena, 0, n, last);
        if (layout_.once[n] && last == nodes_) region_of(view).first = 0;
        continue;
      }
      in_place_[n] = true;
      Region& shared = region_of(layout_.values[x]);
      shared.mixed |= !same_pixels(shape(x), shape(v));
      shared.last = std::max(shared.last, last);
      if (layout_.once[n] && last == nodes_) shared.first = 0;
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
    if (is_constant(x)) return false;
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
    if (!joins_channels(node.attributes, shape(y).rank())) return;
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

  // An output that is a part of its node's input stands there, if it shares its region with none, and nothing overwrites
  // that of the input before it was last read. Ops that take parameters read them without gaps between pixels.
  void fold_part(int n) {
    const Node& node = graph_.nodes()[n];
    const int x = node.inputs.empty() ? -1 : node.inputs[0], y = node.outputs[0];
    if (x < 0 || value(x).kind != ValueKind::activation || layout_.skip_forward[n]) return;
    const View from = layout_.values[x];
    const int64_t offset = ops_[n]->offset_in_input(from.pitch);
    const int own = layout_.values[y].region;
    const Memory memory = region_of(from).memory;
    const auto lives_there = [&](const View& view) { return view.region == own; };
    if (offset < 0 || layout_.regions[own].memory != Memory::arena || is_read_as_dense(y) ||
        std::count_if(layout_.values.begin(), layout_.values.end(), lives_there) > 1 ||
        (memory != Memory::arena && memory != Memory::output))
      return;
    const int last = layout_.regions[own].last;
    if (overwritten_after(from.region, n) <= last) return;
    layout_.values[y] = {from.region, from.offset + offset, from.pitch};
    region_of(from).last = std::max(region_of(from).last, last);
    layout_.regions[own].memory = Memory::none;
    layout_.skip_forward[n] = true;
  }

  bool is_read_as_dense(int v) const {
    for (int n = 0; n < nodes_; ++n) {
      const std::vector<int>& inputs = graph_.nodes()[n].inputs;
      for (size_t i = 0; i < inputs.size(); ++i)
        if (inputs[i] == v && ops_[n]->is_dense(static_cast<int>(i))) return true;
    }
    return false;
  }

  void place_scratch() {
    const int steps = static_cast<int>(backward_.size()), end = backward_time(graph_, steps);
    std::vector<int> backward_of(nodes_, -1);
    for (int s = 0; s < steps; ++s) backward_of[backward_[s].node] = backward_time(graph_, s);
    layout_.saved.assign(nodes_, -1);
    layout_.forward_scratch.assign(nodes_, -1);
    layout_.backward_scratch.assign(steps, -1);
    size_t shared = 0;
    const auto place = [&](size_t bytes, int time, int& region) {
      if (bytes > kSharedScratch)
        region = add_region(bytes, time, time, true);
      else
        shared = std::max(shared, bytes);
    };
    for (int n = 0; n < nodes_; ++n) {
      const OpNeeds needs = ops_[n]->needs();
      if (needs.saved) layout_.saved[n] = add_region(needs.saved, n, std::max(n, backward_of[n]), false);
      place(needs.forward, n, layout_.forward_scratch[n]);
    }
    for (int s = 0; s < steps; ++s)
      place(ops_[backward_[s].node]->needs().backward, backward_time(graph_, s), layout_.backward_scratch[s]);
    if (shared == 0) return;
    const int region = add_region(shared, 0, end, true);
    for (auto* scratch : {&layout_.forward_scratch, &layout_.backward_scratch})
      for (int& r : *scratch)
        if (r < 0) r = region;
  }

  const Graph& graph_;
  std::span<const std::unique_ptr<Op>> ops_;
  std::span<const BackwardStep> backward_;
  int nodes_;
  std::vector<int> last_read_;  // by value
  std::vector<bool> in_place_;  // by node
  Layout layout_;
};

}  // namespace

Layout plan_layout(const Graph& graph, std::span<const std::unique_ptr<Op>> ops,
                   std::span<const BackwardStep> backward) {
  return Planner(graph, ops, backward).plan();
}

int backward_time(const Graph& graph, int step) { return static_cast<int>(graph.nodes().size()) + 1 + step; }

bool same_pixels(const Shape& a, const Shape& b) {
  return channels_of(a) == channels_of(b) && pixels_of(a) == pixels_of(b);
}

View add_view(Layout& layout, const Value& value, Memory memory, int index, int first, int last) {
  const Shape& shape = value.spec.shape;
  const int64_t channels = channels_of(shape);
  const size_t bytes = static_cast<size_t>(shape.size() * size_of(value.spec.dtype));
  layout.regions.push_back({memory, index, bytes, first, last, channels, pixels_of(shape)});
  return {static_cast<int>(layout.regions.size()) - 1, 0, channels};
}

}  // namespace convcore
