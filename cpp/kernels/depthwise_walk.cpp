// SPDX-License-Identifier: BSD-3-Clause
// 3x3 stencils where there are registers enough to walk down columns of outputs: an input row is read once, and added
// to all output rows that it reaches, whose sums are in registers, as are the 9 weights.
#include "kernels/depthwise_tiles.h"

namespace convcore::CONVCORE_ISA {

void depthwise_walk(const DepthwiseMap& m);

namespace {

// T columns of outputs, of one vector of channels.
template <int S, int T, class Part>
class Walk {
 public:
  CC_LAMBDA Walk(const DepthwiseMap& map, int64_t c, int64_t col, Part p)
      : m(map), part(p), input(m.first_row * S + m.h.first), lower(set1(m.lower)), upper(set1(m.upper)) {
    const int64_t first = col * S + m.w.first;
    inside = columns_inside(first, kColumns, m.w.size);
    x = m.x + input * m.x_pitch.row + first * m.x_pitch.col + c;
    y = m.y + m.first_row * m.y_pitch.row + col * m.y_pitch.col + c;
    residual = m.residual ? m.residual + m.first_row * m.residual_pitch.row + col * m.residual_pitch.col + c : nullptr;
    // The next tile to be walked: to the right, or at the left of the next vector.
    x_ahead = col + T < m.cols ? T * S * m.x_pitch.col : kLanes - first * m.x_pitch.col;
    y_ahead = col + T < m.cols ? T * m.y_pitch.col : kLanes - col * m.y_pitch.col;
    bias = m.bias ? load(m.bias + c, part) : zero();
    const float* weight = m.weight + c;
    CC_UNROLL for (int i = 0; i < 9; i += 3, weight += m.weight_pitch.row)
      CC_UNROLL for (int k = 0; k < 3; ++k) w[i + k] = pin(load(weight + k * m.weight_pitch.col));
  }

  CC_LAMBDA void run() {
    Vec a[T], b[T], c[T];
    int64_t rows = m.last_row - m.first_row;
    if constexpr (S == 1) {
      start(b), start(c);
      step(a, b, c);  // b and c: rows above, which are dropped
      step(b, a, c);
      for (;; rows -= 3) {
        step(c, b, a), finish(a);
        if (rows == 1) return;
        step(a, c, b), finish(b);
        if (rows == 2) return;
        step(b, a, c), finish(c);
        if (rows == 3) return;
      }
    } else {
      start(a);
      add_row<true, false, false>(a, a, a);
      for (;; rows -= 2) {
        step(a, b), finish(a);
        if (rows == 1) return;
        step(b, a), finish(b);
        if (rows == 2) return;
      }
    }
  }

 private:
  static constexpr int kColumns = (T - 1) * S + 3;

  CC_LAMBDA void start(Vec (&acc)[T]) const { CC_UNROLL for (int t = 0; t < T; ++t) acc[t] = bias; }

  // The next input row: the first row of taps of p's output row (if P), the second of q's, the third of r's.
  template <bool P, bool Q, bool R>
  CC_LAMBDA void add_row(Vec (&p)[T], Vec (&q)[T], Vec (&r)[T]) {
    if (input >= 0 && input < m.h.size) {
      if (m.fetch) fetch_pixels(x + x_ahead, m.x_pitch.col, T * S);
      const float* pixel = x;
      CC_UNROLL for (int u = 0; u < kColumns; ++u, pixel = next(pixel, m.x_pitch.col)) {
        if (!is_inside<3>(inside, u, kColumns)) continue;
        const Vec v = pin(load(pixel, part));
        CC_UNROLL for (int t = 0; t < T; ++t) {
          const int k = u - t * S;
          if (k < 0 || k >= 3) continue;
          if constexpr (R) r[t] = fma(v, w[6 + k], r[t]);
          if constexpr (Q) q[t] = fma(v, w[3 + k], q[t]);
          if constexpr (P) p[t] = fma(v, w[k], p[t]);
        }
      }
    }
    ++input;
    x += m.x_pitch.row;
  }

  // Stride 1: the input row begins p's output row and ends r's.
  CC_LAMBDA void step(Vec (&p)[T], Vec (&q)[T], Vec (&r)[T]) {
    start(p);
    add_row<true, true, true>(p, q, r);
  }
  // Stride 2: the second and third row of taps of p's output row, which is also the first of q's.
  CC_LAMBDA void step(Vec (&p)[T], Vec (&q)[T]) {
    start(q);
    add_row<false, true, false>(p, p, p);
    add_row<true, false, true>(q, q, p);
  }

  CC_LAMBDA void finish(Vec (&acc)[T]) {
    if (residual) {
      const float* from = residual;
      CC_UNROLL for (int t = 0; t < T; ++t, from += m.residual_pitch.col) acc[t] = add(acc[t], load(from, part));
      residual += m.residual_pitch.row;
    }
    if (m.fetch) fetch_pixels(y + y_ahead, m.y_pitch.col, T);
    float* to = y;
    CC_UNROLL for (int t = 0; t < T; ++t, to += m.y_pitch.col) store_output(to, acc[t], lower, upper, part);
    y += m.y_pitch.row;
  }

  const DepthwiseMap& m;
  Part part;
  int64_t input;  // row of x
  const float* x;
  float* y;
  const float* residual;
  int64_t x_ahead, y_ahead;
  Inside inside;
  Vec w[9], bias, lower, upper;
};

template <int S, int T, class Part>
__attribute__((noinline)) void walk(const DepthwiseMap& m, int64_t c, int64_t col, int64_t count, Part part) {
  for (; count > 0; --count, col += T) Walk<S, T, Part>(m, c, col, part).run();
}

// S rows of T sums for stride 2, 3 for stride 1, and 9 weights must fit the registers.
template <int S>
void walk_columns(const DepthwiseMap& m) {
  const bool single = !all_see_input(m.w, m.cols);
  for_row(m.channels, [&](int64_t c, auto part) CC_LAMBDA {
    for_tiles<S == 1 ? 7 : 8>(m.cols, single, part, [&](int64_t col, int64_t count, auto tile) CC_LAMBDA {
      walk<S, tile.size>(m, c, col, count, part);
    });
  });
}

}  // namespace

void depthwise_walk([[maybe_unused]] const DepthwiseMap& m) {
  if constexpr (kManyRegisters) m.w.step == 1 ? walk_columns<1>(m) : walk_columns<2>(m);
}

}  // namespace convcore::CONVCORE_ISA
