// SPDX-License-Identifier: BSD-3-Clause
#include "base/lock.h"

#include <pthread.h>

#include "base/error.h"

namespace convcore {
namespace {

constexpr int kLost = -1;  // no process

std::atomic<int> process{1};

// A child may do async-signal-safe work only: one addition.
[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, [] { process.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

bool ForkMutex::take_over() {
  const int mine = process.load(std::memory_order_relaxed);
  int owner = 0;
  // Here `owner` becomes who has it: a thread of this process is waited for, one of another is lost.
  while (!owner_.compare_exchange_weak(owner, mine, std::memory_order_acquire, std::memory_order_relaxed)) {
    if (owner != mine) continue;
    owner_.wait(owner, std::memory_order_relaxed);
    owner = 0;
  }
  return owner != 0;
}

void ForkMutex::lock() {
  if (!take_over()) return;
  owner_.store(kLost, std::memory_order_release);
  owner_.notify_all();
  throw ValueError(lost_);
}

void ForkMutex::unlock() {
  owner_.store(0, std::memory_order_release);
  owner_.notify_one();
}

}  // namespace convcore
