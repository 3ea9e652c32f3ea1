// SPDX-License-Identifier: BSD-3-Clause
// One vector of floats, four widths. Only files of kernels/ include this, once per ISA: CMake compiles them with the
// ISA's flags and CONVCORE_ISA=portable|avx2|avx512|neon, and all their code stands in namespace
// convcore::CONVCORE_ISA. Everything here is static and always inlined, so that no copy compiled for a newer ISA can be
// picked by the linker.
//
// The contract of each width (lanes beyond n are zero on load_n and untouched in memory on store_n; 0 <= n <= kLanes):
//   kLanes
//   Vec load(const float*)      Vec load_n(const float*, int n)      unaligned
//   store(float*, Vec)          store_n(float*, Vec, int n)
//   Vec set1(float)   Vec zero()
//   Vec fma(a, b, c) = a * b + c, rounded once (portable: may round twice)
//   Vec add, sub, mul, div, min, max, sqrt, round (to nearest even), abs
//     min(a, b), max(a, b): b where either is NaN, as x86's minps/maxps
//   Vec if_gt(a, b, x, y): x where a > b, else y (NaN: y)             if_ge, if_eq alike
//   Vec load_u8(const uint8_t*): kLanes bytes as floats            store_u8(uint8_t*, v): integral v in [0, 255]
//   Index load_index(const int*): kLanes lane numbers
//   Vec permute(v, i): lane l is v[i[l]], 0 <= i[l] < kLanes
//   Vec permute2(a, b, i): lane l is lane i[l] of a followed by b, 0 <= i[l] < 2 * kLanes
//   Vec if_byte(const uint8_t* p, int byte, x, y): x where p[lane] == byte, else y; reads kLanes bytes
//   VecBits: kLanes words of 32 bits
//   multiply_wide(VecBits a, VecBits b, VecBits* low, VecBits* high): a * b, all 64 bits of it
//   Vec times_pow2(v, k): v 2^k for integral k in [-252, 254]         float sum(v), float hmax(v)
//   stream(float*, Vec): to aligned memory, past the caches where there is a way; others see it after stream_fence()
//   transpose(Vec (&r)[kLanes]): lane j of r[i] and lane i of r[j] change places
//   pin(v): v, held in a register (else a compiler may load it from memory again for each of its uses)
//   Of two half vectors, n <= kLanes / 2 (a few channels of two pixels):
//     Vec load_halves(const float* low, const float* high, int n)      store_halves(float* low, float* high, v, int n)
//     transpose_halves(Vec (&r)[kLanes / 2]): the squares of lower halves, and of upper halves, as transpose does
#pragma once

#define CC_INLINE static inline __attribute__((always_inline, unused))

#if !defined(CONVCORE_ISA)
#error "kernels are compiled by CMake, once per ISA, with CONVCORE_ISA defined"
#endif
#define CC_ISA_portable 1
#define CC_ISA_avx2 2
#define CC_ISA_avx512 3
#define CC_ISA_neon 4
#define CC_PASTE_(a, b) a##b
#define CC_PASTE(a, b) CC_PASTE_(a, b)
#define CC_ISA_NUMBER CC_PASTE(CC_ISA_, CONVCORE_ISA)

#if CC_ISA_NUMBER == CC_ISA_avx512
#include "simd/vec_avx512.h"
#elif CC_ISA_NUMBER == CC_ISA_avx2
#include "simd/vec_avx2.h"
#elif CC_ISA_NUMBER == CC_ISA_neon
#include "simd/vec_neon.h"
#else
#include "simd/vec_portable.h"
#endif

#if CC_ISA_NUMBER != CC_ISA_avx512  // which has an instruction
namespace convcore::CONVCORE_ISA {

// In halves, since 2^k itself may overflow.
CC_INLINE Vec times_pow2(Vec v, Vec k) {
  const Vec half = round(mul(k, set1(0.5f)));
  return mul(mul(v, pow2i(half)), pow2i(sub(k, half)));
}

}  // namespace convcore::CONVCORE_ISA
#endif
