// SPDX-License-Identifier: BSD-3-Clause
// Depthwise backward-weight: sums over pixels, held in registers over a block of rows.
#include "kernels/depthwise_tiles.h"

namespace convcore::CONVCORE_ISA {

void depthwise_reduce(const DepthwiseReduce& m);

namespace {

template <class Part>
CC_INLINE void add_to(float* sum, Vec v, Part part) { store(sum, add(load(sum, part), v), part); }

// Taps [tap_row, tap_row + G) x K over `count` tiles of T columns of each row: an x pixel is loaded once for a row of
// taps, a dy pixel once for all.
template <int G, int K, int S, int T, class Part>
__attribute__((noinline)) void reduce_tiles(const DepthwiseReduce& m, int64_t c, int64_t tap_row, int64_t col0,
                                            int64_t count, Part part) {
  constexpr int kColumns = (T - 1) * S + K;
  const int64_t pitch = m.x_pitch.col, row_step = m.h.tap_step * m.x_pitch.row;
  Vec acc[G][K];
  CC_UNROLL for (int g = 0; g < G; ++g) CC_UNROLL for (int k = 0; k < K; ++k) acc[g][k] = zero();
  for (int64_t i = m.first_row; i < m.last_row; ++i) {
    const Range taps = taps_inside(m.h, i);
    const int64_t begin = taps.begin - tap_row, end = taps.end - tap_row;
    const float* x_row = m.x + m.h.input(i, tap_row) * m.x_pitch.row + c;
    const float* dy = m.dy + i * m.dy_pitch.row + col0 * m.dy_pitch.col + c;
    for (int64_t col = col0, last = col0 + count * T; col < last; col += T) {
      const int64_t first = col * S + m.w.first;
      const Inside inside = columns_inside(first, kColumns, m.w.size);
      Vec d[T];
      CC_UNROLL for (int t = 0; t < T; ++t, dy += m.dy_pitch.col) d[t] = pin(load(dy, part));
      const float* x = x_row + first * pitch;
      CC_UNROLL for (int u = 0; u < kColumns; ++u, x = next(x, pitch)) {
        if (!is_inside<K>(inside, u, kColumns)) continue;
        const float* pixel = x;
        CC_UNROLL for (int g = 0; g < G; ++g, pixel = next(pixel, row_step)) {
          if (g < begin || g >= end) continue;
          const Vec v = pin(load(pixel, part));
          CC_UNROLL for (int t = 0; t < T; ++t)
            if (u >= t * S && u < t * S + K) acc[g][u - t * S] = fma(v, d[t], acc[g][u - t * S]);
        }
      }
    }
  }
  float* sum = m.sum + tap_row * K * m.sum_pitch + c;
  CC_UNROLL for (int g = 0; g < G; ++g) {
    if (tap_row + g >= m.h.taps) return;
    CC_UNROLL for (int k = 0; k < K; ++k) add_to(sum + (g * K + k) * m.sum_pitch, acc[g][k], part);
  }
}

// G x K sums and T pixels of dy must fit the registers.
template <int G, int K, int S, int T>
void reduce_rows(const DepthwiseReduce& m) {
  const bool single = !all_see_input(m.w, m.cols);
  if constexpr (S == 1) {
    for_row(m.channels, [&](int64_t c, auto part) CC_LAMBDA {
      for (int64_t tap = 0; tap < m.h.taps; tap += G)
        for_tiles<T>(m.cols, single, part, [&](int64_t col, int64_t count, auto tile) CC_LAMBDA {
          reduce_tiles<G, K, S, tile.size>(m, c, tap, col, count, part);
        });
    });
  } else {  // little work for a pixel of x: it pays to read the neighbours in memory soon after one another
    for_tiles<T>(m.cols, single, Whole{}, [&](int64_t col, int64_t count, auto tile) CC_LAMBDA {
      for (; count > 0; --count, col += tile.size)
        for_row(m.channels, [&](int64_t c, auto part) CC_LAMBDA {
          for (int64_t tap = 0; tap < m.h.taps; tap += G)
            reduce_tiles<G, K, S, tile.size>(m, c, tap, col, 1, part);
        });
    });
  }
}

// Any taps and step, tap by tap: the pixels that it sees, four sums at a time to hide the latency of the addition.
void reduce_any(const DepthwiseReduce& m) {
  for_row(m.channels, [&](int64_t c, auto part) CC_LAMBDA {
    for (int64_t kh = 0; kh < m.h.taps; ++kh)
      for (int64_t kw = 0; kw < m.w.taps; ++kw) {
        const Range cols = outputs_inside(m.w, kw, m.cols), rows = outputs_inside(m.h, kh, m.last_row);
        const int64_t x_step = m.w.step * m.x_pitch.col, dy_step = m.dy_pitch.col;
        Vec acc[4] = {zero(), zero(), zero(), zero()};
        for (int64_t i = most(rows.begin, m.first_row); i < rows.end; ++i) {
          const float* x = m.x + m.h.input(i, kh) * m.x_pitch.row + m.w.input(cols.begin, kw) * m.x_pitch.col + c;
          const float* dy = m.dy + i * m.dy_pitch.row + cols.begin * dy_step + c;
          int64_t j = cols.begin;
          for (; j + 4 <= cols.end; j += 4, x += 4 * x_step, dy += 4 * dy_step)
            CC_UNROLL for (int t = 0; t < 4; ++t)
              acc[t] = fma(load(x + t * x_step, part), load(dy + t * dy_step, part), acc[t]);
          for (; j < cols.end; ++j, x += x_step, dy += dy_step) acc[0] = fma(load(x, part), load(dy, part), acc[0]);
        }
        add_to(m.sum + (kh * m.w.taps + kw) * m.sum_pitch + c, add(add(acc[0], acc[1]), add(acc[2], acc[3])), part);
      }
  });
}

}  // namespace

void depthwise_reduce(const DepthwiseReduce& m) {
  if (m.cols <= 0 || m.last_row <= m.first_row) return;
  constexpr int kMost = kManyRegisters ? 8 : 4;
  if (m.w.tap_step == 1) switch (m.w.taps * 10 + m.w.step) {
      case 31: return reduce_rows<3, 3, 1, kMost>(m);
      case 32: return reduce_rows<3, 3, 2, kMost>(m);
      case 51: return reduce_rows<kManyRegisters ? 3 : 2, 5, 1, kMost>(m);
      case 52: return reduce_rows<kManyRegisters ? 3 : 2, 5, 2, kMost>(m);
      case 71: return reduce_rows<kManyRegisters ? 3 : 1, 7, 1, kMost>(m);
    }
  reduce_any(m);
}

}  // namespace convcore::CONVCORE_ISA
