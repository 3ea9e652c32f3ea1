// SPDX-License-Identifier: BSD-3-Clause
// 4 floats: AArch64 Advanced SIMD. Contract: vec.h.
#pragma once

#include <arm_neon.h>

namespace convcore::CONVCORE_ISA {

using Vec = float32x4_t;
constexpr int kLanes = 4;
typedef unsigned VecBits __attribute__((vector_size(sizeof(Vec))));

CC_INLINE Vec load(const float* p) { return vld1q_f32(p); }
CC_INLINE void store(float* p, Vec v) { vst1q_f32(p, v); }
CC_INLINE Vec zero() { return vdupq_n_f32(0.0f); }
CC_INLINE Vec load_n(const float* p, int n) {
  if (n == 4) return vld1q_f32(p);
  Vec v = zero();
  if (n > 0) v = vld1q_lane_f32(p, v, 0);
  if (n > 1) v = vld1q_lane_f32(p + 1, v, 1);
  if (n > 2) v = vld1q_lane_f32(p + 2, v, 2);
  return v;
}
CC_INLINE void store_n(float* p, Vec v, int n) {
  if (n == 4) return vst1q_f32(p, v);
  if (n > 0) vst1q_lane_f32(p, v, 0);
  if (n > 1) vst1q_lane_f32(p + 1, v, 1);
  if (n > 2) vst1q_lane_f32(p + 2, v, 2);
}
CC_INLINE void stream(float* p, Vec v) { vst1q_f32(p, v); }
CC_INLINE void stream_fence() {}
CC_INLINE Vec set1(float x) { return vdupq_n_f32(x); }
CC_INLINE Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
CC_INLINE Vec add(Vec a, Vec b) { return vaddq_f32(a, b); }
CC_INLINE Vec sub(Vec a, Vec b) { return vsubq_f32(a, b); }
CC_INLINE Vec mul(Vec a, Vec b) { return vmulq_f32(a, b); }
CC_INLINE Vec div(Vec a, Vec b) { return vdivq_f32(a, b); }
// Not vminq/vmaxq: those return NaN where x86 returns the second operand.
CC_INLINE Vec min(Vec a, Vec b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
CC_INLINE Vec max(Vec a, Vec b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
CC_INLINE Vec sqrt(Vec a) { return vsqrtq_f32(a); }
CC_INLINE Vec round(Vec a) { return vrndnq_f32(a); }
CC_INLINE Vec abs(Vec a) { return vabsq_f32(a); }
CC_INLINE Vec if_gt(Vec a, Vec b, Vec x, Vec y) { return vbslq_f32(vcgtq_f32(a, b), x, y); }
CC_INLINE Vec if_ge(Vec a, Vec b, Vec x, Vec y) { return vbslq_f32(vcgeq_f32(a, b), x, y); }
CC_INLINE Vec if_eq(Vec a, Vec b, Vec x, Vec y) { return vbslq_f32(vceqq_f32(a, b), x, y); }
using Index = uint8x16_t;  // of bytes: a lane's four
CC_INLINE Index load_index(const int* p) {
  const uint32x4_t first = vmulq_n_u32(vreinterpretq_u32_s32(vld1q_s32(p)), 0x04040404u);
  return vreinterpretq_u8_u32(vaddq_u32(first, vdupq_n_u32(0x03020100u)));
}
CC_INLINE Vec permute(Vec v, Index i) { return vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(v), i)); }
CC_INLINE Vec permute2(Vec a, Vec b, Index i) {
  const uint8x16x2_t both = {{vreinterpretq_u8_f32(a), vreinterpretq_u8_f32(b)}};
  return vreinterpretq_f32_u8(vqtbl2q_u8(both, i));
}
// 2^v for integral v in [-126, 127]
CC_INLINE Vec pow2i(Vec v) {
  return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(v), vdupq_n_s32(127)), 23));
}
CC_INLINE Vec load_u8(const unsigned char* p) {
  unsigned int four;
  __builtin_memcpy(&four, p, sizeof four);
  return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four)))));
}
CC_INLINE Vec if_byte(const unsigned char* p, int byte, Vec x, Vec y) {
  return if_eq(load_u8(p), set1(static_cast<float>(byte)), x, y);
}
CC_INLINE void store_u8(unsigned char* p, Vec v) {
  const uint16x4_t words = vmovn_u32(vcvtnq_u32_f32(v));
  const unsigned int four = vget_lane_u32(vreinterpret_u32_u8(vmovn_u16(vcombine_u16(words, words))), 0);
  __builtin_memcpy(p, &four, sizeof four);
}
CC_INLINE void multiply_wide(VecBits a, VecBits b, VecBits* low, VecBits* high) {
  const uint32x4_t x = (uint32x4_t)a, y = (uint32x4_t)b;
  const uint32x4_t first = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(x), vget_low_u32(y)));
  const uint32x4_t second = vreinterpretq_u32_u64(vmull_high_u32(x, y));
  *low = (VecBits)vuzp1q_u32(first, second);
  *high = (VecBits)vuzp2q_u32(first, second);
}
CC_INLINE Vec pin(Vec v) {
  __asm__("" : "+w"(v));
  return v;
}
CC_INLINE float sum(Vec v) { return vaddvq_f32(v); }
CC_INLINE float hmax(Vec v) { return vmaxvq_f32(v); }
CC_INLINE void transpose(Vec (&r)[kLanes]) {
  const float32x4x2_t a = vtrnq_f32(r[0], r[1]), b = vtrnq_f32(r[2], r[3]);
  r[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
  r[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
  r[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
  r[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}
CC_INLINE Vec load_halves(const float* low, const float* high, int n) {
  return vcombine_f32(vget_low_f32(load_n(low, n)), vget_low_f32(load_n(high, n)));
}
CC_INLINE void store_halves(float* low, float* high, Vec v, int n) {
  store_n(low, v, n);
  store_n(high, vcombine_f32(vget_high_f32(v), vget_high_f32(v)), n);
}
CC_INLINE void transpose_halves(Vec (&r)[kLanes / 2]) {
  const float32x4x2_t t = vtrnq_f32(r[0], r[1]);
  r[0] = t.val[0], r[1] = t.val[1];
}

}  // namespace convcore::CONVCORE_ISA
