// SPDX-License-Identifier: BSD-3-Clause
#include "base/cpu.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <set>
#include <utility>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#define CONVCORE_X86 1
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace convcore {
namespace {

[[maybe_unused]] void set_cache(CpuInfo& info, int level, int64_t bytes) {
  if (bytes <= 0) return;
  if (level == 1) info.l1d = bytes;
  if (level == 2) info.l2 = bytes;
  if (level == 3) info.l3 = bytes;
}

#if defined(CONVCORE_X86)

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// All zero where the processor has no such leaf.
Registers cpuid(uint32_t leaf, uint32_t subleaf = 0) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

constexpr bool bit(uint32_t word, int position) { return (word >> position & 1) != 0; }

// Which register files the operating system saves on a context switch. Callers check OSXSAVE first.
uint64_t xcr0() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

void read_features(CpuInfo& info) {
  const Registers one = cpuid(1);
  const bool osxsave = bit(one.ecx, 27);
  if (!osxsave) return;
  const uint64_t enabled = xcr0();
  constexpr uint64_t kYmm = 0x06, kZmm = 0xe6;  // XMM|YMM, and XMM|YMM|opmask|ZMM halves
  const Registers seven = cpuid(7);
  const bool fma = bit(one.ecx, 12), avx = bit(one.ecx, 28);
  info.avx2 = avx && fma && bit(seven.ebx, 5) && (enabled & kYmm) == kYmm;
  const bool f = bit(seven.ebx, 16), dq = bit(seven.ebx, 17), bw = bit(seven.ebx, 30), vl = bit(seven.ebx, 31);
  info.avx512 = info.avx2 && f && dq && bw && vl && (enabled & kZmm) == kZmm;
}

void read_model(CpuInfo& info) {
  if (cpuid(0x80000000).eax < 0x80000004) return;
  std::array<char, 49> name{};
  for (uint32_t i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002 + i);
    std::memcpy(name.data() + 16 * i, &r, 16);
  }
  info.model = name.data();
  info.model.erase(0, info.model.find_first_not_of(' '));
  info.model.erase(info.model.find_last_not_of(' ') + 1);
}

// Deterministic cache parameters: leaf 4 (Intel), 0x8000001D (AMD) in the same layout. False if neither is there.
bool read_caches(CpuInfo& info) {
  const bool topology_extensions = bit(cpuid(0x80000001).ecx, 22);
  const uint32_t leaf = cpuid(4).eax != 0 ? 4 : topology_extensions ? 0x8000001D : 0;
  bool found = false;
  for (uint32_t i = 0; leaf != 0 && i < 16; ++i) {
    const Registers r = cpuid(leaf, i);
    const uint32_t type = r.eax & 31, level = r.eax >> 5 & 7;
    if (type == 0) break;
    constexpr uint32_t kInstructions = 2;
    if (type == kInstructions) continue;
    const int64_t ways = (r.ebx >> 22) + 1, partitions = (r.ebx >> 12 & 0x3ff) + 1, line = (r.ebx & 0xfff) + 1;
    set_cache(info, static_cast<int>(level), ways * partitions * line * (int64_t{r.ecx} + 1));
    found = true;
  }
  return found;
}

#endif

#if defined(__linux__)

// The first word of a small file; "" if it cannot be read.
std::string word_of(const std::string& path) {
  std::string word;
  std::ifstream(path) >> word;
  return word;
}

// "48K" -> 49152; 0 if it is not a size.
int64_t parse_size(const std::string& text) {
  int64_t value = 0;
  for (char c : text) {
    if (c >= '0' && c <= '9')
      value = value * 10 + (c - '0');
    else if (c == 'K')
      return value << 10;
    else if (c == 'M')
      return value << 20;
    else
      return 0;
  }
  return value;
}

void read_sysfs_caches(CpuInfo& info) {
  for (int i = 0; i < 8; ++i) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + '/';
    const std::string level = word_of(folder + "level"), type = word_of(folder + "type");
    if (level.size() != 1 || type == "Instruction") continue;
    set_cache(info, level[0] - '0', parse_size(word_of(folder + "size")));
  }
}

// One core per distinct list of siblings; 0 if sysfs does not tell.
int sysfs_cores() {
  std::set<std::string> cores;
  const long cpus = sysconf(_SC_NPROCESSORS_CONF);
  for (long i = 0; i < cpus; ++i) {
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(i) + "/topology/";
    const std::string siblings = word_of(folder + "thread_siblings_list");
    if (!siblings.empty()) cores.insert(siblings);
  }
  return static_cast<int>(cores.size());
}

// One core per distinct (physical id, core id); 0 if /proc/cpuinfo does not tell.
int procfs_cores() {
  std::set<std::pair<std::string, std::string>> cores;
  std::ifstream file("/proc/cpuinfo");
  std::string package;
  for (std::string line; std::getline(file, line);) {
    const std::string value = line.substr(std::min(line.find(':'), line.size()));
    if (line.rfind("physical id", 0) == 0) package = value;
    if (line.rfind("core id", 0) == 0) cores.emplace(package, value);
  }
  return static_cast<int>(cores.size());
}

#elif defined(__APPLE__)

int64_t sysctl_number(const char* name, int64_t fallback) {
  int64_t value = 0;
  size_t size = sizeof(value);
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value > 0 ? value : fallback;
}

#endif

CpuInfo read_cpu_info() {
  CpuInfo info;
  info.logical = static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  info.physical = info.logical;
#if defined(CONVCORE_X86)
  read_features(info);
  read_model(info);
  [[maybe_unused]] const bool caches_known = read_caches(info);
#else
  [[maybe_unused]] const bool caches_known = false;
#if defined(__aarch64__)
  info.neon = true;
#endif
#endif
#if defined(__linux__)
  if (!caches_known) read_sysfs_caches(info);
  int cores = sysfs_cores();
  if (cores == 0) cores = procfs_cores();
  if (cores > 0) info.physical = std::min(cores, info.logical);
#elif defined(__APPLE__)
  info.l1d = sysctl_number("hw.l1dcachesize", info.l1d);
  info.l2 = sysctl_number("hw.l2cachesize", info.l2);
  info.l3 = sysctl_number("hw.l3cachesize", info.l3);
  info.physical = static_cast<int>(sysctl_number("hw.physicalcpu", info.physical));
#endif
  return info;
}

}  // namespace

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::neon:
      return "neon";
    default:
      return "portable";
  }
}

const CpuInfo& cpu_info() {
  static const CpuInfo info = read_cpu_info();
  return info;
}

}  // namespace convcore
