// SPDX-License-Identifier: BSD-3-Clause
// The plan of a training Program's memory, followed step by step: what is read is still there.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "graph/fuse.h"
#include "graph/layout.h"

namespace convcore {
namespace {

using Ints = std::vector<int64_t>;

struct Plan {
  explicit Plan(const Graph& given) : graph(fuse(given).graph) {
    for (const Node& node : graph.nodes()) {
      ops.push_back(make_op(node.kind, node.attributes));
      ops.back()->plan(graph.input_specs(node.inputs), true);
    }
    backward = plan_backward(graph, ops);
    layout = plan_layout(graph, ops, backward);
  }

  Graph graph;
  std::vector<std::unique_ptr<Op>> ops;
  std::vector<BackwardStep> backward;
  Layout layout;
};

// Layers of 4 channels, of which a shape of (2, 4, 5, 5) comes out as it went in.
struct Net {
  Graph graph{true};
  int x = graph.add_input("x", {{2, 4, 5, 5}});

  int parameter(const Shape& shape) { return graph.add_parameter("parameter", shape); }
  int node(const std::string& kind, std::vector<int> inputs, const Attributes& attributes = {}) {
    return graph.add_node(kind, kind, attributes, inputs);
  }
  int conv(int in) {
    const int64_t channels = graph.values()[static_cast<size_t>(in)].spec.shape[1];
    return node("conv2d", {in, parameter({4, channels, 3, 3}), parameter({4})}, {{"padding", Ints{1, 1, 1, 1}}});
  }
  int norm(int in) { return node("batch_norm", {in, parameter({4}), parameter({4})}); }
  int block(int in, bool projected) {
    const int y = norm(conv(node("relu", {norm(conv(in))})));
    return node("relu", {node("add", {y, projected ? norm(conv(in)) : in})});
  }
  Graph& end(int last) {
    const int logits = node("linear", {node("flatten", {last}), parameter({3, 100}), -1});
    graph.set_outputs({node("cross_entropy", {logits, graph.add_input("labels", {{2}, DType::i64})})});
    return graph;
  }
};

// Memory as a set of views, each with what was written to it last.
class Contents {
 public:
  // What stood in memory that this touches is gone, except what stands at the very view, if it is kept.
  void write(const View& view, int64_t channels, int content) {
    std::erase_if(held_, [&](const Held& h) { return overlap(h.view, h.channels, view, channels); });
    held_.push_back({view, channels, content});
  }
  void join(const View& view, int64_t channels, int content) { held_.push_back({view, channels, content}); }
  bool holds(const View& view, int content) const {
    return std::any_of(held_.begin(), held_.end(), [&](const Held& h) {
      return h.content == content && h.view.region == view.region && h.view.offset == view.offset;
    });
  }

 private:
  struct Held {
    View view;
    int64_t channels;
    int content;
  };
  static bool overlap(const View& a, int64_t a_channels, const View& b, int64_t b_channels) {
    return a.region == b.region &&
           (a.pitch != b.pitch || (a.offset < b.offset + b_channels && b.offset < a.offset + a_channels));
  }
  std::vector<Held> held_;
};

bool same(const View& a, const View& b) {
  return a.region == b.region && a.offset == b.offset && a.pitch == b.pitch;
}

// Follows forward and backward; counts values and gradients that are read when they are gone, or whose memory is not
// theirs at that time.
class Follower {
 public:
  explicit Follower(const Plan& plan) : p_(plan) {}

  int wrong_reads() {
    for (size_t v = 0; v < p_.graph.values().size(); ++v)
      if (p_.graph.values()[v].kind != ValueKind::activation) memory_.write(p_.layout.values[v], channels(v), id(v));
    const int nodes = static_cast<int>(p_.graph.nodes().size());
    for (int n = 0; n < nodes; ++n) forward(n);
    const int loss = p_.graph.outputs()[0];
    memory_.write(p_.layout.gradients[static_cast<size_t>(loss)], 1, gradient_id(static_cast<size_t>(loss)));
    for (size_t s = 0; s < p_.backward.size(); ++s) backward(s, nodes + 1 + static_cast<int>(s));
    return wrong_;
  }

 private:
  int64_t channels(size_t v) const { return channels_of(p_.graph.values()[v].spec.shape); }
  static int id(size_t v) { return static_cast<int>(2 * v); }
  static int gradient_id(size_t v) { return static_cast<int>(2 * v + 1); }

  void check_alive(const View& view, int time) {
    const Region& region = p_.layout.regions[static_cast<size_t>(view.region)];
    wrong_ += region.memory == Memory::none;
    wrong_ += region.memory == Memory::arena && (time < region.first || time > region.last);
  }
  void read(const View& view, int content, int time) {
    check_alive(view, time);
    wrong_ += !memory_.holds(view, content);
  }
  void read_value(int v, int time) {
    if (v >= 0) read(p_.layout.values[static_cast<size_t>(v)], id(static_cast<size_t>(v)), time);
  }

  void forward(int n) {
    const Node& node = p_.graph.nodes()[static_cast<size_t>(n)];
    for (int v : node.inputs) read_value(v, n);
    for (int v : node.outputs) {
      const View& view = p_.layout.values[static_cast<size_t>(v)];
      check_alive(view, n);
      if (p_.layout.skip_forward[static_cast<size_t>(n)])
        memory_.join(view, channels(static_cast<size_t>(v)), id(static_cast<size_t>(v)));
      else
        memory_.write(view, channels(static_cast<size_t>(v)), id(static_cast<size_t>(v)));
    }
  }

  void backward(size_t s, int time) {
    const BackwardStep& step = p_.backward[s];
    const Node& node = p_.graph.nodes()[static_cast<size_t>(step.node)];
    const Op& op = *p_.ops[static_cast<size_t>(step.node)];
    const auto y = static_cast<size_t>(node.outputs[0]);
    const View& dy = p_.layout.gradients[y];
    read(dy, gradient_id(y), time);
    for (size_t i = 0; i < node.inputs.size() && !p_.layout.skip_backward[s]; ++i)
      if (op.backward_reads_input(static_cast<int>(i))) read_value(node.inputs[i], time);
    if (op.backward_reads_outputs()) read_value(node.outputs[0], time);

    if (op.spends_grad_outputs()) memory_.write(dy, channels(y), -1);
    for (size_t i = 0; i < step.parts.size(); ++i) {
      const GradientPart& part = step.parts[i];
      const auto v = static_cast<size_t>(part.value);
      const View &view = p_.layout.parts[s][i], &whole = p_.layout.gradients[v];
      check_alive(view, time);
      const bool adds = p_.layout.adds[s] >> part.slot & 1;
      if (!part.first) read(whole, gradient_id(v), time);
      const bool stays = p_.layout.skip_backward[s] || (same(view, dy) && op.passes_gradient(part.slot));
      if (adds) wrong_ += !same(view, whole) || !op.can_add_gradient(part.slot);
      if (part.first && stays)
        memory_.join(view, channels(v), gradient_id(v));
      else if (!stays)
        memory_.write(view, channels(v), part.first || adds ? gradient_id(v) : -1);
    }
    for (size_t i = 0; i < step.parts.size(); ++i) {  // what the Program adds
      const auto v = static_cast<size_t>(step.parts[i].value);
      if (!step.parts[i].first) memory_.write(p_.layout.gradients[v], channels(v), gradient_id(v));
    }
  }

  const Plan& p_;
  Contents memory_;
  int wrong_ = 0;
};

Graph random_graph(unsigned seed) {
  std::mt19937 random(seed);
  const auto below = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  Net net;
  std::vector<int> values{net.conv(net.x)};
  const auto pick = [&] { return below(2) ? values.back() : values[below(values.size())]; };
  for (size_t i = 3 + below(15); i > 0; --i) {
    const int a = pick(), b = pick();
    static const char* unary[] = {"relu", "relu6", "tanh", "silu"};
    switch (below(8)) {
      case 0: values.push_back(net.node(unary[below(4)], {a})); break;
      case 1: values.push_back(net.conv(net.node("concat", {a, b, a}))); break;
      case 2: values.push_back(net.conv(a)); break;
      case 3: values.push_back(net.norm(a)); break;
      case 4: values.push_back(net.node("multiply", {a, b})); break;
      case 5: values.push_back(net.block(a, below(2))); break;
      default: values.push_back(net.node("add", {a, b})); break;
    }
  }
  int sum = values[0];
  for (size_t i = 1; i < values.size(); ++i) sum = net.node("add", {sum, values[i]});
  return net.end(sum);
}

}  // namespace

TEST_CASE("what a training Program reads is still there") {
  for (unsigned seed = 0; seed < 400; ++seed) {
    CAPTURE(seed);
    const Plan plan(random_graph(seed));
    CHECK(Follower(plan).wrong_reads() == 0);
  }
}

TEST_CASE("shortcuts cost neither memory nor a pass over it") {
  Net net;
  int y = net.conv(net.x);
  for (bool projected : {false, true, false, false}) y = net.block(y, projected);
  const Plan plan(net.end(y));
  CHECK(Follower(plan).wrong_reads() == 0);
  int later = 0, passed = 0, replaced = 0;
  for (size_t s = 0; s < plan.backward.size(); ++s) {
    const BackwardStep& step = plan.backward[s];
    const auto n = static_cast<size_t>(step.node);
    const View& dy = plan.layout.gradients[static_cast<size_t>(plan.graph.nodes()[n].outputs[0])];
    for (size_t i = 0; i < step.parts.size(); ++i) {
      const GradientPart& part = step.parts[i];
      if (!part.first) CHECK((plan.layout.adds[s] >> part.slot & 1) == 1);
      later += !part.first;
      passed += plan.ops[n]->passes_gradient(part.slot) && same(plan.layout.parts[s][i], dy);
      replaced += same(plan.layout.parts[s][i], plan.layout.values[static_cast<size_t>(part.value)]);
    }
  }
  CHECK(later == 4);
  CHECK(passed == 4);
  CHECK(replaced == 5);  // batch norms whose own gradient goes on to a shortcut, and the logits
}

}  // namespace convcore
