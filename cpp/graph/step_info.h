// SPDX-License-Identifier: BSD-3-Clause
// What a Program's steps are, for summaries and profiles.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "graph/fuse.h"
#include "graph/layout.h"

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

struct Timing {
  double seconds = 0;
  int threads = 0;
};

// Runs body; measures it if there is somewhere to write to.
template <class Body>
void timed(Timing* timing, Body&& body) {
  using Clock = std::chrono::steady_clock;
  if (!timing) return body();
  most_threads_used = 1;
  const Clock::time_point begin = Clock::now();
  body();
  *timing = {std::chrono::duration<double>(Clock::now() - begin).count(), most_threads_used};
}

// The nodes in order, then the backward steps in theirs.
std::vector<StepInfo> describe_steps(const Graph& given, const Fused& fused, std::span<const std::unique_ptr<Op>> ops,
                                     std::span<const BackwardStep> backward, const Layout& layout);

}  // namespace convcore
