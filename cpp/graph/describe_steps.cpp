// SPDX-License-Identifier: BSD-3-Clause
#include "graph/describe_steps.h"

namespace convcore {
namespace {

int64_t bytes_of(const Graph& graph, int v) {
  if (v < 0) return 0;
  const TensorSpec& spec = graph.values()[v].spec;
  return spec.shape.size() * size_of(spec.dtype);
}

int64_t bytes_of(const Graph& graph, const std::vector<int>& values) {
  int64_t bytes = 0;
  for (int v : values) bytes += bytes_of(graph, v);
  return bytes;
}

int64_t backward_bytes(const Graph& graph, const Op& op, const BackwardStep& step, uint32_t adds) {
  const Node& node = graph.nodes()[step.node];
  int64_t bytes = bytes_of(graph, node.outputs[0]) * (op.backward_reads_outputs() ? 2 : 1);
  for (size_t i = 0; i < node.inputs.size(); ++i)
    if (op.backward_reads_input(static_cast<int>(i))) bytes += bytes_of(graph, node.inputs[i]);
  for (const GradientPart& part : step.parts) bytes += bytes_of(graph, part.value) * (adds >> part.slot & 1 ? 2 : 1);
  return bytes;
}

}  // namespace

std::vector<StepInfo> describe_steps(const Graph& given, const Fused& fused, std::span<const std::unique_ptr<Op>> ops,
                                     std::span<const BackwardStep> backward, const Layout& layout) {
  std::vector<StepInfo> infos;
  std::vector<bool> counted(given.values().size());
  for (size_t n = 0; n < given.nodes().size(); ++n) {
    const Node& node = given.nodes()[n];
    const int at = fused.node[n];
    StepInfo info{node.name, node.kind, "forward", at < 0 ? "fused" : ops[at]->algorithm(),
                  given.values()[node.outputs[0]].spec.shape};
    if (at >= 0 && !layout.skip_forward[at]) {
      const Node& run = fused.graph.nodes()[at];
      info.flops = ops[at]->flops();
      info.bytes = bytes_of(fused.graph, run.inputs) + bytes_of(fused.graph, run.outputs);
    }
    for (int v : node.inputs) {
      if (v < 0 || given.values()[v].kind != ValueKind::parameter || counted[v]) continue;
      counted[v] = true;
      info.parameters += given.values()[v].spec.shape.size();
    }
    infos.push_back(std::move(info));
  }
  for (size_t s = 0; s < backward.size(); ++s) {
    const BackwardStep& step = backward[s];
    const Op& op = *ops[step.node];
    const Node& node = fused.graph.nodes()[step.node];
    const bool input = !step.parts.empty() && step.parts.front().slot == 0;
    StepInfo info{node.name, node.kind, "backward", op.backward_algorithm(input),
                  fused.graph.values()[node.outputs[0]].spec.shape};
    if (!layout.skip_backward[s]) {
      info.flops = op.backward_flops(input);
      info.bytes = backward_bytes(fused.graph, op, step, layout.adds[s]);
    }
    infos.push_back(std::move(info));
  }
  return infos;
}

}  // namespace convcore
