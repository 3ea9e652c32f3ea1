// SPDX-License-Identifier: BSD-3-Clause
// Functions of two and of three operands, and folds: sums, products and extremes over many elements. Pointers, sizes
// and pitches only; see table.h. Blocks, pitches and outputs: elementwise.h.
#pragma once

#include "kernels/elementwise.h"

namespace convcore {

// An operand of a block: rows of floats, or, repeated, one float for each row.
struct Operand {
  const float* data;
  int64_t pitch;
  bool repeated = false;
};

enum class Binary {
  add,
  subtract,
  multiply,
  divide,
  power,
  minimum,      // this and maximum: NaN where either is
  maximum,
  remainder,    // of b's sign
  fmod,         // of a's sign
  prelu,        // a where a > 0, else a b
  equal,        // from here on: 1 or 0
  less,
  less_equal,
  logical_and,  // from here on: of a != 0 and b != 0
  logical_or,
  logical_xor,
};
inline constexpr int kBinaries = 16;

// z of p, a and b. Most are parts of gradients, and p is dy.
enum class Ternary {
  where,           // a where p != 0, else b
  where_positive,  // p where a > 0, else p b: prelu's gradient for a
  prelu_slope,     // 0 where a > 0, else p a: and for b
  quotient,        // p / b
  quotient_slope,  // -p a / b^2
  power_base,      // p b a^(b - 1)
  power_exponent,  // p a^b ln a
  larger,          // p where a > b, p / 2 where a == b, else 0
  remainder_slope, // -p floor(a / b)
  fmod_slope,      // -p trunc(a / b)
  where_equal,     // p where a == b, else 0
  exp_difference,  // p e^(a - b)
  with_sign,       // p sign a
  product_slope,   // where a != 0: p / a, else b
};
inline constexpr int kTernaries = 14;

enum class Fold {
  sum,
  sum_abs,
  sum_square,
  sum_product,         // of x b
  sum_exp_difference,  // of e^(x - b), e^x where b is infinite
  count_equal,         // of x == b
  product,
  nonzero_product,
  maximum,             // this and minimum: NaN where one is
  minimum,
};
inline constexpr int kFolds = 10;

struct FoldKernels {
  float start;  // the fold of nothing
  // Folds the rows into acc, one for each column.
  void (*columns)(int64_t rows, int64_t columns, ConstRows x, Operand b, float* acc);
  // Folds all elements into one.
  float (*all)(int64_t rows, int64_t columns, ConstRows x, Operand b);
  double (*join)(double, double);
};

struct ArithmeticKernels {
  // At most one of a and b is repeated, where there is more than one column.
  using BinaryKernel = void (*)(int64_t rows, int64_t columns, Operand a, Operand b, Rows y);
  using TernaryKernel = void (*)(int64_t rows, int64_t columns, Operand p, Operand a, Operand b, Rows z);

  BinaryKernel binary[kBinaries];
  TernaryKernel ternary[kTernaries];
  FoldKernels fold[kFolds];

  BinaryKernel of(Binary f) const { return binary[static_cast<int>(f)]; }
  TernaryKernel of(Ternary f) const { return ternary[static_cast<int>(f)]; }
  const FoldKernels& of(Fold f) const { return fold[static_cast<int>(f)]; }
};

}  // namespace convcore
