// SPDX-License-Identifier: BSD-3-Clause
// Walks a row of floats in whole vectors and one tail. for_row's body is a generic lambda f(j, part): `part` is Whole or
// Tail, and load, store and keep do the right thing for either, so that the body is written once.
#pragma once

#include <cstdint>

#include "simd/vec.h"

#define CC_LAMBDA __attribute__((always_inline))

namespace convcore::CONVCORE_ISA {

struct Whole {};
struct Tail {
  int n;
};

static constexpr float kLaneNumbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

CC_INLINE Vec load(const float* p, Whole) { return load(p); }
CC_INLINE Vec load(const float* p, Tail t) { return load_n(p, t.n); }
CC_INLINE void store(float* p, Vec v, Whole) { store(p, v); }
CC_INLINE void store(float* p, Vec v, Tail t) { store_n(p, v, t.n); }
// v in the lanes that belong to the row, `other` beyond.
CC_INLINE Vec keep(Vec v, Vec, Whole) { return v; }
CC_INLINE Vec keep(Vec v, Vec other, Tail t) {
  return if_gt(set1(static_cast<float>(t.n)), load(kLaneNumbers), v, other);
}

// The same for a count known only here: n lanes, often all of them.
CC_INLINE Vec load_some(const float* p, int n) { return n == kLanes ? load(p) : load_n(p, n); }
CC_INLINE void store_some(float* p, Vec v, int n) {
  if (n == kLanes)
    store(p, v);
  else
    store_n(p, v, n);
}

// Asks for memory that will be read, or written, a while later. Not with vectors that are a small part of a line of the
// cache: asking would then cost more than it gains.
CC_INLINE void ask_for(const float* p) {
  if (kLanes >= 8) __builtin_prefetch(p);
}
CC_INLINE void ask_to_write(float* p) {
  if (kLanes >= 8) __builtin_prefetch(p, 1);
}

template <class Body>
CC_INLINE void for_row(int64_t columns, Body&& body) {
  int64_t j = 0;
  for (; j + kLanes <= columns; j += kLanes) body(j, Whole{});
  if (j < columns) body(j, Tail{static_cast<int>(columns - j)});
}

}  // namespace convcore::CONVCORE_ISA
