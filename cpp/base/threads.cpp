// SPDX-License-Identifier: BSD-3-Clause
#include "base/threads.h"

#include <pthread.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <string>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include "base/cpu.h"
#include "base/error.h"

namespace convcore {
namespace {

constexpr int kMaxThreads = 1024;

struct Decision {
  int threads = 1;
  std::string reason;
};

// CPUs this process may be scheduled on; 0 if unknown.
int affinity_count() {
#if defined(__linux__)
  for (int cpus = 1024; cpus <= 1 << 16; cpus *= 4) {  // the kernel refuses sets smaller than its own
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) return 0;
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const int count = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (known) return count;
  }
#endif
  return 0;
}

void keep_smaller(double& limit, double other) {
  if (other > 0 && (limit == 0 || other < limit)) limit = other;
}

// Lines of /proc/self/cgroup: "0::/path" (v2) and "4:cpu,cpuacct:/path" (v1).
double process_cgroup_limit() {
  double limit = 0;
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = ',' + line.substr(first + 1, second - first - 1) + ',';
    const std::string path = line.substr(second + 1);
    if (controllers == ",,") {
      keep_smaller(limit, cgroup_cpu_limit("/sys/fs/cgroup", path));
      keep_smaller(limit, cgroup_cpu_limit("/sys/fs/cgroup/unified", path));
    } else if (controllers.find(",cpu,") != std::string::npos) {
      keep_smaller(limit, cgroup_cpu_limit("/sys/fs/cgroup/cpu", path));
      keep_smaller(limit, cgroup_cpu_limit("/sys/fs/cgroup/cpu,cpuacct", path));
    }
  }
  return limit;
}

// A thread count from the environment; 0 if unset or not a number in range. OMP_NUM_THREADS may be a list: "4,2".
int environment_threads(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return 0;
  int threads = 0;
  const char* end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, threads);
  const bool complete = error == std::errc() && (rest == end || *rest == ',');
  return complete && threads >= 1 ? std::min(threads, kMaxThreads) : 0;
}

Decision decide() {
  for (const char* name : {"CONVCORE_NUM_THREADS", "OMP_NUM_THREADS"})
    if (const int threads = environment_threads(name)) return {threads, name};

  const CpuInfo& cpu = cpu_info();
  const std::string of_all = " of " + std::to_string(cpu.logical) + " CPUs";
  Decision best{cpu.physical, std::to_string(cpu.physical) + " physical cores" + of_all};
  if (const int allowed = affinity_count(); allowed > 0 && allowed < best.threads)
    best = {allowed, "CPU affinity to " + std::to_string(allowed) + of_all};
  // Threads beyond the quota would be stopped in the middle of a parallel region, and the others wait for them.
  if (const double quota = process_cgroup_limit(); quota > 0 && std::floor(quota) < best.threads) {
    std::string text = std::to_string(quota);
    text.erase(text.find('.') + 2);
    best = {std::max(1, static_cast<int>(quota)), "cgroup quota " + text + of_all};
  }
  best.threads = std::clamp(best.threads, 1, kMaxThreads);
  return best;
}

std::atomic<int> current{0};  // 0: not decided yet
std::atomic<bool> forked{false};
std::mutex decision_mutex;
Decision decision;

// A child may do async-signal-safe work only: two stores.
void after_fork_in_child() {
  forked.store(true, std::memory_order_relaxed);
  current.store(1, std::memory_order_relaxed);
}

void replace(Decision next) {
  [[maybe_unused]] static const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);
  decision = std::move(next);
  current.store(decision.threads, std::memory_order_relaxed);
}

}  // namespace

int num_threads() {
  if (const int threads = current.load(std::memory_order_relaxed)) return threads;
  const std::lock_guard lock(decision_mutex);
  if (current.load(std::memory_order_relaxed) == 0) replace(decide());
  return current.load(std::memory_order_relaxed);
}

void set_num_threads(int threads) {
  require(threads >= 1 && threads <= kMaxThreads, "set_num_threads", "threads must be from 1 to ", kMaxThreads,
          ", got ", threads);
  if (forked.load(std::memory_order_relaxed)) return;  // and never touch a lock that a lost thread may hold
  const std::lock_guard lock(decision_mutex);
  replace({threads, "set_num_threads"});
}

std::string num_threads_reason() {
  num_threads();
  if (forked.load(std::memory_order_relaxed)) return "forked process: OpenMP's threads do not survive a fork";
  const std::lock_guard lock(decision_mutex);
  return decision.reason;
}

double cgroup_cpu_limit(const std::string& root, const std::string& path) {
  double limit = 0;
  // From the process's group up to the root: "/a/b", "/a", "".
  for (std::string group = path;; group.erase(std::min(group.rfind('/'), group.size()))) {
    while (!group.empty() && group.back() == '/') group.pop_back();
    const std::string folder = root + group + '/';
    double quota = 0, period = 0;
    if (std::ifstream v2(folder + "cpu.max"); v2 >> quota >> period && period > 0)  // "max 100000" fails to parse
      keep_smaller(limit, quota / period);
    std::ifstream v1_quota(folder + "cpu.cfs_quota_us"), v1_period(folder + "cpu.cfs_period_us");
    if (v1_quota >> quota && v1_period >> period && period > 0)  // a quota of -1 means none
      keep_smaller(limit, quota / period);
    if (group.empty() || group.find('/') == std::string::npos) return limit;
  }
}

#if defined(__SSE2__)

FlushDenormals::FlushDenormals() : saved_(_mm_getcsr()) {
  constexpr unsigned kFlushToZero = 1u << 15, kDenormalsAreZero = 1u << 6;
  const unsigned wanted = static_cast<unsigned>(saved_) | kFlushToZero | kDenormalsAreZero;
  if (wanted != saved_) _mm_setcsr(wanted);
}

// Exceptions raised inside stay inside: the whole register is put back.
FlushDenormals::~FlushDenormals() { _mm_setcsr(static_cast<unsigned>(saved_)); }

#elif defined(__aarch64__)

FlushDenormals::FlushDenormals() {
  constexpr unsigned long long kFlushToZero = 1ull << 24;
  __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
  if ((saved_ & kFlushToZero) == 0) __asm__ volatile("msr fpcr, %0" : : "r"(saved_ | kFlushToZero));
}

FlushDenormals::~FlushDenormals() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_)); }

#else

FlushDenormals::FlushDenormals() : saved_(0) {}
FlushDenormals::~FlushDenormals() {}

#endif

}  // namespace convcore
