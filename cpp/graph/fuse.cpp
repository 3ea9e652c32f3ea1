// SPDX-License-Identifier: BSD-3-Clause
#include "graph/fuse.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "base/cpu.h"
#include "ops/activation.h"

namespace convcore {
namespace {

// inputs
constexpr size_t kBias = 2;  // of a convolution
constexpr size_t kConvolutionResidual = 7, kConvolutionScale = 8, kConvolutionInScale = 10, kConvolutionInShift = 11;
constexpr size_t kNormResidual = 5, kNormStatistics = 6, kNormScale = 7;

bool is_convolution(const Node& node) {
  return node.kind == "conv2d" || node.kind == "conv_transpose2d" || node.kind == "linear";
}
bool is_norm(const Node& node) { return node.kind == "batch_norm"; }

void set_input(Node& node, size_t slot, int value) {
  if (node.inputs.size() <= slot) node.inputs.resize(slot + 1, -1);
  node.inputs[slot] = value;
}

bool has_input(const Node& node, size_t slot) { return node.inputs.size() > slot && node.inputs[slot] >= 0; }
size_t residual_slot(const Node& node) { return is_convolution(node) ? kConvolutionResidual : kNormResidual; }
size_t scale_slot(const Node& node) { return is_convolution(node) ? kConvolutionScale : kNormScale; }
size_t shift_slot(const Node& node) { return scale_slot(node) + 1; }

bool takes_activation(const Node& node) {
  return (is_convolution(node) || is_norm(node)) && !node.attributes.has("activation");
}
bool takes_residual(const Node& node) { return takes_activation(node) && !has_input(node, residual_slot(node)); }
bool takes_shift(const Node& node) { return takes_residual(node) && !has_input(node, shift_slot(node)); }
bool takes_scale(const Node& node) { return takes_shift(node) && !has_input(node, scale_slot(node)); }

bool is_bound(const Value& value) { return value.kind == ValueKind::parameter || value.kind == ValueKind::buffer; }

class Fuser {
 public:
  explicit Fuser(const Graph& graph)
      : graph_(graph), kept_(graph.nodes().begin(), graph.nodes().end()), origin_(kept_.size()),
        readers_(graph.values().size()) {
    std::iota(origin_.begin(), origin_.end(), 0);
    for (const Node& node : graph.nodes())
      for (int v : node.inputs)
        if (v >= 0) ++readers_[v];
    for (int v : graph.outputs()) ++readers_[v];
  }

  Fused run() {
    const std::vector<Node>& given = graph_.nodes();
    for (size_t n = 0; n < given.size(); ++n) {
      const std::string& kind = given[n].kind;
      take_activation(n);
      if (kind == "batch_norm" && !graph_.training()) fold(n);
      if ((kind == "multiply" || kind == "add") && !graph_.training() && take_channels(n)) continue;
      if (kind == "add") take_add(n);
    }
    Fused fused{graph_, std::vector<int>(given.size(), -1)};
    if (graph_.training()) {
      share_statistics(fused.graph);
    } else {
      if (weights_outgrow_caches()) mark_cold();
      prepare_inputs(fused.graph);
    }
    std::vector<Node> nodes;
    for (size_t n = 0; n < given.size(); ++n) {
      if (!kept_[n]) continue;
      fused.node[origin_[n]] = static_cast<int>(nodes.size());
      nodes.push_back(*std::move(kept_[n]));
    }
    fused.graph.replace_nodes(std::move(nodes));
    return fused;
  }

 private:
  const Node& given(size_t n) const { return graph_.nodes()[n]; }

  // Where the node stands that computes v for one reader alone; -1 if there is none.
  int sole_producer(int v) const { return v < 0 || readers_[v] != 1 ? -1 : graph_.values()[v].producer; }

  // The node at p now also does what node n, its only reader, did. It stands where the last of its parts stood, where all
  // that it reads is computed.
  void merge(int p, size_t n) {
    kept_[p]->outputs = given(n).outputs;
    kept_[n] = std::exchange(kept_[p], std::nullopt);
    origin_[n] = origin_[p];
  }

  void take_activation(size_t n) {
    const Node& node = given(n);
    if (node.inputs.empty()) return;
    const int p = sole_producer(node.inputs[0]);
    if (p < 0 || !takes_activation(*kept_[p])) return;
    const bool clamps = node.kind == "relu" || node.kind == "relu6";
    const bool any = !graph_.training() && is_convolution(*kept_[p]);
    if (!clamps && !(any && activation_function(node.kind, node.attributes))) return;
    kept_[p]->attributes.set("activation", node.kind);
    for (const auto& [key, value] : node.attributes.items()) kept_[p]->attributes.set("activation." + key, value);
    merge(p, n);
  }

  // The bound memory behind v, one value for each channel of an operand beside it; -1: v is something else.
  int bound_channels(int v, int64_t channels) const {
    const Shape& shape = graph_.values()[v].spec.shape;
    if (shape.rank() < 2 || shape[1] != channels || shape.size() != channels) return -1;
    for (int p; (p = graph_.values()[v].producer) >= 0; v = given(p).inputs[0]) {
      const bool in_order = given(p).kind == "rearrange" && !given(p).attributes.has("perm");
      if (!in_order && given(p).kind != "channels_last") return -1;
    }
    const Value& bound = graph_.values()[v];
    return is_bound(bound) && (bound.dense || layouts_agree(bound.spec.shape)) ? v : -1;
  }

  // As its bias it leaves room for another product.
  bool takes_bias(const Node& node, int v) const {
    const Value& value = graph_.values()[v];
    return is_convolution(node) && takes_scale(node) && !has_input(node, kBias) &&
           !node.attributes.has("batch_norm_eps") && value.dense && value.spec.shape.rank() == 1;
  }

  // A product with, or the addition of, one value for each channel.
  bool take_channels(size_t n) {
    const bool scales = given(n).kind == "multiply";
    for (int i : {0, 1}) {
      const int x = given(n).inputs[i], v = given(n).inputs[1 - i], p = sole_producer(x);
      if (p < 0 || !(scales ? takes_scale(*kept_[p]) : takes_shift(*kept_[p]))) continue;
      const Shape& shape = graph_.values()[x].spec.shape;
      const int bound = bound_channels(v, shape[1]);
      if (bound < 0 || !reads_bound_memory(*kept_[p])) continue;
      const size_t slot = scales ? scale_slot(*kept_[p]) : takes_bias(*kept_[p], bound) ? kBias : shift_slot(*kept_[p]);
      set_input(*kept_[p], slot, bound);
      release(v);
      merge(p, n);
      return true;
    }
    return false;
  }

  // One computed reader less of v; what makes it for nobody goes. (Of bound memory nobody counts the readers.)
  void release(int v) {
    while (--readers_[v] == 0 && graph_.values()[v].producer >= 0) {
      const int p = graph_.values()[v].producer;
      kept_[p].reset();
      v = given(p).inputs[0];
    }
  }

  void take_add(size_t n) {
    const std::vector<int>& operands = given(n).inputs;
    const auto shape = [&](int v) { return graph_.values()[v].spec.shape; };
    if (!(shape(operands[0]) == shape(operands[1]))) return;
    int best = -1, residual = -1;
    for (int i : {0, 1}) {
      const int p = sole_producer(operands[i]);
      if (p <= best || !takes_residual(*kept_[p])) continue;
      best = p;
      residual = operands[1 - i];
    }
    if (best < 0) return;
    set_input(*kept_[best], residual_slot(*kept_[best]), residual);
    merge(best, n);
  }

  // All but the first input are bound memory (or absent).
  bool reads_bound_memory(const Node& node) const {
    return std::all_of(node.inputs.begin() + 1, node.inputs.end(),
                       [&](int v) { return v < 0 || is_bound(graph_.values()[v]); });
  }

  void fold(size_t n) {
    const Node& norm = given(n);
    const int p = sole_producer(norm.inputs[0]);
    if (p < 0 || !is_convolution(*kept_[p]) || !takes_scale(*kept_[p]) || norm.inputs.size() > kNormResidual) return;
    Node& conv = *kept_[p];
    if (conv.attributes.has("batch_norm_eps") || !reads_bound_memory(conv) || !reads_bound_memory(norm)) return;
    conv.attributes.set("batch_norm_eps", norm.attributes.number(norm.kind, "eps", 1e-5));
    for (size_t i = 1; i < norm.inputs.size(); ++i) set_input(conv, 2 + i, norm.inputs[i]);
    merge(p, n);
  }

  // Packed, weights are up to four times as large; and activations want their share.
  bool weights_outgrow_caches() const {
    int64_t bytes = 0;
    for (const Value& value : graph_.values())
      if (is_bound(value)) bytes += value.spec.shape.size() * size_of(value.spec.dtype);
    return bytes > cpu_info().l3 / 2;
  }
  void mark_cold() {
    for (std::optional<Node>& node : kept_)
      if (node && is_convolution(*node)) node->attributes.set("cold_weights", true);
  }

  // What a convolution alone reads need not be written: it takes batch norms and gates into its copy of the input.
  void prepare_inputs(Graph& graph) {
    for (std::optional<Node>& conv : kept_) {
      if (!conv || conv->kind != "conv2d") continue;
      const int p = sole_producer(conv->inputs[0]);
      if (p < 0 || !kept_[p]) continue;
      Node& before = *kept_[p];
      const bool norm = is_norm(before) && !has_input(before, kNormResidual);
      const int gate = before.kind == "multiply" ? gate_of(before) : -1;
      if ((!norm && gate < 0) || !saves_a_pass(*conv)) continue;
      if (norm) {
        conv->inputs[0] = before.inputs[0];
        conv->attributes.set("input_activation", before.attributes.text(before.kind, "activation", "none"));
        before.attributes.set("activation", std::string("none"));
        before.attributes.set("coefficients", true);
        const std::vector<TensorSpec> specs =
            make_op(before.kind, before.attributes)->plan(graph.input_specs(before.inputs), false);
        before.outputs = {graph.add_computed(before.name, specs[0]), graph.add_computed(before.name, specs[1])};
        set_input(*conv, kConvolutionInScale, before.outputs[0]);
        set_input(*conv, kConvolutionInShift, before.outputs[1]);
      } else {
        conv->inputs[0] = before.inputs[1 - gate];
        set_input(*conv, kConvolutionInScale, before.inputs[gate]);
        kept_[p].reset();
      }
    }
  }
  // An input that stays in L2 is as fast read again.
  bool saves_a_pass(const Node& conv) const {
    if (graph_.values()[conv.inputs[0]].spec.shape.size() * 4 <= cpu_info().l2 / 2) return false;
    const std::unique_ptr<Op> op = make_op(conv.kind, conv.attributes);
    op->plan(graph_.input_specs(conv.inputs), false);
    return op->can_prepare_input();
  }
  // The operand of a product with one value for each channel, and maybe image, of the other; -1: there is none.
  int gate_of(const Node& product) const {
    const auto shape = [&](int i) { return graph_.values()[product.inputs[i]].spec.shape; };
    for (int i : {0, 1}) {
      const Shape gate = shape(i), x = shape(1 - i);
      const bool whole = x == graph_.values()[product.outputs[0]].spec.shape && !(gate == x);
      if (whole && x.rank() > 2 && gate[1] == x[1] && gate.size() == gate[0] * x[1]) return i;
    }
    return -1;
  }

  void share_statistics(Graph& graph) {
    for (std::optional<Node>& norm : kept_) {
      if (!norm || !is_norm(*norm)) continue;
      const int p = graph_.values()[norm->inputs[0]].producer;
      if (p < 0 || !is_convolution(*kept_[p])) continue;
      Node& conv = *kept_[p];
      if (conv.outputs.size() == 1) {
        Node asked = conv;
        asked.attributes.set("statistics", true);
        const std::vector<TensorSpec> specs =
            make_op(asked.kind, asked.attributes)->plan(graph.input_specs(asked.inputs), true);
        if (specs.size() == 1) continue;  // its algorithm cannot
        asked.outputs.push_back(graph.add_computed(conv.name, specs[1]));
        conv = std::move(asked);
      }
      set_input(*norm, kNormStatistics, conv.outputs[1]);
    }
  }

  const Graph& graph_;
  std::vector<std::optional<Node>> kept_;
  std::vector<int> origin_;   // the node that began what now stands here
  std::vector<int> readers_;  // by value
};

}  // namespace

Fused fuse(const Graph& graph) { return Fuser(graph).run(); }

}  // namespace convcore
