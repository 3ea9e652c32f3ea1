// SPDX-License-Identifier: BSD-3-Clause
// What a Program's steps are, for summaries and profiles.
#pragma once

#include <string>

#include "base/tensor.h"

namespace convcore {

// A node of the given graph, its backward, or the update of all parameters. A node that an earlier one took in
// (graph/fuse.h) has the algorithm "fused", no flops, no bytes and no time: its work is done, and timed, there.
struct StepInfo {
  std::string name, kind;
  std::string pass;       // "forward", "backward" or "update"
  std::string algorithm;  // of a convolution's backward: "input: direct, weight: direct"
  Shape output;
  int64_t parameters = 0;  // elements, forward only; those of a shared parameter count where it is used first
  int64_t flops = 0;
  int64_t bytes = 0;   // read and written, each tensor once
  double seconds = 0;  // by profile()
  int threads = 0;     // by profile(): the most that it ran on
};

}  // namespace convcore
