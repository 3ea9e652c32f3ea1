// SPDX-License-Identifier: BSD-3-Clause
// 4 floats in the compiler's own vectors (GCC and Clang): SSE2, NEON or plain scalars, whatever the baseline has.
// Contract: vec.h.
#pragma once

namespace convcore::CONVCORE_ISA {

typedef float Vec __attribute__((vector_size(16), may_alias));
typedef int IntVec __attribute__((vector_size(16)));
constexpr int kLanes = 4;
typedef unsigned VecBits __attribute__((vector_size(sizeof(Vec))));

CC_INLINE Vec load(const float* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
CC_INLINE Vec load_n(const float* p, int n) {
  Vec v = {0, 0, 0, 0};
  for (int i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
CC_INLINE void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }
CC_INLINE void store_n(float* p, Vec v, int n) {
  for (int i = 0; i < n; ++i) p[i] = v[i];
}
CC_INLINE void stream(float* p, Vec v) { store(p, v); }
CC_INLINE void stream_fence() {}
CC_INLINE Vec set1(float x) { return Vec{x, x, x, x}; }
CC_INLINE Vec zero() { return Vec{0, 0, 0, 0}; }
CC_INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
CC_INLINE Vec add(Vec a, Vec b) { return a + b; }
CC_INLINE Vec sub(Vec a, Vec b) { return a - b; }
CC_INLINE Vec mul(Vec a, Vec b) { return a * b; }
CC_INLINE Vec div(Vec a, Vec b) { return a / b; }
CC_INLINE Vec select(IntVec mask, Vec x, Vec y) { return (Vec)((mask & (IntVec)x) | (~mask & (IntVec)y)); }
CC_INLINE Vec if_gt(Vec a, Vec b, Vec x, Vec y) { return select(a > b, x, y); }
CC_INLINE Vec if_ge(Vec a, Vec b, Vec x, Vec y) { return select(a >= b, x, y); }
CC_INLINE Vec if_eq(Vec a, Vec b, Vec x, Vec y) { return select(a == b, x, y); }
CC_INLINE Vec min(Vec a, Vec b) { return select(a < b, a, b); }
CC_INLINE Vec max(Vec a, Vec b) { return select(a > b, a, b); }
CC_INLINE Vec sqrt(Vec a) {
  for (int i = 0; i < kLanes; ++i) a[i] = __builtin_sqrtf(a[i]);
  return a;
}
CC_INLINE Vec abs(Vec a) { return (Vec)((IntVec)a & 0x7fffffff); }
// Adding and taking away 2^23 rounds |a| < 2^23 to nearest even; larger values have no fraction.
CC_INLINE Vec round(Vec a) {
  const Vec magnitude = abs(a), magic = set1(8388608.0f);
  Vec r = magnitude + magic;
  __asm__("" : "+m"(r));  // keeps the compiler from folding the pair away
  const IntVec sign = (IntVec)a & ~0x7fffffff;
  return if_gt(magic, magnitude, (Vec)((IntVec)(r - magic) | sign), a);
}
using Index = IntVec;
CC_INLINE Index load_index(const int* p) {
  Index i;
  __builtin_memcpy(&i, p, sizeof i);
  return i;
}
CC_INLINE Vec permute(Vec v, Index i) { return Vec{v[i[0]], v[i[1]], v[i[2]], v[i[3]]}; }
CC_INLINE Vec permute2(Vec a, Vec b, Index i) {
  float both[2 * kLanes];
  store(both, a);
  store(both + kLanes, b);
  return Vec{both[i[0]], both[i[1]], both[i[2]], both[i[3]]};
}
// 2^v for integral v in [-126, 127]
CC_INLINE Vec pow2i(Vec v) { return (Vec)((__builtin_convertvector(v, IntVec) + 127) << 23); }
CC_INLINE Vec load_u8(const unsigned char* p) { return Vec{float(p[0]), float(p[1]), float(p[2]), float(p[3])}; }
CC_INLINE Vec if_byte(const unsigned char* p, int byte, Vec x, Vec y) {
  return if_eq(load_u8(p), set1(static_cast<float>(byte)), x, y);
}
CC_INLINE void store_u8(unsigned char* p, Vec v) {
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<unsigned char>(v[i]);
}
CC_INLINE void multiply_wide(VecBits a, VecBits b, VecBits* low, VecBits* high) {
  for (int i = 0; i < kLanes; ++i) {
    const unsigned long long product = static_cast<unsigned long long>(a[i]) * b[i];
    (*low)[i] = static_cast<unsigned>(product);
    (*high)[i] = static_cast<unsigned>(product >> 32);
  }
}
CC_INLINE Vec pin(Vec v) { return v; }
CC_INLINE float sum(Vec v) { return (v[0] + v[2]) + (v[1] + v[3]); }
CC_INLINE float hmax(Vec v) {
  const float a = v[0] > v[2] ? v[0] : v[2], b = v[1] > v[3] ? v[1] : v[3];
  return a > b ? a : b;
}
CC_INLINE void transpose(Vec (&r)[kLanes]) {
  const Vec a = r[0], b = r[1], c = r[2], d = r[3];
  for (int i = 0; i < kLanes; ++i) r[i] = Vec{a[i], b[i], c[i], d[i]};
}
CC_INLINE Vec load_halves(const float* low, const float* high, int n) {
  const Vec a = load_n(low, n), b = load_n(high, n);
  return Vec{a[0], a[1], b[0], b[1]};
}
CC_INLINE void store_halves(float* low, float* high, Vec v, int n) {
  store_n(low, v, n);
  store_n(high, Vec{v[2], v[3], 0, 0}, n);
}
CC_INLINE void transpose_halves(Vec (&r)[kLanes / 2]) {
  const Vec a = r[0], b = r[1];
  r[0] = Vec{a[0], b[0], a[2], b[2]}, r[1] = Vec{a[1], b[1], a[3], b[3]};
}

}  // namespace convcore::CONVCORE_ISA
