// SPDX-License-Identifier: BSD-3-Clause
// 16 floats: AVX-512 F, DQ, BW, VL. Contract: vec.h.
#pragma once

// GCC 12 takes the intrinsics' deliberate "undefined" operands for uninitialised reads.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop

namespace convcore::CONVCORE_ISA {

using Vec = __m512;
constexpr int kLanes = 16;
typedef unsigned VecBits __attribute__((vector_size(sizeof(Vec))));

CC_INLINE __mmask16 first_lanes(int n) { return static_cast<__mmask16>((1u << n) - 1u); }

CC_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
CC_INLINE Vec load_n(const float* p, int n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
CC_INLINE void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
CC_INLINE void store_n(float* p, Vec v, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }
CC_INLINE void stream(float* p, Vec v) { _mm512_stream_ps(p, v); }
CC_INLINE void stream_fence() { _mm_sfence(); }
CC_INLINE Vec set1(float x) { return _mm512_set1_ps(x); }
CC_INLINE Vec zero() { return _mm512_setzero_ps(); }
CC_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
CC_INLINE Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
CC_INLINE Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
CC_INLINE Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
CC_INLINE Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
CC_INLINE Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
CC_INLINE Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
CC_INLINE Vec sqrt(Vec a) { return _mm512_sqrt_ps(a); }
CC_INLINE Vec round(Vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
CC_INLINE Vec abs(Vec a) { return _mm512_abs_ps(a); }
CC_INLINE Vec if_gt(Vec a, Vec b, Vec x, Vec y) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), y, x);
}
CC_INLINE Vec if_ge(Vec a, Vec b, Vec x, Vec y) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GE_OQ), y, x);
}
CC_INLINE Vec if_eq(Vec a, Vec b, Vec x, Vec y) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), y, x);
}
using Index = __m512i;
CC_INLINE Index load_index(const int* p) { return _mm512_loadu_si512(p); }
CC_INLINE Vec permute(Vec v, Index i) { return _mm512_permutexvar_ps(i, v); }
CC_INLINE Vec permute2(Vec a, Vec b, Index i) { return _mm512_permutex2var_ps(a, i, b); }
CC_INLINE Vec times_pow2(Vec v, Vec k) { return _mm512_scalef_ps(v, k); }
CC_INLINE Vec load_u8(const unsigned char* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
CC_INLINE Vec if_byte(const unsigned char* p, int byte, Vec x, Vec y) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm512_mask_blend_ps(_mm_cmpeq_epi8_mask(bytes, _mm_set1_epi8(static_cast<char>(byte))), y, x);
}
CC_INLINE void store_u8(unsigned char* p, Vec v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}
// Products of the even and the odd words; then each word goes where its product belongs.
CC_INLINE void multiply_wide(VecBits a, VecBits b, VecBits* low, VecBits* high) {
  const __m512i even = _mm512_mul_epu32((__m512i)a, (__m512i)b);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)a, 32), _mm512_srli_epi64((__m512i)b, 32));
  *low = (VecBits)_mm512_mask_shuffle_epi32(even, 0xaaaa, odd, _MM_PERM_CCAA);
  *high = (VecBits)_mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
}
CC_INLINE Vec pin(Vec v) {
  __asm__("" : "+v"(v));
  return v;
}
// Halves are added in a fixed order, so the sum is the same bits on every run.
CC_INLINE float sum(Vec v) { return _mm512_reduce_add_ps(v); }
CC_INLINE float hmax(Vec v) { return _mm512_reduce_max_ps(v); }
// Pairs of lanes, of pairs, then quarters: unpack, unpack, and two rounds of whole 128-bit quarters.
CC_INLINE void transpose(Vec (&r)[kLanes]) {
  Vec t[kLanes];
#pragma GCC unroll 8
  for (int i = 0; i < kLanes; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < kLanes; i += 4)
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      const __m512d a = _mm512_castps_pd(t[i + h]), b = _mm512_castps_pd(t[i + h + 2]);
      r[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
      r[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {  // r[i + j]: element (q * 4 + j) of rows i .. i + 3 in quarter q
    const Vec a = _mm512_shuffle_f32x4(r[j], r[4 + j], 0x88), b = _mm512_shuffle_f32x4(r[j], r[4 + j], 0xdd);
    const Vec c = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0x88), d = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0xdd);
    t[j] = _mm512_shuffle_f32x4(a, c, 0x88), t[8 + j] = _mm512_shuffle_f32x4(a, c, 0xdd);
    t[4 + j] = _mm512_shuffle_f32x4(b, d, 0x88), t[12 + j] = _mm512_shuffle_f32x4(b, d, 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) r[i] = t[i];
}
CC_INLINE Vec load_halves(const float* low, const float* high, int n) {
  const __mmask8 mask = static_cast<__mmask8>((1u << n) - 1u);
  const __m256 a = _mm256_maskz_loadu_ps(mask, low), b = _mm256_maskz_loadu_ps(mask, high);
  return _mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1);
}
CC_INLINE void store_halves(float* low, float* high, Vec v, int n) {
  const __mmask8 mask = static_cast<__mmask8>((1u << n) - 1u);
  __m256 upper = _mm512_extractf32x8_ps(v, 1);
  __asm__("" : "+v"(upper));  // GCC would store while extracting, which faults on lanes that are masked out
  _mm256_mask_storeu_ps(low, mask, _mm512_castps512_ps256(v));
  _mm256_mask_storeu_ps(high, mask, upper);
}
CC_INLINE void transpose_halves(Vec (&r)[kLanes / 2]) {
  Vec t[kLanes / 2];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  const __m512i even = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), odd = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
    const __m512d a = _mm512_castps_pd(t[h]), b = _mm512_castps_pd(t[h + 2]);
    const __m512d c = _mm512_castps_pd(t[h + 4]), d = _mm512_castps_pd(t[h + 6]);
    const __m512d ab = _mm512_unpacklo_pd(a, b), cd = _mm512_unpacklo_pd(c, d);
    const __m512d ba = _mm512_unpackhi_pd(a, b), dc = _mm512_unpackhi_pd(c, d);
    r[2 * h] = _mm512_castpd_ps(_mm512_permutex2var_pd(ab, even, cd));
    r[2 * h + 1] = _mm512_castpd_ps(_mm512_permutex2var_pd(ba, even, dc));
    r[2 * h + 4] = _mm512_castpd_ps(_mm512_permutex2var_pd(ab, odd, cd));
    r[2 * h + 5] = _mm512_castpd_ps(_mm512_permutex2var_pd(ba, odd, dc));
  }
}

}  // namespace convcore::CONVCORE_ISA
