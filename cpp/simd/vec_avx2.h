// SPDX-License-Identifier: BSD-3-Clause
// 8 floats: AVX2 and FMA. Contract: vec.h.
#pragma once

#include <immintrin.h>

namespace convcore::CONVCORE_ISA {

using Vec = __m256;
constexpr int kLanes = 8;
typedef unsigned VecBits __attribute__((vector_size(sizeof(Vec))));

CC_INLINE __m256i first_lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

CC_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
CC_INLINE Vec load_n(const float* p, int n) { return _mm256_maskload_ps(p, first_lanes(n)); }
CC_INLINE void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
// vmaskmovps stores are microcoded on AMD, so the tail goes in pieces.
CC_INLINE void store_n(float* p, Vec v, int n) {
  if (n == 8) return _mm256_storeu_ps(p, v);
  __m128 half = _mm256_castps256_ps128(v);
  if (n >= 4) {
    _mm_storeu_ps(p, half);
    half = _mm256_extractf128_ps(v, 1);
    p += 4;
    n -= 4;
  }
  if (n >= 2) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), half);
    half = _mm_movehl_ps(half, half);
    p += 2;
    n -= 2;
  }
  if (n) _mm_store_ss(p, half);
}
CC_INLINE void stream(float* p, Vec v) { _mm256_stream_ps(p, v); }
CC_INLINE void stream_fence() { _mm_sfence(); }
CC_INLINE Vec set1(float x) { return _mm256_set1_ps(x); }
CC_INLINE Vec zero() { return _mm256_setzero_ps(); }
CC_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
CC_INLINE Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
CC_INLINE Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
CC_INLINE Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
CC_INLINE Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
CC_INLINE Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
CC_INLINE Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
CC_INLINE Vec sqrt(Vec a) { return _mm256_sqrt_ps(a); }
CC_INLINE Vec round(Vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
CC_INLINE Vec abs(Vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
CC_INLINE Vec if_gt(Vec a, Vec b, Vec x, Vec y) { return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ)); }
CC_INLINE Vec if_ge(Vec a, Vec b, Vec x, Vec y) { return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GE_OQ)); }
CC_INLINE Vec if_eq(Vec a, Vec b, Vec x, Vec y) { return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_EQ_OQ)); }
using Index = __m256i;
CC_INLINE Index load_index(const int* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
CC_INLINE Vec permute(Vec v, Index i) { return _mm256_permutevar8x32_ps(v, i); }
CC_INLINE Vec permute2(Vec a, Vec b, Index i) {
  const __m256 in_b = _mm256_castsi256_ps(_mm256_slli_epi32(i, 28));  // the sign bit: lane numbers of b have bit 3
  return _mm256_blendv_ps(permute(a, i), permute(b, i), in_b);
}
// 2^v for integral v in [-126, 127]
CC_INLINE Vec pow2i(Vec v) {
  const __m256i e = _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(e, 23));
}
CC_INLINE Vec load_u8(const unsigned char* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
CC_INLINE Vec if_byte(const unsigned char* p, int byte, Vec x, Vec y) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  const __m128i equal = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(static_cast<char>(byte)));
  return _mm256_blendv_ps(y, x, _mm256_castsi256_ps(_mm256_cvtepi8_epi32(equal)));
}
CC_INLINE void store_u8(unsigned char* p, Vec v) {
  const __m256i i = _mm256_cvtps_epi32(v);
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
}
// Products of the even and the odd words; then each word goes where its product belongs.
CC_INLINE void multiply_wide(VecBits a, VecBits b, VecBits* low, VecBits* high) {
  const __m256i even = _mm256_mul_epu32((__m256i)a, (__m256i)b);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)a, 32), _mm256_srli_epi64((__m256i)b, 32));
  *low = (VecBits)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
  *high = (VecBits)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}
CC_INLINE Vec pin(Vec v) {
  __asm__("" : "+x"(v));
  return v;
}
CC_INLINE float sum(Vec v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
CC_INLINE float hmax(Vec v) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
CC_INLINE void transpose(Vec (&r)[kLanes]) {
  Vec t[kLanes];
#pragma GCC unroll 4
  for (int i = 0; i < kLanes; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < kLanes; i += 4)
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      r[i + 2 * h] = _mm256_shuffle_ps(t[i + h], t[i + h + 2], 0x44);
      r[i + 2 * h + 1] = _mm256_shuffle_ps(t[i + h], t[i + h + 2], 0xee);
    }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const Vec low = r[j], high = r[4 + j];
    r[j] = _mm256_permute2f128_ps(low, high, 0x20);
    r[4 + j] = _mm256_permute2f128_ps(low, high, 0x31);
  }
}
CC_INLINE __m128 load_quarters(const float* p, int n) {
  return _mm_maskload_ps(p, _mm_cmpgt_epi32(_mm_set1_epi32(n), _mm_setr_epi32(0, 1, 2, 3)));
}
CC_INLINE Vec load_halves(const float* low, const float* high, int n) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(load_quarters(low, n)), load_quarters(high, n), 1);
}
CC_INLINE void store_halves(float* low, float* high, Vec v, int n) {
  store_n(low, v, n);
  store_n(high, _mm256_castps128_ps256(_mm256_extractf128_ps(v, 1)), n);
}
CC_INLINE void transpose_halves(Vec (&r)[kLanes / 2]) {
  const Vec a = _mm256_unpacklo_ps(r[0], r[1]), b = _mm256_unpackhi_ps(r[0], r[1]);
  const Vec c = _mm256_unpacklo_ps(r[2], r[3]), d = _mm256_unpackhi_ps(r[2], r[3]);
  r[0] = _mm256_shuffle_ps(a, c, 0x44), r[1] = _mm256_shuffle_ps(a, c, 0xee);
  r[2] = _mm256_shuffle_ps(b, d, 0x44), r[3] = _mm256_shuffle_ps(b, d, 0xee);
}

}  // namespace convcore::CONVCORE_ISA
