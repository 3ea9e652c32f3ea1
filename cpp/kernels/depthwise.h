// SPDX-License-Identifier: BSD-3-Clause
// Depthwise convolution: each channel has its own stencil, and vectors lie along channels. One contract serves forward
// and the dense stencils that backward-input falls into. Pointers, sizes and pitches only; see table.h.
#pragma once

#include <cstdint>

namespace convcore {

// One axis of a stencil: output i reads the inputs i * step + first + k * tap_step, k < taps. Those outside [0, size)
// are zero, and are not read.
struct DepthwiseAxis {
  int64_t size, step, first, taps, tap_step;

  int64_t input(int64_t output, int64_t tap) const { return output * step + first + tap * tap_step; }
};

// Floats from one row, and from one column, to the next.
struct DepthwisePitch {
  int64_t row, col;
};

// y[i][j][c] = clamp(bias[c] + sum over kh, kw of x[h.input(i, kh)][w.input(j, kw)][c] * weight[kh][kw][c]
// + residual[i][j][c]) for i in [first_row, last_row), j < cols, c < channels, added up from left to right.
struct DepthwiseMap {
  DepthwiseAxis h, w;
  int64_t first_row, last_row, cols, channels;
  const float* x;
  DepthwisePitch x_pitch;
  const float* weight;
  DepthwisePitch weight_pitch;  // whole vectors are read: multiples of `lanes`
  float* y;
  DepthwisePitch y_pitch;
  const float* bias;      // or null
  const float* residual;  // or null; may be y itself
  DepthwisePitch residual_pitch;
  float lower, upper;  // (0, inf) is ReLU, (0, 6) ReLU6
  bool fetch;          // x and y outgrow the caches: fetch ahead, by steps too long for the processor to guess
};

// `spread` is the transpose for steps of 2, w.taps 3 or 5 and tap_steps of 1: y[i][j][c] = clamp(bias[c] + sum over a,
// b, kh, kw with h.input(a, kh) == i and w.input(b, kw) == j of x[a][b][c] * weight[kh][kw][c] + residual[i][j][c]).

// sum[kh * w.taps + kw][c] += sum over i in [first_row, last_row), j < cols of x[h.input(i, kh)][w.input(j, kw)][c] *
// dy[i][j][c], c < channels, in an order that depends on the sizes alone.
struct DepthwiseReduce {
  DepthwiseAxis h, w;
  int64_t first_row, last_row, cols, channels;
  const float* x;
  DepthwisePitch x_pitch;
  const float* dy;
  DepthwisePitch dy_pitch;
  float* sum;
  int64_t sum_pitch;  // from one tap to the next
};

struct DepthwiseKernels {
  int lanes;
  void (*map)(const DepthwiseMap& args);
  void (*spread)(const DepthwiseMap& args);
  void (*reduce)(const DepthwiseReduce& args);
};

}  // namespace convcore
