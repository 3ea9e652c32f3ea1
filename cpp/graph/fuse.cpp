// SPDX-License-Identifier: BSD-3-Clause
#include "graph/fuse.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

namespace convcore {
namespace {

bool is_convolution(const Node& node) {
  return node.kind == "conv2d" || node.kind == "conv_transpose2d" || node.kind == "linear";
}

// All but the first input are bound memory (or absent).
bool reads_bound_memory(const Graph& graph, const Node& node) {
  return std::all_of(node.inputs.begin() + 1, node.inputs.end(), [&](int v) {
    return v < 0 || graph.values()[v].kind == ValueKind::parameter || graph.values()[v].kind == ValueKind::buffer;
  });
}

// Makes `conv` compute what `next`, its only reader, does; false if it cannot.
bool absorb(const Graph& graph, Node& conv, const Node& next) {
  if (!is_convolution(conv) || conv.attributes.has("activation")) return false;
  if (next.kind == "relu" || next.kind == "relu6") {
    conv.attributes.set("activation", next.kind);
  } else if (next.kind == "batch_norm" && !conv.attributes.has("batch_norm_eps") && reads_bound_memory(graph, conv) &&
             reads_bound_memory(graph, next)) {
    conv.attributes.set("batch_norm_eps", next.attributes.number(next.kind, "eps", 1e-5));
    conv.inputs.resize(3, -1);  // no bias
    conv.inputs.insert(conv.inputs.end(), next.inputs.begin() + 1, next.inputs.end());
  } else {
    return false;
  }
  conv.outputs = next.outputs;
  return true;
}

std::vector<int> count_readers(const Graph& graph) {
  std::vector<int> readers(graph.values().size());
  for (const Node& node : graph.nodes())
    for (int v : node.inputs)
      if (v >= 0) ++readers[v];
  for (int v : graph.outputs()) ++readers[v];
  return readers;
}

}  // namespace

// A fused node stands where the last of its parts stood: all that it reads is computed there.
Fused fuse(const Graph& graph) {
  const std::vector<Node>& given = graph.nodes();
  std::vector<std::optional<Node>> kept(given.begin(), given.end());
  std::vector<int> origin(given.size());  // the node that began what now stands here
  std::iota(origin.begin(), origin.end(), 0);
  if (!graph.training()) {
    const std::vector<int> readers = count_readers(graph);
    for (size_t n = 0; n < given.size(); ++n) {
      const int x = given[n].inputs.empty() ? -1 : given[n].inputs[0];
      const int before = x < 0 || readers[x] != 1 ? -1 : graph.values()[x].producer;
      if (before < 0 || !absorb(graph, *kept[before], given[n])) continue;
      kept[n] = std::exchange(kept[before], std::nullopt);
      origin[n] = origin[before];
    }
  }
  Fused fused{graph, std::vector<int>(given.size(), -1)};
  std::vector<Node> nodes;
  for (size_t n = 0; n < given.size(); ++n) {
    if (!kept[n]) continue;
    fused.node[origin[n]] = static_cast<int>(nodes.size());
    nodes.push_back(*std::move(kept[n]));
  }
  fused.graph.replace_nodes(std::move(nodes));
  return fused;
}

}  // namespace convcore
