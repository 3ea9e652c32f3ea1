// SPDX-License-Identifier: BSD-3-Clause
// What this processor can do, from CPUID (x86) and the compiler's baseline elsewhere.
#pragma once

#include <cstdint>
#include <string>

namespace convcore {

enum class Isa { portable, avx2, avx512, neon };

const char* name_of(Isa isa);

struct CpuInfo {
  std::string model;      // marketing name, "" if unknown
  bool avx2 = false;      // AVX2 and FMA, enabled by the operating system
  bool avx512 = false;    // F, DQ, BW and VL, enabled by the operating system
  bool neon = false;
  int64_t l1d = 32 << 10, l2 = 512 << 10, l3 = 8 << 20;  // bytes; these defaults where unknown
  int logical = 1, physical = 1;
};

const CpuInfo& cpu_info();  // read once; never fails

}  // namespace convcore
