// SPDX-License-Identifier: BSD-3-Clause
#include "graph/backward.h"

#include <algorithm>

namespace convcore {
namespace {

void check_loss(const Graph& graph) {
  require(!graph.outputs().empty(), "program", "a training graph needs its loss as output 0, got no outputs");
  const Value& loss = graph.values()[graph.outputs()[0]];
  require(loss.kind == ValueKind::activation, "program", "the loss must be computed by a node, got '", loss.name, "'");
  require<ShapeError>(loss.spec.shape.rank() == 0, "program",
                      "output 0 of a training graph must be a scalar loss, got shape ", loss.spec.shape);
  require<TypeError>(loss.spec.dtype == DType::f32, "program", "the loss must be float32, got ",
                     name_of(loss.spec.dtype));
}

// For each value: does it depend on a parameter, through ops that have a gradient?
std::vector<bool> depend_on_parameters(const Graph& graph, const std::vector<std::unique_ptr<Op>>& ops) {
  std::vector<bool> depends(graph.values().size());
  for (int v : graph.of_kind(ValueKind::parameter)) depends[v] = true;
  for (size_t n = 0; n < ops.size(); ++n) {
    const Node& node = graph.nodes()[n];
    const bool any = std::any_of(node.inputs.begin(), node.inputs.end(), [&](int v) { return v >= 0 && depends[v]; });
    for (size_t i = 0; i < node.outputs.size(); ++i)
      depends[node.outputs[i]] = any && ops[n]->has_gradient(static_cast<int>(i));
  }
  return depends;
}

void check_all_reached(const Graph& graph, const std::vector<bool>& reached) {
  std::string missing;
  for (int v : graph.of_kind(ValueKind::parameter))
    if (!reached[v]) missing += (missing.empty() ? "" : ", ") + graph.values()[v].name;
  require(missing.empty(), "program",
          "no gradient reaches these parameters, the loss does not depend on them: ", missing);
}

}  // namespace

std::vector<BackwardStep> plan_backward(const Graph& graph, const std::vector<std::unique_ptr<Op>>& ops) {
  check_loss(graph);
  const std::vector<bool> depends = depend_on_parameters(graph, ops);
  std::vector<bool> reached(graph.values().size());  // has a gradient, from the steps so far
  reached[graph.outputs()[0]] = depends[graph.outputs()[0]];

  std::vector<BackwardStep> steps;
  for (int n = static_cast<int>(graph.nodes().size()) - 1; n >= 0; --n) {
    const Node& node = graph.nodes()[n];
    if (std::none_of(node.outputs.begin(), node.outputs.end(), [&](int v) { return reached[v]; })) continue;
    BackwardStep step{n, {}};
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const int v = node.inputs[i];
      if (v < 0 || !depends[v]) continue;
      step.parts.push_back({static_cast<int>(i), v, !reached[v]});
      reached[v] = true;
    }
    steps.push_back(std::move(step));
  }
  check_all_reached(graph, reached);
  return steps;
}

}  // namespace convcore
