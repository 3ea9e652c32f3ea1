// SPDX-License-Identifier: BSD-3-Clause
// Depthwise stencils row by row, for every kernel size, stride and dilation.
#include "kernels/depthwise.h"

#include "kernels/depthwise_tiles.h"

namespace convcore::CONVCORE_ISA {

void depthwise_walk(const DepthwiseMap& m);
void depthwise_spread(const DepthwiseMap& m);
void depthwise_reduce(const DepthwiseReduce& m);

namespace {

constexpr int kTile = 8;                   // pixels whose sums are in registers at once
constexpr int64_t kCacheFloats = 8 << 10;  // of L1

// One row of outputs, of one vector of channels.
struct Row {
  const float *x, *w;            // column 0 of the first row of taps that lies inside, and its weights
  int64_t taps, x_step, w_step;  // rows of taps inside, and floats from one to the next
  float* y;
  const float *bias, *residual;  // or null
};

template <int T, class Part>
CC_INLINE void store_tile(const DepthwiseMap& m, const Row& row, int64_t col, Vec (&acc)[T], Part part) {
  const Vec lower = set1(m.lower), upper = set1(m.upper);
  const float* residual = row.residual ? row.residual + col * m.residual_pitch.col : nullptr;
  float* y = row.y + col * m.y_pitch.col;
  if (residual) {
    CC_UNROLL for (int t = 0; t < T; ++t) acc[t] = add(acc[t], load(residual + t * m.residual_pitch.col, part));
  }
  CC_UNROLL for (int t = 0; t < T; ++t, y += m.y_pitch.col) store_output(y, acc[t], lower, upper, part);
}

// `count` tiles of T neighbours. An input pixel is loaded once for a row of K taps, and added to all outputs that it
// reaches.
template <int K, int S, int T, class Part>
__attribute__((noinline)) void row_tiles(const DepthwiseMap& m, const Row& row, int64_t col, int64_t count, Part part) {
  constexpr int kColumns = (T - 1) * S + K;
  const int64_t pitch = m.x_pitch.col, x_step = row.x_step - kColumns * pitch, weight_pitch = m.weight_pitch.col;
  const Vec bias = row.bias ? load(row.bias, part) : zero();
  for (; count > 0; --count, col += T) {
    const int64_t first = col * S + m.w.first;
    const Inside inside = columns_inside(first, kColumns, m.w.size);
    Vec acc[T];
    CC_UNROLL for (int t = 0; t < T; ++t) acc[t] = bias;
    const float *x = row.x + first * pitch, *w = row.w;
    for (int64_t i = row.taps; i > 0; --i, x += x_step, w += row.w_step) {
      Vec wk[K];
      CC_UNROLL for (int k = 0; k < K; ++k) wk[k] = load(w + k * weight_pitch);
      CC_UNROLL for (int u = 0; u < kColumns; ++u, x = next(x, pitch)) {
        if (!is_inside<K>(inside, u, kColumns)) continue;
        const Vec v = pin(load(x, part));
        CC_UNROLL for (int t = 0; t < T; ++t)
          if (u >= t * S && u < t * S + K) acc[t] = fma(v, wk[u - t * S], acc[t]);
      }
    }
    if (m.fetch) {  // the next row
      fetch_pixels(row.x + row.taps * row.x_step + (first + K - S) * pitch, pitch, T * S);
      fetch_pixels(row.y + m.y_pitch.row + col * m.y_pitch.col, m.y_pitch.col, T);
    }
    store_tile(m, row, col, acc, part);
  }
}

// Any taps and step: T outputs whose taps all lie inside, or one with those of [taps.begin, taps.end).
template <int T, class Part>
CC_INLINE void any_tile(const DepthwiseMap& m, const Row& row, int64_t col, Range taps, Part part) {
  const int64_t tap_pitch = m.w.tap_step * m.x_pitch.col, step = m.w.step * m.x_pitch.col;
  Vec acc[T];
  CC_UNROLL for (int t = 0; t < T; ++t) acc[t] = row.bias ? load(row.bias, part) : zero();
  for (int64_t i = 0; i < row.taps; ++i) {
    const float* x = row.x + i * row.x_step + m.w.input(col, taps.begin) * m.x_pitch.col;
    const float* w = row.w + i * row.w_step + taps.begin * m.weight_pitch.col;
    for (int64_t k = taps.begin; k < taps.end; ++k, x += tap_pitch, w += m.weight_pitch.col) {
      const Vec wk = load(w);
      CC_UNROLL for (int t = 0; t < T; ++t) acc[t] = fma(load(x + t * step, part), wk, acc[t]);
    }
  }
  store_tile(m, row, col, acc, part);
}

template <class Part>
__attribute__((noinline)) void any_row(const DepthwiseMap& m, const Row& row, Part part) {
  const Range all{0, m.w.taps};
  const int64_t begin = m.w.taps ? outputs_inside(m.w, 0, m.cols).begin : 0;
  const int64_t end = m.w.taps ? outputs_inside(m.w, m.w.taps - 1, m.cols).end : m.cols;
  int64_t j = 0;
  while (j < m.cols) {
    if (j >= begin && j + kTile <= end) {
      any_tile<kTile>(m, row, j, all, part);
      j += kTile;
    } else {
      any_tile<1>(m, row, j, taps_inside(m.w, j), part);
      ++j;
    }
  }
}

// Calls body(row, part) for all rows and vectors of channels: as many channels at a time as keep the input that
// neighbouring rows share in L1.
template <class Body>
CC_INLINE void for_rows(const DepthwiseMap& m, Body&& body) {
  const int64_t shared = (m.h.taps + m.h.step) * least(m.w.size, m.cols * m.w.step + m.w.taps);
  const int64_t block = most(1, kCacheFloats / most(1, shared * kLanes)) * kLanes;
  for (int64_t c0 = 0; c0 < m.channels; c0 += block)
    for (int64_t i = m.first_row; i < m.last_row; ++i) {
      const Range taps = taps_inside(m.h, i);
      const Row row{m.x + m.h.input(i, taps.begin) * m.x_pitch.row, m.weight + taps.begin * m.weight_pitch.row,
                    taps.end - taps.begin, m.h.tap_step * m.x_pitch.row, m.weight_pitch.row, m.y + i * m.y_pitch.row,
                    m.bias, m.residual ? m.residual + i * m.residual_pitch.row : nullptr};
      for_row(least(block, m.channels - c0), [&](int64_t j, auto part) CC_LAMBDA {
        const int64_t c = c0 + j;
        body(Row{row.x + c, row.w + c, row.taps, row.x_step, row.w_step, row.y + c, row.bias ? row.bias + c : nullptr,
                 row.residual ? row.residual + c : nullptr},
             part);
      });
    }
}

template <int K, int S>
void map_rows(const DepthwiseMap& m) {
  const bool single = !all_see_input(m.w, m.cols);
  for_rows(m, [&](const Row& row, auto part) CC_LAMBDA {
    for_tiles<kTile>(m.cols, single, part, [&](int64_t col, int64_t count, auto tile) CC_LAMBDA {
      row_tiles<K, S, tile.size>(m, row, col, count, part);
    });
  });
}

void map_any(const DepthwiseMap& m) {
  for_rows(m, [&](const Row& row, auto part) CC_LAMBDA { any_row(m, row, part); });
}

void map_dense(const DepthwiseMap& m) {
  const int64_t step = m.w.step;
  const bool square = m.h.taps == 3 && m.w.taps == 3 && m.h.tap_step == 1 && m.h.step == step;
  // Walking saves loads from L1; where memory is the limit, rows in their order are the better walk through it.
  if (kManyRegisters && square && (step == 2 || (step == 1 && !m.fetch))) return depthwise_walk(m);
  if (step == 1) switch (m.w.taps) {
      case 1: return map_rows<1, 1>(m);
      case 2: return map_rows<2, 1>(m);
      case 3: return map_rows<3, 1>(m);
      case 5: return map_rows<5, 1>(m);
      case 7: return map_rows<7, 1>(m);
    }
  if (step == 2) switch (m.w.taps) {
      case 3: return map_rows<3, 2>(m);
      case 5: return map_rows<5, 2>(m);
    }
  map_any(m);
}

// A dilated stencil is tap_step dense ones, each on every tap_step-th column.
void map(const DepthwiseMap& m) {
  if (m.cols <= 0 || m.last_row <= m.first_row) return;
  const int64_t apart = m.w.tap_step;
  if (apart == 1) return map_dense(m);
  if (m.w.step > 1 || m.w.taps <= 1) return map_any(m);
  for (int64_t phase = 0; phase < least(apart, m.cols); ++phase) {
    const int64_t first = m.w.first + phase, offset = (first % apart + apart) % apart;
    DepthwiseMap d = m;
    d.w = {ceil_div(m.w.size - offset, apart), 1, (first - offset) / apart, m.w.taps, 1};
    d.cols = ceil_div(m.cols - phase, apart);
    d.x += offset * m.x_pitch.col;
    d.y += phase * m.y_pitch.col;
    if (d.residual) d.residual += phase * m.residual_pitch.col;
    d.x_pitch.col *= apart, d.y_pitch.col *= apart, d.residual_pitch.col *= apart;
    map_dense(d);
  }
}

}  // namespace

DepthwiseKernels depthwise_kernels() { return {kLanes, map, depthwise_spread, depthwise_reduce}; }

}  // namespace convcore::CONVCORE_ISA
