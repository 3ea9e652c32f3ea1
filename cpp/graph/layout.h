// SPDX-License-Identifier: BSD-3-Clause
// Where every value, gradient and scratch of a Program stands: regions of memory, and views into them.
//
// Time counts steps: node i runs forward at i, outputs are copied at nodes(), backward step j runs at nodes() + 1 + j.
// An activation lives from its node to the last step, forward or backward, that reads it; scratch lives for the step
// that needs it.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "graph/backward.h"
#include "graph/graph.h"

namespace convcore {

enum class Memory {
  none,  // merged into another region
  arena,
  input,
  output,  // the caller's, given at every run
  parameter,
  buffer,    // bound
  gradient,  // of a parameter, in the bound block
  one        // the loss's gradient
};

struct Region {
  Memory memory;
  int index = 0;  // among the caller's inputs, outputs, parameters, buffers
  size_t bytes = 0;
  int first = 0, last = 0;
  int64_t channels = 1, pixels = 1;  // shared by all that view it, unless `mixed`
  bool mixed = false;                // in-place reshapes: only valid without gaps between pixels
  bool scratch = false;              // holds nothing from one step to the next
};

// `offset` elements into a region, `pitch` elements from one pixel to the next.
struct View {
  int region = -1;  // -1: nowhere
  int64_t offset = 0, pitch = 0;
};

struct Layout {
  std::vector<Region> regions;
  std::vector<View> values;     // by value
  std::vector<View> gradients;  // by value
  // By backward step and part: where the op writes; differs from the value's gradient when it is to be added to it.
  std::vector<std::vector<View>> parts;
  std::vector<uint32_t> adds;                // by backward step: OpCall::adds
  std::vector<int> saved;                    // by node: region, or -1
  std::vector<int> forward_scratch;          // by node: region, or -1
  std::vector<int> backward_scratch;         // by backward step: region, or -1
  std::vector<bool> once;                    // by node: of bound memory alone; computed when that changes, and kept
  std::vector<bool> skip_forward;            // by node: its output is where its inputs are: a concat's slices, a slice
  std::vector<bool> skip_backward;           // by backward step: a concat whose readers' gradients are slices
  std::vector<std::pair<int, View>> copies;  // value -> output, for outputs that no node can write in place
};

Layout plan_layout(const Graph& graph, std::span<const std::unique_ptr<Op>> ops,
                   std::span<const BackwardStep> backward);

// What both parts of the plan, values and gradients, are made with.
int backward_time(const Graph& graph, int step);
bool same_pixels(const Shape& a, const Shape& b);
// A region of its own for a value or its gradient.
View add_view(Layout& layout, const Value& value, Memory memory, int index, int first, int last);

}  // namespace convcore
