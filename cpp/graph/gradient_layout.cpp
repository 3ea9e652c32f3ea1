// SPDX-License-Identifier: BSD-3-Clause
#include "graph/gradient_layout.h"

#include <algorithm>
#include <limits>

#include "ops/concat.h"

namespace convcore {
namespace {

constexpr int kNever = std::numeric_limits<int>::max();

class GradientPlanner {
 public:
  GradientPlanner(const Graph& graph, std::span<const std::unique_ptr<Op>> ops, std::span<const BackwardStep> backward,
                  Layout& layout)
      : graph_(graph), ops_(ops), backward_(backward), layout_(layout) {}

  void plan() {
    layout_.gradients.resize(graph_.values().size());
    layout_.parts.resize(backward_.size());
    layout_.adds.resize(backward_.size());
    layout_.skip_backward.resize(backward_.size());
    if (backward_.empty()) return;
    find_uses();
    const int loss = graph_.outputs()[0];
    take(loss, add_view(layout_, value(loss), Memory::one, 0, 0, 0));
    for (size_t s = 0; s < backward_.size(); ++s) place(static_cast<int>(s));
  }

 private:
  // When a gradient is read last, and when it is first overwritten or added to.
  struct Use {
    int last = kNever, changed = kNever;
  };
  struct Owner {
    View view;
    int64_t channels;
    Use use;
  };

  const Value& value(int v) const { return graph_.values()[v]; }
  const Shape& shape(int v) const { return value(v).spec.shape; }
  bool is_parameter(int v) const { return value(v).kind == ValueKind::parameter; }
  int time(int step) const { return backward_time(graph_, step); }
  const Node& node(int step) const { return graph_.nodes()[backward_[step].node]; }
  const Op& op(int step) const { return *ops_[backward_[step].node]; }

  void find_uses() {
    uses_.resize(graph_.values().size());
    consumed_.resize(graph_.values().size());
    for (int s = 0; s < static_cast<int>(backward_.size()); ++s) {
      const bool slices = slices_gradient(graph_, backward_[s]), spends = slices || op(s).spends_grad_outputs();
      for (int v : node(s).outputs) {
        uses_[v].last = slices ? kNever : time(s);  // the slices live on
        if (spends) uses_[v].changed = std::min(uses_[v].changed, time(s));
        consumed_[v] = time(s);
      }
      for (const GradientPart& part : backward_[s].parts)
        if (!part.first) uses_[part.value].changed = std::min(uses_[part.value].changed, time(s));
    }
  }

  // From now on v's gradient stands at `view`.
  void take(int v, const View& view) {
    layout_.gradients[v] = view;
    if (is_parameter(v)) return;
    int& last = layout_.regions[view.region].last;
    last = std::max(last, consumed_[v]);
    owners_.push_back({view, channels_of(shape(v)), uses_[v]});
  }

  void place(int s) {
    const BackwardStep& step = backward_[s];
    std::vector<View>& views = layout_.parts[s];
    views.resize(step.parts.size());
    layout_.skip_backward[s] = slices_gradient(graph_, step);
    bool kept = layout_.skip_backward[s];  // the output's gradient is still needed after this step
    const auto put = [&](size_t i, const View& view) {
      views[i] = view;
      if (step.parts[i].first) take(step.parts[i].value, view);
    };
    if (kept) forget(layout_.gradients[node(s).outputs[0]]);
    for (size_t i = 0; i < views.size(); ++i) {
      const GradientPart& part = step.parts[i];
      if (layout_.skip_backward[s]) put(i, slice(node(s), part.slot));
      if (!passes(s, part)) continue;
      kept = true;
      put(i, layout_.gradients[node(s).outputs[0]]);
    }
    for (size_t i = 0; i < views.size(); ++i) {
      const GradientPart& part = step.parts[i];
      if (views[i].region >= 0) continue;
      if (!part.first && op(s).can_add_gradient(part.slot)) {
        layout_.adds[s] |= uint32_t{1} << part.slot;
        put(i, layout_.gradients[part.value]);
      } else if (part.first && is_parameter(part.value)) {
        put(i, add_view(layout_, value(part.value), Memory::gradient, parameter_index(part.value), 0, 0));
      } else if (!kept && runs_in_place(s, part)) {
        kept = true;
        put(i, in_place(s, part.value));
      } else if (replaces_input(s, part)) {
        put(i, layout_.values[part.value]);
      } else {
        put(i, add_view(layout_, value(part.value), Memory::arena, 0, time(s), time(s)));
      }
    }
  }

  int parameter_index(int v) const {
    int index = 0;
    for (int u = 0; u < v; ++u) index += is_parameter(u);
    return index;
  }

  // A concat's gradient, which it shares with none, is now its slices.
  void forget(const View& whole) {
    std::erase_if(owners_, [&](const Owner& o) {
      return o.use.last == kNever && o.view.region == whole.region && o.view.offset == whole.offset;
    });
  }

  View slice(const Node& concat, int slot) const {
    View view = layout_.gradients[concat.outputs[0]];
    for (int i = 0; i < slot; ++i) view.offset += channels_of(shape(concat.inputs[i]));
    return view;
  }

  bool overlap(const Owner& owner, const View& view, int64_t channels) const {
    if (owner.view.region != view.region) return false;
    return owner.view.pitch != view.pitch ||
           (owner.view.offset < view.offset + channels && view.offset < owner.view.offset + owner.channels);
  }

  // Does body hold for all other gradients in this memory that are read at `from` or later?
  template <class Body>
  bool all_owners(const View& view, int64_t channels, int from, Body&& body) const {
    return std::all_of(owners_.begin(), owners_.end(), [&](const Owner& owner) {
      return owner.use.last < from || !overlap(owner, view, channels) || body(owner);
    });
  }

  // The part is the output's gradient, and may stand in its memory.
  bool passes(int s, const GradientPart& part) const {
    const int y = node(s).outputs[0];
    const View view = layout_.gradients[y];
    if (!op(s).passes_gradient(part.slot) || view.region < 0 || !(shape(part.value) == shape(y))) return false;
    if (!part.first) return true;  // it is added from there, at once
    const Use& use = uses_[part.value];
    return !is_parameter(part.value) && layout_.regions[view.region].memory == Memory::arena &&
           all_owners(view, channels_of(shape(y)), time(s) + 1, [&](const Owner& other) {
             return use.changed > other.use.last && other.use.changed > use.last;
           });
  }

  // The part may overwrite the output's gradient, which nobody else reads from now on.
  bool runs_in_place(int s, const GradientPart& part) const {
    const int x = part.value, y = node(s).outputs[0];
    const View view = layout_.gradients[y];
    if (!op(s).can_run_in_place(part.slot) || is_parameter(x) || node(s).outputs.size() != 1) return false;
    return layout_.regions[view.region].memory == Memory::arena && shape(x).size() == shape(y).size() &&
           (same_pixels(shape(x), shape(y)) || view.pitch == channels_of(shape(y))) &&
           all_owners(view, channels_of(shape(y)), time(s) + 1, [](const Owner&) { return false; });
  }

  View in_place(int s, int x) const {
    const int y = node(s).outputs[0];
    View view = layout_.gradients[y];
    if (!same_pixels(shape(x), shape(y))) view.pitch = channels_of(shape(x));
    return view;
  }

  // The part may overwrite its value, which alone has its memory, and which nobody reads from now on.
  bool replaces_input(int s, const GradientPart& part) const {
    const View view = layout_.values[part.value];
    if (!part.first || !op(s).can_replace_input(part.slot) || view.region < 0) return false;
    const Region& region = layout_.regions[view.region];
    return region.memory == Memory::arena && !region.mixed && region.last == time(s) &&
           region.channels == channels_of(shape(part.value)) && view.pitch == region.channels;
  }

  const Graph& graph_;
  std::span<const std::unique_ptr<Op>> ops_;
  std::span<const BackwardStep> backward_;
  Layout& layout_;
  std::vector<Use> uses_;      // by value
  std::vector<int> consumed_;  // by value: the step that reads its gradient
  std::vector<Owner> owners_;
};

}  // namespace

void place_gradients(const Graph& graph, std::span<const std::unique_ptr<Op>> ops,
                     std::span<const BackwardStep> backward, Layout& layout) {
  GradientPlanner(graph, ops, backward, layout).plan();
}

bool slices_gradient(const Graph& graph, const BackwardStep& step) {
  const Node& node = graph.nodes()[step.node];
  return node.kind == "concat" &&
         joins_channels(node.attributes, graph.values()[node.outputs[0]].spec.shape.rank()) &&
         std::all_of(step.parts.begin(), step.parts.end(), [&](const GradientPart& p) {
           return graph.values()[p.value].kind == ValueKind::activation;
         });
}

}  // namespace convcore
