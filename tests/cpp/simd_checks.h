// SPDX-License-Identifier: BSD-3-Clause
// simd_checks.cpp is compiled once per ISA, as kernels are: it registers nothing and runs only where the processor has
// the ISA.
#pragma once

namespace convcore {

using Report = void (*)(bool ok, const char* what);

// guarded_end: one past 64 writable floats, followed by memory that may not be touched.
using SimdChecks = void (*)(float* guarded_end, Report report);

}  // namespace convcore
