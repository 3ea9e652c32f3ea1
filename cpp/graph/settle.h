// SPDX-License-Identifier: BSD-3-Clause
// Rewrites a graph so that few rearranges (reshapes, transposes) move anything: channels-last code, as ConvNeXt's, in
// which each linear layer and layer norm of a map stands between two transposes, becomes a walk over rows of channels
// that lie in memory as a convolution leaves them.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace convcore {

struct Settled {
  Graph graph;  // the same values, those that nobody needs without a producer, and some more
  // By node of the given graph: the one of `graph` that does its work; -1: there is none any more.
  std::vector<int> node;
};

// A rearrange is put off until somebody needs its result as it is:
//   another rearrange            becomes one with it
//   a function of one variable   is computed before it, as is one of two variables that came the same way, or of which
//                                one is a bound vector, or can take the way back at no cost
//   layer_norm of the last axis  is one of the rows of a matrix, if those lie in memory
//   softmax of the last axis     is one of rows, too
//   matmul of maps               is one of rank 5, where rows lie in memory
//   matmul by a bound matrix     is linear, of the rows of a matrix: a convolution, with all that one can be fused with
// What reads empty tensors is left as it is.
Settled settle(const Graph& graph);

}  // namespace convcore
