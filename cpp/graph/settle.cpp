// SPDX-License-Identifier: BSD-3-Clause
#include "graph/settle.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "ops/activation.h"
#include "ops/rearrange.h"

namespace convcore {
namespace {

using Sizes = Rearrangement::Sizes;

bool is_bound(const Value& value) { return value.kind == ValueKind::parameter || value.kind == ValueKind::buffer; }
bool is_pointwise(std::string_view kind) {
  return kind == "add" || kind == "subtract" || kind == "multiply" || kind == "divide" || kind == "maximum" ||
         kind == "minimum";
}
// (rows, features) of all but the last axis, and of that.
Shape as_rows(const Shape& s) { return {s.size() / s[s.rank() - 1], s[s.rank() - 1]}; }

// Of rank 5.
Shape row_major_shape(const Shape& s) {
  Shape wide;
  for (int d = s.rank(); d < 5; ++d) wide.push_back(1);
  for (int64_t d : s) wide.push_back(d);
  return wide;
}

class Settler {
 public:
  explicit Settler(const Graph& graph)
      : given_(graph),
        graph_(graph),
        place_(graph.nodes().size(), -1),
        late_(graph.values().size()),
        readers_(graph.values().size()),
        constant_(graph.values().size()) {
    for (size_t v = 0; v < graph.values().size(); ++v) constant_[v] = !graph.training() && is_bound(graph.values()[v]);
    for (const Node& node : graph.nodes()) {
      for (int v : node.inputs)
        if (v >= 0) ++readers_[v];
      const auto is_constant = [&](int v) { return v < 0 || constant_[v]; };
      for (int v : node.outputs) constant_[v] = !graph.training() && std::ranges::all_of(node.inputs, is_constant);
    }
    for (int v : graph.outputs()) ++readers_[v];
  }

  Settled run() {
    for (size_t n = 0; n < given_.nodes().size(); ++n)
      if (!put_off(n) && !before(n) && !of_rows(n)) keep(n);
    for (int v : graph_.outputs()) made(v, true);
    drop_unread();
    graph_.replace_nodes(std::move(nodes_));
    return {std::move(graph_), std::move(place_)};
  }

 private:
  // A value that is `base`, rearranged.
  struct Late {
    int base;
    Rearrangement way;
    size_t node;        // of the given graph, that asked for it: for errors and profiles
    bool made = false;  // there is a node that does it
  };

  const Shape& shape(int v) const { return graph_.values()[v].spec.shape; }
  bool is_late(int v) const { return v >= 0 && late_[v].has_value(); }
  int base(int v) const { return is_late(v) ? late_[v]->base : v; }
  Rearrangement way(int v) const { return is_late(v) ? late_[v]->way : Rearrangement(shape(v)); }
  size_t mover(int v, size_t otherwise) const { return is_late(v) ? late_[v]->node : otherwise; }

  int new_value(const std::string& name, const TensorSpec& spec) {
    late_.emplace_back();
    return graph_.add_computed(name, spec);
  }
  void emit(size_t n, Node node) {
    place_[n] = static_cast<int>(nodes_.size());
    nodes_.push_back(std::move(node));
  }
  // The given node n as `node`, which gives what `way` makes the given output of.
  void emit_before(size_t n, Node node, const Rearrangement& way, size_t mover) {
    const std::vector<TensorSpec> specs =
        make_op(node.kind, node.attributes)->plan(graph_.input_specs(node.inputs), graph_.training());
    const int v = node.outputs[0], base = new_value(node.name, specs[0]);
    node.outputs = {base};
    emit(n, std::move(node));
    late_[v] = Late{base, way, mover};
  }

  // The value itself, computed where it was put off; of an identity what that is of, but for a graph's output.
  int made(int v, bool output = false) {
    if (!is_late(v)) return v;
    Late& late = *late_[v];
    if (!output && late.way.is_identity()) return late.base;
    if (std::exchange(late.made, true)) return v;
    const int place = place_[late.node];
    emit(late.node, {"rearrange", given_.nodes()[late.node].name, late.way.attributes(), {late.base}, {v}});
    if (place >= 0) place_[late.node] = place;  // the node itself stands there
    return v;
  }
  // `base`, rearranged.
  int moved(int base, const Rearrangement& way, size_t node) {
    if (way.is_identity()) return base;
    const int v = new_value(graph_.values()[base].name, {way.y()});
    late_[v] = Late{base, way, node};
    return made(v);
  }
  void keep(size_t n) {
    Node node = given_.nodes()[n];
    for (int& v : node.inputs) v = made(v);
    emit(n, std::move(node));
  }

  bool put_off(size_t n) {
    const Node& node = given_.nodes()[n];
    if (node.kind != "rearrange" || shape(node.inputs[0]).size() == 0) return false;
    const int x = node.inputs[0], y = node.outputs[0];
    if (graph_.training() && given_.values()[x].kind == ValueKind::buffer) return false;  // that a later node may write
    const auto after = [&](const Rearrangement& r) {
      const Shape& from = r.y();
      const Sizes view = node.attributes.integers(node.kind, "view", {from.begin(), from.end()});
      Sizes perm(view.size());
      std::iota(perm.begin(), perm.end(), 0);
      const std::optional<Rearrangement> all =
          r.then(view, node.attributes.integers(node.kind, "perm", perm), shape(y));
      return all && all->fits_op() ? all : std::nullopt;
    };
    // What several read is moved once, unless it need not be.
    if (const auto all = after(way(x)); all && (!is_late(x) || readers_[x] == 1 || all->same_memory())) {
      late_[y] = Late{base(x), *all, n};
      return true;
    }
    const auto own = after(Rearrangement(shape(x)));
    if (own) late_[y] = Late{made(x), *own, n};
    return own.has_value();
  }

  // Functions of each element.
  bool before(size_t n) {
    const Node& node = given_.nodes()[n];
    const bool unary = node.inputs.size() == 1 && activation_function(node.kind, node.attributes);
    if (unary) {
      if (!may_wait(node.inputs[0])) return false;
      emit_on_bases(n, {base(node.inputs[0])}, node.inputs[0]);
      return true;
    }
    if (!is_pointwise(node.kind)) return false;
    for (int i : {0, 1}) {
      const int x = node.inputs[i], other = node.inputs[1 - i];
      if (!may_wait(x) || !(shape(x) == shape(node.outputs[0]))) continue;
      const int beside = beside_base(x, other, n);
      if (beside < 0) continue;
      emit_on_bases(n, i == 0 ? std::vector{base(x), beside} : std::vector{beside, base(x)}, x);
      return true;
    }
    return false;
  }
  bool may_wait(int v) const { return is_late(v) && !late_[v]->made && readers_[v] == 1; }
  void emit_on_bases(size_t n, std::vector<int> inputs, int x) {
    Node node = given_.nodes()[n];
    node.inputs = std::move(inputs);
    emit_before(n, std::move(node), way(x), mover(x, n));
  }

  // What stands beside x's base as `other` stands beside x; -1: nothing that is to be had for nothing.
  int beside_base(int x, int other, size_t n) {
    if (shape(other) == shape(x)) {
      const std::optional<Rearrangement> back = way(other).then(way(x).inverse());
      if (!back || !back->fits_op() || !(back->same_memory() || constant_[other])) return -1;
      return moved(base(other), *back, mover(other, n));
    }
    if (shape(other).size() == 1) {
      const int bound = bound_vector(other);
      return bound < 0 ? -1 : along(bound, shape(base(x)), -1, n);
    }
    const int axis = axis_of_base(x, shape(other)), bound = axis < 0 ? -1 : bound_vector(other);
    return bound < 0 ? -1 : along(bound, shape(base(x)), axis, n);
  }
  // Of a shape with one value for each index of one axis of x: that axis of x's base. -1: there is none.
  int axis_of_base(int x, const Shape& vector) const {
    const Rearrangement here = way(x);
    for (const Rearrangement::Fine& f : here.fines())
      if (vector[f.y.dim] == vector.size())
        return f.size == vector.size() && f.size == here.x()[f.x.dim] ? f.x.dim : -1;
    return -1;
  }
  // The bound memory behind v, of as many values in the same order; -1: v is something else.
  int bound_vector(int v) const {
    for (int p; (p = given_.values()[v].producer) >= 0; v = given_.nodes()[p].inputs[0]) {
      const Node& node = given_.nodes()[p];
      const bool in_order = node.kind == "rearrange" && !node.attributes.has("perm");
      if (!in_order && node.kind != "channels_last") return -1;
    }
    const Value& bound = given_.values()[v];
    return is_bound(bound) && layouts_agree(bound.spec.shape) ? v : -1;
  }
  int along(int bound, const Shape& like, int axis, size_t n) {
    Shape wanted;
    for (int d = 0; d < like.rank(); ++d) wanted.push_back(d == axis ? like[d] : 1);
    return moved(bound, Rearrangement(shape(bound)).reshaped(wanted).value(), n);
  }

  bool of_rows(size_t n) {
    const Node& node = given_.nodes()[n];
    if (node.kind == "layer_norm") return norm_of_rows(node, n);
    if (node.kind == "softmax" || node.kind == "log_softmax") return softmax_of_rows(node, n);
    if (node.kind == "matmul") return linear_of_rows(node, n) || product_of_rows(node, n);
    return false;
  }

  bool softmax_of_rows(const Node& node, size_t n) {
    const int x = node.inputs[0], last = shape(x).rank() - 1;
    const int64_t axis = node.attributes.integer(node.kind, "axis", 1);
    if (last < 2 || last > 3 || (axis != -1 && axis != last)) return false;
    const std::optional<Rearrangement> rows = rows_of(x);
    if (!rows) return false;
    Node softmax = node;
    softmax.inputs = {moved(base(x), *rows, mover(x, n))};
    softmax.attributes.set("axis", int64_t{1});
    emit_before(n, std::move(softmax), Rearrangement(rows->y()).reshaped(shape(x)).value(), n);
    return true;
  }

  // Rank 5 is row-major: nothing is gathered there.
  bool product_of_rows(const Node& node, size_t n) {
    if (node.attributes.flag(node.kind, "dense", false) || shape(node.outputs[0]).size() == 0) return false;
    std::vector<Rearrangement> ways;
    for (int v : node.inputs) {
      const Shape& s = shape(v);
      if (s.rank() < 3 || s.rank() > 4 || s.size() == 0) return false;
      const auto wide = way(v).reshaped(row_major_shape(s));
      if (!wide || !wide->fits_op() || (s.rank() == 3 && !wide->same_memory())) return false;
      ways.push_back(*wide);
    }
    Node product = node;
    for (size_t i : {0, 1}) product.inputs[i] = moved(base(node.inputs[i]), ways[i], mover(node.inputs[i], n));
    const Shape& y = shape(node.outputs[0]);
    emit_before(n, std::move(product), Rearrangement(row_major_shape(y)).reshaped(y).value(), n);
    return true;
  }

  bool norm_of_rows(const Node& node, size_t n) {
    const int x = node.inputs[0], last = shape(x).rank() - 1;
    const int64_t axis = node.attributes.integer(node.kind, "axis", -1);
    if (last < 2 || last > 3 || (axis != -1 && axis != last) || node.outputs.size() > 1) return false;
    const std::optional<Rearrangement> rows = rows_of(x);
    if (!rows || !rows->same_memory()) return false;
    for (size_t i = 1; i < node.inputs.size(); ++i)
      if (node.inputs[i] >= 0 && bound_vector(node.inputs[i]) < 0) return false;
    Node norm = node;
    norm.inputs[0] = moved(base(x), *rows, mover(x, n));
    for (size_t i = 1; i < node.inputs.size(); ++i)
      if (int& v = norm.inputs[i]; v >= 0) v = along(bound_vector(v), rows->y(), 1, n);
    norm.attributes.set("axis", int64_t{1});
    emit_before(n, std::move(norm), Rearrangement(rows->y()).reshaped(shape(x)).value(), n);
    return true;
  }

  bool linear_of_rows(const Node& node, size_t n) {
    const int x = node.inputs[0], w = node.inputs[1], y = node.outputs[0];
    const Value& weight = given_.values()[w];
    if (!is_bound(weight) || !weight.dense || weight.spec.shape.rank() != 2 || shape(y).size() == 0) return false;
    const std::optional<Rearrangement> rows = rows_of(x);
    if (!rows) return false;
    Node linear{"linear", node.name, {}, {moved(base(x), *rows, mover(x, n)), w}, node.outputs};
    linear.attributes.set("transposed", true);
    emit_before(n, std::move(linear), Rearrangement(as_rows(shape(y))).reshaped(shape(y)).value(), n);
    return true;
  }

  std::optional<Rearrangement> rows_of(int x) const {
    if (shape(x).size() == 0) return std::nullopt;
    std::optional<Rearrangement> rows = way(x).reshaped(as_rows(shape(x)));
    return rows && rows->fits_op() ? rows : std::nullopt;
  }

  // Nodes whose readers all found another way.
  void drop_unread() {
    std::vector<int> reads(graph_.values().size());
    for (int v : graph_.outputs()) ++reads[v];
    std::vector<bool> kept(nodes_.size());
    for (size_t i = nodes_.size(); i-- > 0;) {
      const auto is_unread = [&](int v) {
        return reads[v] == 0 && (static_cast<size_t>(v) >= readers_.size() || readers_[v] > 0);
      };
      kept[i] = !std::ranges::all_of(nodes_[i].outputs, is_unread);
      for (int v : nodes_[i].inputs)
        if (v >= 0 && kept[i]) ++reads[v];
    }
    std::vector<int> moved(nodes_.size(), -1);
    std::vector<Node> nodes;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (!kept[i]) continue;
      moved[i] = static_cast<int>(nodes.size());
      nodes.push_back(std::move(nodes_[i]));
    }
    nodes_ = std::move(nodes);
    for (int& place : place_)
      if (place >= 0) place = moved[place];
  }

  const Graph& given_;
  Graph graph_;
  std::vector<Node> nodes_;
  std::vector<int> place_;
  std::vector<std::optional<Late>> late_;  // by value
  std::vector<int> readers_;               // by value of the given graph
  std::vector<bool> constant_;             // in inference: computed of bound memory alone
};

}  // namespace

Settled settle(const Graph& graph) { return Settler(graph).run(); }

}  // namespace convcore
