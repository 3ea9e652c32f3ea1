// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/norm.h"

#include "simd/loop.h"

namespace convcore::CONVCORE_ISA {
namespace {

enum { kWide = 4 };  // vectors that a reduction keeps in registers

CC_INLINE int at_most(int64_t n, int most) { return n < most ? static_cast<int>(n) : most; }

// Two passes: a first mean m, then d = x - m. What rounding left in m is put right by the sum of d:
//   mean = m + sum(d) / n,   square = sum(d^2) - sum(d)^2 / n
CC_INLINE void moments_block(const NormBlock& b, const float* x, float* mean, float* square, int vectors, int n) {
  Vec m[kWide], d1[kWide], d2[kWide];
  const Vec inverse = set1(1.0f / static_cast<float>(b.pixels));
  for (int v = 0; v < vectors; ++v) m[v] = d1[v] = d2[v] = zero();
  const float* p = x;
  for (int64_t i = 0; i < b.pixels; ++i, p += b.x_pitch)
    for (int v = 0; v < vectors; ++v) m[v] = add(m[v], load_some(p + v * kLanes, n));
  for (int v = 0; v < vectors; ++v) m[v] = mul(m[v], inverse);
  p = x;
  for (int64_t i = 0; i < b.pixels; ++i, p += b.x_pitch)
    for (int v = 0; v < vectors; ++v) {
      const Vec d = sub(load_some(p + v * kLanes, n), m[v]);
      d1[v] = add(d1[v], d);
      d2[v] = fma(d, d, d2[v]);
    }
  for (int v = 0; v < vectors; ++v) {
    const Vec shift = mul(d1[v], inverse);
    store_some(mean + v * kLanes, add(m[v], shift), n);
    store_some(square + v * kLanes, max(zero(), sub(d2[v], mul(d1[v], shift))), n);
  }
}

void moments(const NormBlock& b, const float* x, float* mean, float* square) {
  int64_t c = 0;
  for (; c + kWide * kLanes <= b.channels; c += kWide * kLanes)
    moments_block(b, x + c, mean + c, square + c, kWide, kLanes);
  for (; c + kLanes <= b.channels; c += kLanes) moments_block(b, x + c, mean + c, square + c, 1, kLanes);
  if (c < b.channels) moments_block(b, x + c, mean + c, square + c, 1, static_cast<int>(b.channels - c));
}

// mean = sum of n_i mean_i / n,   square = sum of square_i + n_i (mean_i - mean)^2
void combine_moments(int64_t chunk_pixels, int64_t pixels, int64_t channels, const float* parts, double* total) {
  double *mean = total, *square = total + channels;
  for (int64_t c = 0; c < channels; ++c) mean[c] = square[c] = 0;
  const float* part = parts;
  for (int64_t first = 0; first < pixels; first += chunk_pixels, part += 2 * channels) {
    const double n = static_cast<double>(pixels - first < chunk_pixels ? pixels - first : chunk_pixels);
    for (int64_t c = 0; c < channels; ++c) mean[c] += n * part[c];
  }
  for (int64_t c = 0; c < channels; ++c) mean[c] /= static_cast<double>(pixels);
  part = parts;
  for (int64_t first = 0; first < pixels; first += chunk_pixels, part += 2 * channels) {
    const double n = static_cast<double>(pixels - first < chunk_pixels ? pixels - first : chunk_pixels);
    for (int64_t c = 0; c < channels; ++c) {
      const double d = part[c] - mean[c];
      square[c] += part[channels + c] + n * d * d;
    }
  }
}

void combine(int64_t count, int64_t size, const float* parts, double* total) {
  for (int64_t j = 0; j < size; ++j) total[j] = 0;
  for (int64_t i = 0; i < count; ++i, parts += size)
    for (int64_t j = 0; j < size; ++j) total[j] += parts[j];
}

void fold(int64_t channels, const float* mean, const float* var, const float* weight, const float* bias, float eps,
          float* scale, float* shift) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    const int n = at_most(channels - c, kLanes);
    const Vec w = weight ? load_some(weight + c, n) : set1(1.0f);
    const Vec s = div(w, sqrt(add(load_some(var + c, n), set1(eps))));
    store_some(scale + c, s, n);
    store_some(shift + c, sub(bias ? load_some(bias + c, n) : zero(), mul(load_some(mean + c, n), s)), n);
  }
}

CC_INLINE void normalize_some(const float* x, const float* mean, const float* scale, const float* shift, float* y,
                              int n, bool centered) {
  Vec v = load_some(x, n);
  if (centered) v = sub(v, load_some(mean, n));
  store_some(y, fma(v, load_some(scale, n), load_some(shift, n)), n);
}

CC_INLINE void normalize_pixels(const NormBlock& b, const float* x, const float* mean, const float* scale,
                                const float* shift, float* y, bool centered) {
  for (int64_t i = 0; i < b.pixels; ++i, x += b.x_pitch, y += b.y_pitch) {
    int64_t c = 0;
    for (; c + kLanes <= b.channels; c += kLanes)
      normalize_some(x + c, centered ? mean + c : nullptr, scale + c, shift + c, y + c, kLanes, centered);
    if (c < b.channels)
      normalize_some(x + c, centered ? mean + c : nullptr, scale + c, shift + c, y + c,
                     static_cast<int>(b.channels - c), centered);
  }
}

void normalize(const NormBlock& b, const float* x, const float* mean, const float* scale, const float* shift,
               float* y) {
  if (mean)
    normalize_pixels(b, x, mean, scale, shift, y, true);
  else
    normalize_pixels(b, x, nullptr, scale, shift, y, false);
}

CC_INLINE void sums_block(const NormBlock& b, const float* x, const float* dy, const float* mean, float* sum,
                          float* dot, int vectors, int n) {
  Vec m[kWide], s[kWide], t[kWide];
  for (int v = 0; v < vectors; ++v) {
    m[v] = load_some(mean + v * kLanes, n);
    s[v] = t[v] = zero();
  }
  for (int64_t i = 0; i < b.pixels; ++i, x += b.x_pitch, dy += b.y_pitch)
    for (int v = 0; v < vectors; ++v) {
      const Vec g = load_some(dy + v * kLanes, n);
      s[v] = add(s[v], g);
      t[v] = fma(g, sub(load_some(x + v * kLanes, n), m[v]), t[v]);
    }
  for (int v = 0; v < vectors; ++v) {
    store_some(sum + v * kLanes, s[v], n);
    store_some(dot + v * kLanes, t[v], n);
  }
}

void backward_sums(const NormBlock& b, const float* x, const float* dy, const float* mean, float* sum, float* dot) {
  int64_t c = 0;
  for (; c + kWide * kLanes <= b.channels; c += kWide * kLanes)
    sums_block(b, x + c, dy + c, mean + c, sum + c, dot + c, kWide, kLanes);
  for (; c + kLanes <= b.channels; c += kLanes) sums_block(b, x + c, dy + c, mean + c, sum + c, dot + c, 1, kLanes);
  if (c < b.channels) sums_block(b, x + c, dy + c, mean + c, sum + c, dot + c, 1, static_cast<int>(b.channels - c));
}

CC_INLINE void backward_some(const float* x, const float* dy, const float* mean, const float* scale,
                             const float* offset, const float* slope, float* dx, int n) {
  const Vec centered = sub(load_some(x, n), load_some(mean, n));
  const Vec g = sub(sub(load_some(dy, n), load_some(offset, n)), mul(load_some(slope, n), centered));
  store_some(dx, mul(load_some(scale, n), g), n);
}

void backward_input(const NormBlock& b, const float* x, const float* dy, const float* mean, const float* scale,
                    const float* offset, const float* slope, float* dx, int64_t dx_pitch) {
  for (int64_t i = 0; i < b.pixels; ++i, x += b.x_pitch, dy += b.y_pitch, dx += dx_pitch) {
    int64_t c = 0;
    for (; c + kLanes <= b.channels; c += kLanes)
      backward_some(x + c, dy + c, mean + c, scale + c, offset + c, slope + c, dx + c, kLanes);
    if (c < b.channels)
      backward_some(x + c, dy + c, mean + c, scale + c, offset + c, slope + c, dx + c,
                    static_cast<int>(b.channels - c));
  }
}

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

NormKernels norm_kernels() {
  return {moments,        combine_moments, combine,          fold, normalize, backward_sums,
          backward_input, response,        response_backward};
}

}  // namespace convcore::CONVCORE_ISA
