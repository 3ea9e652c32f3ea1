// SPDX-License-Identifier: BSD-3-Clause
// How many threads to use, and why; and the floating-point mode of each call.
#pragma once

#include <string>

namespace convcore {

// min(CPU affinity, cgroup v1/v2 CPU quota, physical cores), then CONVCORE_NUM_THREADS, then OMP_NUM_THREADS; an
// explicit set_num_threads wins. Decided once, on first use. A process forked after that runs on one thread, whatever
// is set, because OpenMP's pool does not survive a fork.
int num_threads();
void set_num_threads(int threads);  // throws ValueError unless 1 <= threads <= 1024
std::string num_threads_reason();   // e.g. "cgroup quota 2.0 of 64 CPUs"

// CPUs that a cgroup file system at `root` grants to a process in cgroup `path` (0: no limit); `root` is a parameter
// so that tests can fake one. Reads cpu.max (v2) or cpu.cfs_quota_us / cpu.cfs_period_us (v1), in every ancestor.
double cgroup_cpu_limit(const std::string& root, const std::string& path);

// Flushes denormals while it lives, restores the caller's mode when it ends. Used by every call that computes; worker
// threads set their own inside parallel regions through the same type.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;

 private:
  unsigned long long saved_;
};

}  // namespace convcore
