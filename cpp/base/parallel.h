// SPDX-License-Identifier: BSD-3-Clause
// The only file that knows OpenMP. Work is cut by shape, never by thread count, so results are the same bits for any
// number of threads: `body` must write disjoint results for disjoint ranges and must not throw.
#pragma once

#include <omp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "base/threads.h"

namespace convcore {

// Below this many floating-point operations (or bytes moved) a call stays on one thread; a fork costs about 1-2 us.
inline constexpr int64_t kParallelThreshold = 32768;

// The most threads that a parallel_for of this thread ran on since this was last set, for profiles.
inline constinit thread_local int most_threads_used = 1;

// True inside a parallel region: nested calls stay on their thread.
inline bool in_parallel() { return omp_in_parallel() != 0; }

// body(begin, end) over [0, count), in ranges that are multiples of `grain` (the last may be short); ranges go to
// threads in contiguous runs. cost: operations (or bytes) per unit, against kParallelThreshold.
template <class Body>
void parallel_for(int64_t count, int64_t grain, int64_t cost, Body&& body) {
  if (count <= 0) return;
  const int64_t chunks = (count + grain - 1) / grain;
  int64_t threads = num_threads();
  if (threads > chunks) threads = chunks;
  if (threads <= 1 || count * cost < kParallelThreshold || in_parallel()) {
    body(int64_t{0}, count);
    return;
  }
  if (threads > most_threads_used) most_threads_used = static_cast<int>(threads);
#pragma omp parallel for num_threads(static_cast<int>(threads)) schedule(static, 1)
  for (int64_t t = 0; t < threads; ++t) {
    const int64_t begin = chunks * t / threads * grain;
    const int64_t end = chunks * (t + 1) / threads * grain;
    const FlushDenormals flush;
    if (begin < count) body(begin, end < count ? end : count);
  }
}

// body(slot, task) for every task below `tasks`, `slots` (about num_threads()) at a time: a slot runs one task after the
// other, so that it can have scratch memory of its own. Each begins with its own run of neighbouring tasks, so that
// layers cut alike find their input in the cache of the core that wrote it, and then helps where others are late.
// cost: operations of one task.
template <class Body>
void parallel_tasks(int64_t tasks, int64_t slots, int64_t cost, Body&& body) {
  constexpr int64_t kMaxRuns = 64;
  struct alignas(64) Run {
    std::atomic<int64_t> next;
    int64_t end;
  };
  if (tasks <= 0) return;
  const int64_t runs = std::min({slots, tasks, kMaxRuns});
  std::array<Run, kMaxRuns> all;
  for (int64_t i = 0; i < runs; ++i) all[i].next = tasks * i / runs, all[i].end = tasks * (i + 1) / runs;
  parallel_for(slots, 1, cost * tasks / slots, [&](int64_t begin, int64_t end) {
    for (int64_t slot = begin; slot < end; ++slot)
      for (int64_t i = 0; i < runs; ++i) {
        Run& run = all[(slot + i) % runs];
        for (int64_t t; (t = run.next.fetch_add(1, std::memory_order_relaxed)) < run.end;) body(slot, t);
      }
  });
}

}  // namespace convcore
