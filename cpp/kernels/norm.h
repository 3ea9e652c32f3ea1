// SPDX-License-Identifier: BSD-3-Clause
// Batch norm and local response norm. Pointers, sizes and pitches only; see table.h.
//
// A block is `pixels` x `channels`, pitches are floats from one pixel to the next, statistics have one float per
// channel.
#pragma once

#include <cstdint>

namespace convcore {

struct NormBlock {
  int64_t pixels, channels;
  int64_t x_pitch, y_pitch;  // y: the output, or its gradient
};

// Coefficients of local response norm: s[c] = k + scale * sum of x[j]^2, c - size / 2 <= j <= c + (size - 1) / 2.
struct ResponseArgs {
  int64_t size;
  float scale, beta, k;  // scale: alpha / size
};

struct NormKernels {
  // The mean of x, and the sum of (x - mean)^2, over the block.
  void (*moments)(const NormBlock& block, const float* x, float* mean, float* square);
  // The same of all `pixels`, from blocks of chunk_pixels each (the last may be short): block i's mean stands at
  // parts + 2 * i * channels, its square behind it. total: the mean, then the square.
  void (*combine_moments)(int64_t chunk_pixels, int64_t pixels, int64_t channels, const float* parts, double* total);
  // total[j] = sum over i < count, in order, of parts[i * size + j]
  void (*combine)(int64_t count, int64_t size, const float* parts, double* total);
  // scale = weight / sqrt(var + eps), shift = bias - mean * scale; weight and bias may be null (1 and 0).
  void (*fold)(int64_t channels, const float* mean, const float* var, const float* weight, const float* bias, float eps,
               float* scale, float* shift);
  // y = (x - mean) * scale + shift; mean may be null (0). y may be x.
  void (*normalize)(const NormBlock& block, const float* x, const float* mean, const float* scale, const float* shift,
                    float* y);
  // sum = sum of dy, dot = sum of dy * (x - mean) over the block.
  void (*backward_sums)(const NormBlock& block, const float* x, const float* dy, const float* mean, float* sum,
                        float* dot);
  // dx = scale * (dy - offset - slope * (x - mean)). dx may be x or dy.
  void (*backward_input)(const NormBlock& block, const float* x, const float* dy, const float* mean, const float* scale,
                         const float* offset, const float* slope, float* dx, int64_t dx_pitch);

  // y = x * s^-beta; ratio = s^(-beta - 1), packed, if not null.
  void (*response)(const NormBlock& block, const ResponseArgs& args, const float* x, float* y, float* ratio);
  // dx[j] = dy[j] * s[j]^-beta - 2 * scale * beta * x[j] * sum over the c whose s[c] holds j of dy[c] * x[c] *
  // ratio[c].
  void (*response_backward)(const NormBlock& block, const ResponseArgs& args, const float* x, const float* dy,
                            const float* ratio, float* dx, int64_t dx_pitch);
};

}  // namespace convcore
