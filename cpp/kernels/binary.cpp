// SPDX-License-Identifier: BSD-3-Clause
// Functions of two and of three operands, element by element; and the family's table. Folds: fold.cpp.
#include "kernels/arithmetic.h"
#include "simd/loop.h"
#include "simd/math.h"

namespace convcore::CONVCORE_ISA {

void fill(FoldKernels* fold);  // fold.cpp

namespace {

// What the vector unit lacks, lane by lane.
template <class F>
CC_INLINE Vec by_lane(Vec a, Vec b, F f) {
  float x[kLanes], y[kLanes];
  store(x, a);
  store(y, b);
  for (int i = 0; i < kLanes; ++i) x[i] = f(x[i], y[i]);
  return load(x);
}

CC_INLINE Vec truth(Vec x) { return if_eq(x, zero(), zero(), set1(1.0f)); }
CC_INLINE Vec power(Vec a, Vec b) {
  return by_lane(a, b, [](float x, float y) CC_LAMBDA { return __builtin_powf(x, y); });
}
CC_INLINE Vec quotient_floor(Vec a, Vec b) { return floor(div(a, b)); }

struct Add {
  CC_INLINE Vec of(Vec a, Vec b) { return add(a, b); }
};
struct Subtract {
  CC_INLINE Vec of(Vec a, Vec b) { return sub(a, b); }
};
struct Multiply {
  CC_INLINE Vec of(Vec a, Vec b) { return mul(a, b); }
};
struct Divide {
  CC_INLINE Vec of(Vec a, Vec b) { return div(a, b); }
};
struct Power {
  CC_INLINE Vec of(Vec a, Vec b) { return power(a, b); }
};
struct Square {
  CC_INLINE Vec of(Vec a, Vec) { return mul(a, a); }
};
struct Cube {
  CC_INLINE Vec of(Vec a, Vec) { return mul(mul(a, a), a); }
};
struct Minimum {
  CC_INLINE Vec of(Vec a, Vec b) { return if_eq(a, a, min(a, b), a); }
};
struct Maximum {
  CC_INLINE Vec of(Vec a, Vec b) { return if_eq(a, a, max(a, b), a); }
};
struct Remainder {
  CC_INLINE Vec of(Vec a, Vec b) {
    return by_lane(a, b, [](float x, float y) CC_LAMBDA {
      const float r = __builtin_fmodf(x, y);
      return r == 0 ? __builtin_copysignf(0.0f, y) : (r < 0) != (y < 0) ? r + y : r;
    });
  }
};
struct Fmod {
  CC_INLINE Vec of(Vec a, Vec b) {
    return by_lane(a, b, [](float x, float y) CC_LAMBDA { return __builtin_fmodf(x, y); });
  }
};
struct Prelu {
  CC_INLINE Vec of(Vec a, Vec b) { return if_gt(a, zero(), a, mul(a, b)); }
};
struct Equal {
  CC_INLINE Vec of(Vec a, Vec b) { return if_eq(a, b, set1(1.0f), zero()); }
};
struct Less {
  CC_INLINE Vec of(Vec a, Vec b) { return if_gt(b, a, set1(1.0f), zero()); }
};
struct LessEqual {
  CC_INLINE Vec of(Vec a, Vec b) { return if_ge(b, a, set1(1.0f), zero()); }
};
struct LogicalAnd {
  CC_INLINE Vec of(Vec a, Vec b) { return mul(truth(a), truth(b)); }
};
struct LogicalOr {
  CC_INLINE Vec of(Vec a, Vec b) { return max(truth(a), truth(b)); }
};
struct LogicalXor {
  CC_INLINE Vec of(Vec a, Vec b) { return abs(sub(truth(a), truth(b))); }
};
struct Where {
  CC_INLINE Vec of(Vec p, Vec a, Vec b) { return if_eq(p, zero(), b, a); }
};
struct WherePositive {
  CC_INLINE Vec of(Vec p, Vec a, Vec b) { return if_gt(a, zero(), p, mul(p, b)); }
};
struct PreluSlope {
  CC_INLINE Vec of(Vec p, Vec a, Vec) { return if_gt(a, zero(), zero(), mul(p, a)); }
};
struct Quotient {
  CC_INLINE Vec of(Vec p, Vec, Vec b) { return div(p, b); }
};
struct QuotientSlope {
  CC_INLINE Vec of(Vec p, Vec a, Vec b) { return mul(negate(p), div(div(a, b), b)); }
};
// 0 where b is 0, whatever a is
struct PowerBase {
  CC_INLINE Vec of(Vec p, Vec a, Vec b) {
    return if_eq(b, zero(), zero(), mul(p, mul(b, power(a, sub(b, set1(1.0f))))));
  }
};
// 0 where a is 0 and b is not negative
struct PowerExponent {
  CC_INLINE Vec of(Vec p, Vec a, Vec b) {
    const Vec slope = mul(p, mul(power(a, b), log(a)));
    return if_eq(a, zero(), if_ge(b, zero(), zero(), slope), slope);
  }
};
struct Larger {
  CC_INLINE Vec of(Vec p, Vec a, Vec b) { return if_gt(a, b, p, if_eq(a, b, mul(p, set1(0.5f)), zero())); }
};
struct RemainderSlope {
  CC_INLINE Vec of(Vec p, Vec a, Vec b) { return mul(negate(p), quotient_floor(a, b)); }
};
struct FmodSlope {
  CC_INLINE Vec of(Vec p, Vec a, Vec b) {
    return mul(negate(p), with_sign_of(quotient_floor(abs(a), abs(b)), mul(a, b)));
  }
};
struct WhereEqual {
  CC_INLINE Vec of(Vec p, Vec a, Vec b) { return if_eq(a, b, p, zero()); }
};
struct ExpDifference {
  CC_INLINE Vec of(Vec p, Vec a, Vec b) { return mul(p, exp(sub(a, b))); }
};
struct WithSign {
  CC_INLINE Vec of(Vec p, Vec a, Vec) { return if_gt(a, zero(), p, if_gt(zero(), a, negate(p), mul(p, a))); }
};
struct ProductSlope {
  CC_INLINE Vec of(Vec p, Vec a, Vec b) { return if_eq(a, zero(), b, div(p, a)); }
};

template <class F>
void binary(int64_t rows, int64_t columns, Operand a, Operand b, Rows y) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* ar = a.data + r * a.pitch;
    const float* br = b.data + r * b.pitch;
    float* yr = y.data + r * y.pitch;
    if (b.repeated) {
      const Vec value = set1(*br);
      for_row(columns, [=](int64_t j, auto part) CC_LAMBDA { store(yr + j, F::of(load(ar + j, part), value), part); });
    } else if (a.repeated) {
      const Vec value = set1(*ar);
      for_row(columns, [=](int64_t j, auto part) CC_LAMBDA { store(yr + j, F::of(value, load(br + j, part)), part); });
    } else {
      for_row(columns, [=](int64_t j, auto part)
                           CC_LAMBDA { store(yr + j, F::of(load(ar + j, part), load(br + j, part)), part); });
    }
  }
}

// The exponents that networks have in all places alike are cheap.
void power_rows(int64_t rows, int64_t columns, Operand a, Operand b, Rows y) {
  for (int64_t r = 0; r < rows; ++r) {
    const Operand base{a.data + r * a.pitch, 0, a.repeated}, exponent{b.data + r * b.pitch, 0, b.repeated};
    const Rows to{y.data + r * y.pitch, 0};
    const auto run = !b.repeated || a.repeated ? binary<Power>
                     : *exponent.data == 2     ? binary<Square>
                     : *exponent.data == 3     ? binary<Cube>
                                               : binary<Power>;
    run(1, columns, base, exponent, to);
  }
}

// A row of an operand; a repeated float becomes a vector that is read again and again.
struct Lane {
  const float* data;
  int64_t step;
};
CC_INLINE Lane lane(Operand o, int64_t r, float* buffer) {
  const float* row = o.data + r * o.pitch;
  if (!o.repeated) return {row, 1};
  store(buffer, set1(*row));
  return {buffer, 0};
}

template <class F>
void ternary(int64_t rows, int64_t columns, Operand p, Operand a, Operand b, Rows z) {
  float buffers[3][kLanes];
  for (int64_t r = 0; r < rows; ++r) {
    const Lane pr = lane(p, r, buffers[0]), ar = lane(a, r, buffers[1]), br = lane(b, r, buffers[2]);
    float* zr = z.data + r * z.pitch;
    for_row(columns, [=](int64_t j, auto part) CC_LAMBDA {
      store(zr + j,
            F::of(load(pr.data + j * pr.step, part), load(ar.data + j * ar.step, part),
                  load(br.data + j * br.step, part)),
            part);
    });
  }
}

}  // namespace

ArithmeticKernels arithmetic_kernels() {
  ArithmeticKernels k{
      {binary<Add>, binary<Subtract>, binary<Multiply>, binary<Divide>, power_rows, binary<Minimum>, binary<Maximum>,
       binary<Remainder>, binary<Fmod>, binary<Prelu>, binary<Equal>, binary<Less>, binary<LessEqual>,
       binary<LogicalAnd>, binary<LogicalOr>, binary<LogicalXor>},
      {ternary<Where>, ternary<WherePositive>, ternary<PreluSlope>, ternary<Quotient>, ternary<QuotientSlope>,
       ternary<PowerBase>, ternary<PowerExponent>, ternary<Larger>, ternary<RemainderSlope>, ternary<FmodSlope>,
       ternary<WhereEqual>, ternary<ExpDifference>, ternary<WithSign>, ternary<ProductSlope>},
      {}};
  fill(k.fold);
  return k;
}

}  // namespace convcore::CONVCORE_ISA
