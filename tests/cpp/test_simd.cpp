// SPDX-License-Identifier: BSD-3-Clause
// The vector contract of simd/vec.h, for every ISA that this processor has.
#include <doctest/doctest.h>

#include "guard.h"
#include "kernels/table.h"
#include "simd_checks.h"

namespace convcore {

namespace portable {
void check_simd(float* guarded_end, Report report);
}
namespace avx2 {
void check_simd(float* guarded_end, Report report);
}
namespace avx512 {
void check_simd(float* guarded_end, Report report);
}
namespace neon {
void check_simd(float* guarded_end, Report report);
}

namespace {

SimdChecks checks_of(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::avx2: return avx2::check_simd;
    case Isa::avx512: return avx512::check_simd;
#elif defined(__aarch64__)
    case Isa::neon: return neon::check_simd;
#endif
    default: return portable::check_simd;
  }
}

}  // namespace

TEST_CASE("vec keeps its contract") {
  testing::Guarded<float> memory(64);
  for (Isa isa : available_isas()) {
    CAPTURE(name_of(isa));
    checks_of(isa)(memory.end(), [](bool ok, const char* what) { CHECK_MESSAGE(ok, what); });
  }
}

}  // namespace convcore
