// SPDX-License-Identifier: BSD-3-Clause
// Rewrites a graph for inference: a convolution (conv2d, conv_transpose2d, linear) takes in the batch norm and the
// activation behind it, so that neither costs a pass over memory (ops/convolution_op.h says how).
#pragma once

#include <vector>

#include "graph/graph.h"

namespace convcore {

struct Fused {
  Graph graph;            // the same values; those that are no longer computed have no producer
  std::vector<int> node;  // by node of the given graph: the one of `graph` in its place; -1: an earlier one took it in
};

//   conv -> [batch_norm] -> [relu | relu6]
// Each arrow is a value that nothing else reads and that is no output. The batch norm must read parameters and buffers
// alone, as must the convolution it goes into: weights are scaled when they are packed, which is to be seldom. The
// fused node keeps the convolution's name. A training graph stays as it is.
Fused fuse(const Graph& graph);

}  // namespace convcore
