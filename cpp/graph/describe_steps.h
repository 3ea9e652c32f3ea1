// SPDX-License-Identifier: BSD-3-Clause
// How a Program's steps are described and timed.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "graph/fuse.h"
#include "graph/layout.h"
#include "graph/step_info.h"

namespace convcore {

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
