// SPDX-License-Identifier: BSD-3-Clause
// Local response norm.
#include "kernels/norm.h"

#include "simd/loop.h"

namespace convcore::CONVCORE_ISA {
namespace {

CC_INLINE int at_most(int64_t n, int most) { return n < most ? static_cast<int>(n) : most; }

enum { kShifts = 16, kBuffer = kShifts + kLanes };

// `count` channels of a pixel from `first` on, zero outside [0, channels).
CC_INLINE const float* clipped(const float* x, int64_t first, int count, int64_t channels, float* buffer) {
  if (first >= 0 && first + count <= channels) return x + first;
  for (int i = 0; i < count; ++i) buffer[i] = first + i >= 0 && first + i < channels ? x[first + i] : 0.0f;
  return buffer;
}

// First channels that the window's taps give to a vector's first lane, less those that give all lanes zero.
struct Shifts {
  int64_t begin, end;
};
CC_INLINE Shifts shifts_of(int64_t begin, int64_t size, int64_t channels) {
  const int64_t end = begin + size;
  return {begin < 1 - kLanes ? 1 - kLanes : begin, end > channels ? channels : end};
}

// s of channels c, c + 1, ...
CC_INLINE Vec response_sum(const ResponseArgs& a, const float* x, int64_t c, int64_t channels) {
  Vec total = zero();
  float buffer[kBuffer];
  const Shifts range = shifts_of(c - a.size / 2, a.size, channels);
  for (int64_t first = range.begin; first < range.end; first += kShifts) {
    const int shifts = at_most(range.end - first, kShifts);
    const float* p = clipped(x, first, shifts - 1 + kLanes, channels, buffer);
    for (int i = 0; i < shifts; ++i) {
      const Vec v = load(p + i);
      total = fma(v, v, total);
    }
  }
  return fma(total, set1(a.scale), set1(a.k));
}

// s^-beta; square roots for the usual exponents, which are many times faster than powf.
CC_INLINE Vec inverse_power(Vec s, float beta) {
  if (beta == 0.75f) {
    const Vec root = sqrt(s);
    return div(set1(1.0f), mul(root, sqrt(root)));
  }
  if (beta == 0.5f) return div(set1(1.0f), sqrt(s));
  if (beta == 1.0f) return div(set1(1.0f), s);
  float lanes[kLanes];
  store(lanes, s);
  for (int i = 0; i < kLanes; ++i) lanes[i] = __builtin_powf(lanes[i], -beta);
  return load(lanes);
}

void response(const NormBlock& b, const ResponseArgs& a, const float* x, float* y, float* ratio) {
  for (int64_t i = 0; i < b.pixels; ++i, x += b.x_pitch, y += b.y_pitch)
    for (int64_t c = 0; c < b.channels; c += kLanes) {
      const int n = at_most(b.channels - c, kLanes);
      const Vec s = response_sum(a, x, c, b.channels);
      const Vec power = inverse_power(s, a.beta);
      store_some(y + c, mul(load_some(x + c, n), power), n);
      if (ratio) store_some(ratio + i * b.channels + c, div(power, s), n);
    }
}

void response_backward(const NormBlock& b, const ResponseArgs& a, const float* x, const float* dy, const float* ratio,
                       float* dx, int64_t dx_pitch) {
  float x_buffer[kBuffer], dy_buffer[kBuffer], ratio_buffer[kBuffer];
  const Vec slope = set1(-2.0f * a.scale * a.beta);
  for (int64_t i = 0; i < b.pixels; ++i, x += b.x_pitch, dy += b.y_pitch, dx += dx_pitch, ratio += b.channels)
    for (int64_t c = 0; c < b.channels; c += kLanes) {
      const int n = at_most(b.channels - c, kLanes);
      Vec total = zero();
      const Shifts range = shifts_of(c - (a.size - 1) / 2, a.size, b.channels);
      for (int64_t first = range.begin; first < range.end; first += kShifts) {
        const int shifts = at_most(range.end - first, kShifts), count = shifts - 1 + kLanes;
        const float* px = clipped(x, first, count, b.channels, x_buffer);
        const float* pdy = clipped(dy, first, count, b.channels, dy_buffer);
        const float* pr = clipped(ratio, first, count, b.channels, ratio_buffer);
        for (int k = 0; k < shifts; ++k) total = fma(mul(load(pdy + k), load(px + k)), load(pr + k), total);
      }
      // s^-beta = ratio * s saves a second power.
      const Vec power = mul(load_some(ratio + c, n), response_sum(a, x, c, b.channels));
      const Vec direct = mul(load_some(dy + c, n), power);
      store_some(dx + c, fma(mul(slope, load_some(x + c, n)), total, direct), n);
    }
}

}  // namespace

void fill_response(NormKernels& k) {
  k.response = response;
  k.response_backward = response_backward;
}

}  // namespace convcore::CONVCORE_ISA
