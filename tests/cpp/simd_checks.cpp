// SPDX-License-Identifier: BSD-3-Clause
#include "simd_checks.h"

#include "simd/vec.h"

namespace convcore::CONVCORE_ISA {
namespace {

constexpr float kInf = __builtin_inff(), kNan = __builtin_nanf("");

struct Lanes {
  float f[kLanes];
};

Lanes lanes(Vec v) {
  Lanes l;
  store(l.f, v);
  return l;
}

// NaN equals NaN here, and -0 differs from 0.
bool same(float a, float b) {
  return __builtin_isnan(a) ? __builtin_isnan(b) : a == b && __builtin_signbit(a) == __builtin_signbit(b);
}

template <class Expected>
bool each(Vec v, Expected expected) {
  const Lanes l = lanes(v);
  for (int i = 0; i < kLanes; ++i)
    if (!same(l.f[i], expected(i))) return false;
  return true;
}

void check_memory(float* end, Report report) {
  float* p = end - kLanes;
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<float>(i + 1);
  report(each(load(p), [](int i) { return static_cast<float>(i + 1); }), "load");
  for (int n = 0; n <= kLanes; ++n) {
    const float* tail = end - n;
    report(each(load_n(tail, n), [=](int i) { return i < n ? tail[i] : 0.0f; }), "load_n zeroes the rest");
  }
  for (int n = 0; n <= kLanes; ++n) {
    float* tail = end - n;
    for (float* q = end - 2 * kLanes; q < end; ++q) *q = -1;
    store_n(tail, set1(7), n);
    bool ok = true;
    for (float* q = end - 2 * kLanes; q < end; ++q) ok = ok && *q == (q < tail ? -1.0f : 7.0f);
    report(ok, "store_n writes the last n");
    for (float* q = end - kLanes; q < end; ++q) *q = -1;
    store_n(end - kLanes, set1(7), n);
    for (int i = 0; i < kLanes; ++i) ok = ok && end[i - kLanes] == (i < n ? 7.0f : -1.0f);
    report(ok, "store_n leaves the rest untouched");
  }
}

void check_arithmetic(float* end, Report report) {
  static const float xs[] = {0.0f, -0.0f, 1.5f, -2.5f, 3.25f, 1e30f, -1e-30f, 0.1f, kInf, -kInf, kNan, 7.0f};
  constexpr int kCount = sizeof xs / sizeof *xs;
  for (int i = 0; i < kCount; ++i) {
    for (int j = 0; j < kCount; ++j) {
      const float x = xs[i], y = xs[j];
      const Vec a = set1(x), b = set1(y);
      report(each(add(a, b), [=](int) { return x + y; }), "add");
      report(each(sub(a, b), [=](int) { return x - y; }), "sub");
      report(each(mul(a, b), [=](int) { return x * y; }), "mul");
      report(each(div(a, b), [=](int) { return x / y; }), "div");
      report(each(min(a, b), [=](int) { return x < y ? x : y; }), "min: b where either is NaN");
      report(each(max(a, b), [=](int) { return x > y ? x : y; }), "max: b where either is NaN");
      report(each(if_gt(a, b, set1(1), set1(2)), [=](int) { return x > y ? 1.0f : 2.0f; }), "if_gt");
      report(each(if_ge(a, b, set1(1), set1(2)), [=](int) { return x >= y ? 1.0f : 2.0f; }), "if_ge");
      report(each(if_eq(a, b, set1(1), set1(2)), [=](int) { return x == y ? 1.0f : 2.0f; }), "if_eq");
    }
    const float x = xs[i];
    report(each(abs(set1(x)), [=](int) { return __builtin_fabsf(x); }), "abs");
    report(each(set1(x), [=](int) { return x; }), "set1");
    if (x >= 0) report(each(sqrt(set1(x)), [=](int) { return __builtin_sqrtf(x); }), "sqrt");
  }
  report(each(zero(), [](int) { return 0.0f; }), "zero");
  report(each(fma(set1(3), set1(5), set1(-7)), [](int) { return 8.0f; }), "fma");

  float* p = end - kLanes;
  float total = 0;
  for (int i = 0; i < kLanes; ++i) total += p[i] = static_cast<float>((i * 5) % kLanes) - 2;
  report(sum(load(p)) == total, "sum");  // small integers: exact in any order
  report(hmax(load(p)) == static_cast<float>(kLanes - 3), "hmax");
  report(each(sub(load(p), set1(1)), [=](int i) { return p[i] - 1; }), "lanes keep their order");

  int reversed[kLanes], mixed[kLanes];
  for (int i = 0; i < kLanes; ++i) reversed[i] = kLanes - 1 - i, mixed[i] = (i * 7 + 3) % (2 * kLanes);
  report(each(permute(load(p), load_index(reversed)), [=](int i) { return p[kLanes - 1 - i]; }), "permute");
  const Vec low = load(p), high = add(load(p), set1(100));
  report(each(permute2(low, high, load_index(mixed)),
              [&](int i) { return mixed[i] < kLanes ? p[mixed[i]] : p[mixed[i] - kLanes] + 100; }),
         "permute2");
}

void check_transpose(Report report) {
  Vec rows[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    float row[kLanes];
    for (int j = 0; j < kLanes; ++j) row[j] = static_cast<float>(i * kLanes + j);
    rows[i] = load(row);
  }
  transpose(rows);
  for (int i = 0; i < kLanes; ++i)
    report(each(rows[i], [=](int j) { return static_cast<float>(j * kLanes + i); }), "transpose");
}

void check_halves(float* end, Report report) {
  constexpr int kHalf = kLanes / 2;
  Vec rows[kHalf];
  for (int i = 0; i < kHalf; ++i) {
    float row[kLanes];
    for (int j = 0; j < kLanes; ++j) row[j] = static_cast<float>(i * kLanes + j);
    rows[i] = load(row);
  }
  transpose_halves(rows);
  for (int i = 0; i < kHalf; ++i)
    report(each(rows[i], [=](int j) { return static_cast<float>(j % kHalf * kLanes + j / kHalf * kHalf + i); }),
           "transpose_halves");
  for (int n = 0; n <= kHalf; ++n) {
    float *high = end - n, *low = high - kLanes;
    for (float* q = end - 2 * kLanes; q < end; ++q) *q = -1;
    for (int i = 0; i < n; ++i) low[i] = static_cast<float>(i + 1), high[i] = static_cast<float>(i + 100);
    const Vec v = load_halves(low, high, n);
    const auto expected = [=](int j) { return j % kHalf < n ? static_cast<float>(j % kHalf + (j < kHalf ? 1 : 100)) : 0; };
    report(each(v, expected), "load_halves zeroes the rest");
    for (int i = 0; i < n; ++i) low[i] = high[i] = -1;
    store_halves(low, high, v, n);
    bool stored = true;
    for (int i = 0; i < kLanes; ++i) stored &= low[i] == (i < n ? static_cast<float>(i + 1) : -1);
    for (int i = 0; i < n; ++i) stored &= high[i] == static_cast<float>(i + 100);
    report(stored, "store_halves stores n lanes of each");
  }
}

void check_rounding(Report report) {
  static const float in[] = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 0.4999999f, 2.6f, -3.4f, 4194304.5f, -8388607.5f, 8388609.0f, -1e20f, kInf};
  static const float out[] = {0, 2, 2, -0.0f, -2, 0, 3, -3, 4194304.0f, -8388608.0f, 8388609.0f, -1e20f, kInf};
  for (int i = 0; i < static_cast<int>(sizeof in / sizeof *in); ++i) {
    const Lanes l = lanes(round(set1(in[i])));
    for (float f : l.f) report(f == out[i], "round to nearest even");
  }
  for (int e = -126; e <= 127; ++e)
    report(each(times_pow2(set1(-1.5f), set1(static_cast<float>(e))), [=](int) { return __builtin_ldexpf(-1.5f, e); }),
           "times_pow2");
  report(each(times_pow2(set1(0x1p-100f), set1(220.0f)), [](int) { return 0x1p120f; }), "times_pow2, large");
  report(each(times_pow2(set1(0x1p100f), set1(-220.0f)), [](int) { return 0x1p-120f; }), "times_pow2, small");
}

}  // namespace

void check_simd(float* guarded_end, Report report) {
  check_memory(guarded_end, report);
  check_arithmetic(guarded_end, report);
  check_transpose(report);
  check_halves(guarded_end, report);
  check_rounding(report);
}

}  // namespace convcore::CONVCORE_ISA
