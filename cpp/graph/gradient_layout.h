// SPDX-License-Identifier: BSD-3-Clause
// Where gradients stand, in a Layout whose values are placed. A value's gradient has memory of its own, except that
//  * the gradients of a concat's inputs are slices of its output's;
//  * a gradient that an op passes on unchanged (Op::passes_gradient) stays where it is, so that several values have one
//    memory, as long as none of them changes it while another is still to be read: a shortcut costs no copy;
//  * an op that runs in place overwrites its output's gradient, which is spent;
//  * an op that may (Op::can_replace_input) overwrites the value itself, when it is the last to read it.
// What later readers of a value give is added to what stands there: by the op itself if it can (Op::can_add_gradient),
// else from memory of its own.
#pragma once

#include "graph/layout.h"

namespace convcore {

void place_gradients(const Graph& graph, std::span<const std::unique_ptr<Op>> ops,
                     std::span<const BackwardStep> backward, Layout& layout);

// A concat all of whose wanted gradients are slices: nothing runs.
bool slices_gradient(const Graph& graph, const BackwardStep& step);

}  // namespace convcore
