// SPDX-License-Identifier: BSD-3-Clause
// Rewrites a graph so that convolutions (conv2d, conv_transpose2d, linear) and batch norms do what the nodes behind
// them do, which then costs no pass over memory (ops/convolution_op.h and ops/batch_norm.h say how).
#pragma once

#include <vector>

#include "graph/graph.h"

namespace convcore {

struct Fused {
  Graph graph;            // the same values, and statistics; those that are no longer computed have no producer
  std::vector<int> node;  // by node of the given graph: the one of `graph` in its place; -1: an earlier one took it in
};

//   inference   convolution -> [batch_norm] -> [multiply] -> [add] -> [add] -> [any function of one variable]
//               batch_norm -> [multiply] -> [add] -> [add] -> [relu | relu6]
//   training    convolution | batch_norm -> [add] -> [relu | relu6]
// Each arrow is a value that nothing else reads and that is no output. A batch norm that is folded must read parameters
// and buffers alone, as must the convolution it goes into: weights are scaled when they are packed, which is to be
// seldom. So must the product and the first addition, of one value for each channel. Both operands of the second
// addition must have its shape; what it adds becomes the residual of the operand that is computed last. In training, a
// convolution also gives a batch norm that reads it the statistics, if its algorithm can. A fused node keeps the name
// of its first.
// Also in inference, a direct conv2d takes in what stands before it, where that is too large to stay in L2 and nobody
// else reads it: a batch norm with its activation, which then gives but its coefficients, or a product with one value
// for each channel, and maybe image, as squeeze-and-excitation has it.
Fused fuse(const Graph& graph);

}  // namespace convcore
