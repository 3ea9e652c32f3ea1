// SPDX-License-Identifier: BSD-3-Clause
// Convolution with few output channels: a vector along channels would leave lanes idle; here it runs along the pixels
// of a row. Activations become planes, one per channel, and results are put back between their channels' neighbours.
#pragma once

#include <cstdint>

namespace convcore {

inline constexpr int kMaxPlaneOutputs = 8, kMaxPlaneVectors = 8;

// For vector n < vectors, lane l < pixels[n] and output j < outputs:
//   acc = sum over c < channels, t < taps of x[c * plane + offsets[t] + at[n] + l] * w[(c * taps + t) * outputs + j];
//   y[n][l * y_step + j] = min(max(acc + bias[j] + add[n][l * y_step of add + j], lower), upper)
// without bias or add where they are null. Of x, whole vectors are read; add may be y.
struct PlaneArgs {
  const float* x;
  int64_t channels, plane, taps;
  const int64_t* offsets;
  const float* w;
  int vectors;  // at most tile_vectors[outputs - 1]
  const int64_t* at;
  const int* pixels;
  float* const* y;
  int64_t y_step;
  const float* bias;
  const float* const* add;
  int64_t add_step;
  float lower, upper;
};

// For j < outputs and r < rows, with length a multiple of lanes,
//   sums[(j * rows + r) * lanes + l] (+)= sum over i = l, l + lanes, ... < length of
//       x[offsets[r] + i] * dy[j * plane + i].
struct PlaneProductArgs {
  const float *x, *dy;
  int64_t plane, length, rows;
  const int64_t* offsets;
  float* sums;
  bool accumulate;
};

struct PlaneKernels {
  int lanes;
  int tile_vectors[kMaxPlaneOutputs];  // with 1, 2, ... outputs
  int product_rows[kMaxPlaneOutputs];  // that are computed together
  // out[c * plane + p] = p < left ? 0 : p < left + pixels ? in[(p - left) * pitch + c] : 0, for p < width, c < channels
  void (*to_planes)(const float* in, int64_t pitch, int64_t pixels, int64_t channels, int64_t left, int64_t width,
                    float* out, int64_t plane);
  void (*tile)(int outputs, const PlaneArgs& args);
  void (*product)(int outputs, const PlaneProductArgs& args);
};

}  // namespace convcore
