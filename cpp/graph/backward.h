// SPDX-License-Identifier: BSD-3-Clause
// Reverse-mode differentiation of a Graph: which nodes run backward, in what order, and which of their inputs'
// gradients are wanted. Only gradients that lead to a parameter are; the input image's never is.
#pragma once

#include <memory>
#include <vector>

#include "graph/graph.h"

namespace convcore {

// What a node's backward gives for its input `slot`. A value with several readers gets one part from each: the first
// is written, later ones are added, in the fixed order of the steps.
struct GradientPart {
  int slot, value;
  bool first;
};

struct BackwardStep {
  int node;
  std::vector<GradientPart> parts;
};

// ops: one per node. In the order they run: from the loss, outputs()[0], to the parameters. Throws ShapeError if the
// loss is not a scalar, TypeError if it is not float32, ValueError naming the parameters that cannot reach it.
std::vector<BackwardStep> plan_backward(const Graph& graph, const std::vector<std::unique_ptr<Op>>& ops);

}  // namespace convcore
