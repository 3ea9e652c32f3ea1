// SPDX-License-Identifier: BSD-3-Clause
// A mutex that never hangs a forked child. Of a parent's threads only the one that forked lives on in the child: what
// another held at that moment, nobody there will unlock.
#pragma once

#include <atomic>

namespace convcore {

// Works with std::lock_guard.
class ForkMutex {
 public:
  // lost: a literal, what lock() throws where it would hang.
  explicit ForkMutex(const char* lost) : lost_(lost) {}
  ForkMutex(const ForkMutex&) = delete;

  // Throws ValueError in a child, now and ever after, if a thread that stayed in the parent held the mutex at the fork:
  // what it guards may be half written.
  void lock();
  void unlock();
  // Never throws. True if it was taken from such a thread: the caller then makes anew what the mutex guards.
  bool take_over();

 private:
  const char* lost_;
  std::atomic<int> owner_{0};  // 0: free; else the process that took it, counted in forks from the first
};

}  // namespace convcore
