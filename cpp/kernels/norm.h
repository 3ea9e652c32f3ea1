// SPDX-License-Identifier: BSD-3-Clause
// Batch norm, layer and group norm, and local response norm. Pointers, sizes and pitches only; see table.h.
//
// A block is `pixels` x `channels`; statistics and coefficients have one float per channel.
#pragma once

#include <cstdint>

#include "kernels/elementwise.h"

namespace convcore {

// What batch norm makes of x before its activation, but for a residual: (x - mean) * scale + shift.
struct NormCoefficients {
  const float *mean, *scale, *shift;
};

// What it ends in.
enum class NormActivation { none, relu, relu6 };
inline constexpr int kNormActivations = 3;

// act: the kernel's NormActivation. Outputs may be the very memory of any input of their shape.
struct NormActivationKernels {
  // y = act((x - mean) * scale + shift + residual); residual.data may be null (0). past_caches: y outgrows the caches,
  // and goes past them where it can: it need not be read first.
  void (*normalize)(int64_t pixels, int64_t channels, ConstRows x, const NormCoefficients& k, ConstRows residual,
                    Rows y, bool past_caches);
  // g = dy where act lets the gradient through, else 0. act's argument is y, the output, or, if y.data is null, what
  // normalize computed from x without residual, to the last bit.
  //   sum = sum of g,   dot = sum of g * (x - mean)
  // g is stored too, unless g.data is null: from y, if act is not `none`.
  void (*backward_sums)(int64_t pixels, int64_t channels, ConstRows x, ConstRows dy, ConstRows y,
                        const NormCoefficients& k, Rows g, float* sum, float* dot);
  // dx = scale * g + slope * (x - mean) + offset
  void (*backward_input)(int64_t pixels, int64_t channels, ConstRows x, ConstRows dy, ConstRows y,
                         const NormCoefficients& k, const float* slope, const float* offset, Rows dx);
};

struct NormBlock {
  int64_t pixels, channels;
  int64_t x_pitch, y_pitch;  // y: local response norm's output, or its gradient
};

// Coefficients of local response norm: s[c] = k + scale * sum of x[j]^2, c - size / 2 <= j <= c + (size - 1) / 2.
struct ResponseArgs {
  int64_t size;
  float scale, beta, k;  // scale: alpha / size
};

// A part of a tensor that layer or group norm works on: rows that share their statistics, in whole or column by column.
// Weight and bias have one value for each row, or one for each column of each row; pitches are 0 where all rows have
// the same.
struct LayerBlock {
  int64_t rows, columns;
  const float *mean, *scale;  // scale: 1 / the standard deviation
  bool statistics_by_column;
  ConstRows weight, bias;  // data null: 1 and 0
  bool weight_by_column;
};

// Rows of a matrix, each normalised on its own; weight and bias have a value for each column, or are null (1 and 0).
struct LayerRows {
  int64_t rows, columns;
  ConstRows x;
  const float *weight, *bias;
  float eps;
  Rows y;
  float *mean, *scale;  // one for each row
};

struct NormKernels {
  NormActivationKernels with[kNormActivations];
  // Each channel's mean, and its sum of (x - mean)^2: the same bits whatever channels are with it in the block.
  void (*moments)(const NormBlock& block, const float* x, float* mean, float* square);
  // The same of pixels without gaps, in an order that depends on how many channels they have: narrow ones are taken
  // several at a time.
  void (*joined_moments)(int64_t pixels, int64_t channels, const float* x, float* mean, float* square);
  // Those of `count` rows of statistics together, for channels [begin, end). A row is the number of its pixels, each
  // channel's mean, each channel's square; one without pixels does not count.
  void (*merge_moments)(int64_t count, int64_t channels, const float* rows, int64_t begin, int64_t end, double* mean,
                        double* square);
  // total[j] = sum over i < count, in order, of parts[i * size + j]
  void (*add_parts)(int64_t count, int64_t size, const float* parts, double* total);
  // scale = weight / sqrt(var + eps), shift = bias - mean * scale; weight and bias may be null (1 and 0).
  void (*fold)(int64_t channels, const float* mean, const float* var, const float* weight, const float* bias, float eps,
               float* scale, float* shift);

  // mean, scale = 1 / sqrt(var + eps), and y = (x - mean) * scale * weight + bias. y may be the memory of x.
  void (*layer_rows)(const LayerRows& rows);
  // y = (x - mean) * scale * weight + bias. Outputs of these four may be the memory of x or of dy.
  void (*layer_normalize)(const LayerBlock& block, ConstRows x, Rows y);
  // sum = sum of dy * weight,   dot = sum of dy * weight * (x - mean): as many as there are statistics
  void (*layer_sums)(const LayerBlock& block, ConstRows x, ConstRows dy, float* sum, float* dot);
  // dx = scale * dy * weight + slope * (x - mean) + offset; slope and offset are laid out like the statistics.
  void (*layer_backward_input)(const LayerBlock& block, ConstRows x, ConstRows dy, const float* slope,
                               const float* offset, Rows dx);
  // dweight += dy * (x - mean) * scale,   dbias += dy, laid out like weight and bias; data null: not wanted
  void (*layer_backward_weight)(const LayerBlock& block, ConstRows x, ConstRows dy, Rows dweight, Rows dbias);

  // y = x * s^-beta; ratio = s^(-beta - 1), packed, if not null.
  void (*response)(const NormBlock& block, const ResponseArgs& args, const float* x, float* y, float* ratio);
  // dx[j] = dy[j] * s[j]^-beta - 2 * scale * beta * x[j] * sum over the c whose s[c] holds j of dy[c] * x[c] *
  // ratio[c].
  void (*response_backward)(const NormBlock& block, const ResponseArgs& args, const float* x, const float* dy,
                            const float* ratio, float* dx, int64_t dx_pitch);
};

}  // namespace convcore
