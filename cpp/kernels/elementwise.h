// SPDX-License-Identifier: BSD-3-Clause
// Functions of one variable, softmax, losses. Pointers, sizes and pitches only; see table.h.
//
// Every kernel works on a block of `rows x columns` elements; a pitch is the distance from one row to the next, 0 for a
// row that is used again and again. An output may be the very memory of an input of the same shape, never shifted
// against it. The value of an element does not depend on where a block was cut.
#pragma once

#include <cstdint>

namespace convcore {

struct ConstRows {
  const float* data;
  int64_t pitch;
};

struct Rows {
  float* data;
  int64_t pitch;
};

// Functions of one variable: those that networks use between layers, then those of arithmetic.
enum class Activation {
  relu, relu6, leaky_relu, sigmoid, tanh, silu, gelu, gelu_tanh, hardswish, hardsigmoid, elu, mish, softplus, softsign,
  threshold,
  erf, exp, log, sqrt, abs, neg, reciprocal, floor, ceil, round, sign, clamp, logical_not
};
inline constexpr int kActivations = 28;

// What a function's formula calls a, b and c; most have none.
struct Coefficients {
  float a = 0, b = 0, c = 0;
};

struct ActivationKernels {
  void (*forward)(int64_t rows, int64_t columns, ConstRows x, Rows y, Coefficients coefficients);
  // dx = dy f'. `from` is the output y where the formula says so, else the input x (which will do for relu, relu6 and
  // leaky_relu, too, as y will for leaky_relu with a slope >= 0). logical_not has none.
  void (*backward)(int64_t rows, int64_t columns, ConstRows dy, ConstRows from, Rows dx, Coefficients coefficients);
  // dy = dy f' in place, and sum[j] += the sum of that over the rows. Only relu and relu6 have it.
  void (*backward_sum)(int64_t rows, int64_t columns, ConstRows from, Rows dy, float* sum);
};

// Per row, over its columns.
struct SoftmaxKernels {
  void (*softmax)(int64_t rows, int64_t columns, ConstRows x, Rows y);
  void (*softmax_backward)(int64_t rows, int64_t columns, ConstRows dy, ConstRows y, Rows dx);
  void (*log_softmax)(int64_t rows, int64_t columns, ConstRows x, Rows y);
  void (*log_softmax_backward)(int64_t rows, int64_t columns, ConstRows dy, ConstRows y, Rows dx);
  // lse[r] = log(sum_j e^x[r][j])
  void (*log_sum_exp)(int64_t rows, int64_t columns, ConstRows x, float* lse);
  // sum_j w[j] (lse - x[j]); w null: all 1
  float (*weighted_nll)(int64_t columns, const float* x, const float* w, float lse);
  // dx[j] = a e^(x[j] - lse) - b w[j]; w null: all 1
  void (*cross_entropy_backward)(int64_t columns, const float* x, const float* w, float lse, float a, float b,
                                 float* dx);
};

// Sums over pairs (x, t); see ops/regression_loss.h for the formulas.
struct PairLossKernels {
  // weight: one per column (null: all 1), bce's pos_weight. delta: huber's.
  double (*sum)(int64_t rows, int64_t columns, ConstRows x, ConstRows t, const float* weight, float delta);
  // dx, dt = scale times the derivatives; data == nullptr where not wanted.
  void (*backward)(int64_t rows, int64_t columns, ConstRows x, ConstRows t, const float* weight, float delta,
                   float scale, Rows dx, Rows dt);
};

// z_j = x[j] + shift; term max(0, z_j)^power, power 1 or 2.
struct MarginKernels {
  double (*sum)(int64_t columns, const float* x, float shift, int power);
  // dx[j] = scale times the term's derivative; returns their sum.
  double (*backward)(int64_t columns, const float* x, float shift, int power, float scale, float* dx);
};

enum class PairLoss { mse, l1, huber, bce };
inline constexpr int kPairLosses = 4;

// Which random numbers dropout draws: those of Philox4x32-10, a function of (seed, stream, index) alone, so that any
// thread may draw any element (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC11: the key is the seed,
// the counter is index and stream, low words first). Element i uses word i / 16 % 4 of philox(seed, stream, i / 64 * 16 + i % 16) and
// is kept, times scale, where word >= threshold; else it is multiplied by 0.
struct DropoutNumbers {
  uint64_t seed, stream;
  uint32_t threshold;
  float scale;
};

struct ElementwiseKernels {
  ActivationKernels activation[kActivations];
  SoftmaxKernels softmax;
  PairLossKernels pair_loss[kPairLosses];
  MarginKernels margin;
  // y = scale x + shift, one scale and shift per column
  void (*affine)(int64_t rows, int64_t columns, ConstRows x, const float* scale, const float* shift, Rows y);
  void (*affine_u8)(int64_t rows, int64_t columns, const uint8_t* x, int64_t x_pitch, const float* scale,
                    const float* shift, Rows y);
  // y[j][i] = x[i][j]; x is rows x columns, y columns x rows; they do not overlap.
  void (*transpose)(int64_t rows, int64_t columns, ConstRows x, Rows y);
  // Element (r, j) has the index `first` + r * columns + j.
  void (*dropout)(int64_t rows, int64_t columns, ConstRows x, Rows y, int64_t first, const DropoutNumbers& numbers);
};

}  // namespace convcore
