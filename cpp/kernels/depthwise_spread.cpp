// SPDX-License-Identifier: BSD-3-Clause
// Depthwise backward-input for stride 2: inputs reach every second tap's output, so outputs come in pairs that share
// inputs. With p = j - w.first = 2 * q + r: y[j] = sum over m of x[q - m] * weight[r + 2 * m]. Rows alike.
#include "kernels/depthwise_tiles.h"

namespace convcore::CONVCORE_ISA {

void depthwise_spread(const DepthwiseMap& m);

namespace {

// `count` tiles of T pairs of columns, from pair q on: an input pixel is loaded once for a row of taps.
template <int K, int T, class Part>
__attribute__((noinline)) void spread_tiles(const DepthwiseMap& m, const Row& row, int64_t q, int64_t count, Part part) {
  constexpr int kReach = (K - 1) / 2, kColumns = T + kReach;
  const int64_t pitch = m.x_pitch.col, x_step = row.x_step - kColumns * pitch, weight_pitch = m.weight_pitch.col;
  const Vec bias = row.bias ? load(row.bias, part) : zero(), lower = set1(m.lower), upper = set1(m.upper);
  for (; count > 0; --count, q += T) {
    const Inside inside = columns_inside(q - kReach, kColumns, m.w.size);
    Vec acc[2 * T];
    CC_UNROLL for (int t = 0; t < 2 * T; ++t) acc[t] = bias;
    const float *x = row.x + (q - kReach) * pitch, *w = row.w;
    for (int64_t i = row.taps; i > 0; --i, x += x_step, w += row.w_step) {
      Vec wk[K];
      CC_UNROLL for (int k = 0; k < K; ++k) wk[k] = load(w + k * weight_pitch);
      CC_UNROLL for (int u = 0; u < kColumns; ++u, x = next(x, pitch)) {
        if (!is_inside<kReach + 1>(inside, u, kColumns)) continue;
        const Vec v = pin(load(x, part));
        CC_UNROLL for (int t = 0; t < 2 * T; ++t) {
          const int k = t % 2 + 2 * (kReach + t / 2 - u);
          if (k >= 0 && k < K) acc[t] = fma(v, wk[k], acc[t]);
        }
      }
    }
    const int64_t j = 2 * q + m.w.first;  // it, and the tile's last column, may lie outside
    const bool begin = j >= 0, end = j + 2 * T <= m.cols;
    if (row.residual) {
      const float* from = row.residual + j * m.residual_pitch.col;
      CC_UNROLL for (int t = 0; t < 2 * T; ++t, from += m.residual_pitch.col)
        if ((t > 0 || begin) && (t < 2 * T - 1 || end)) acc[t] = add(acc[t], load(from, part));
    }
    float* y = row.y + j * m.y_pitch.col;
    if (m.fetch) fetch_pixels(y + 2 * m.y_pitch.row, m.y_pitch.col, 2 * T);
    CC_UNROLL for (int t = 0; t < 2 * T; ++t, y += m.y_pitch.col)
      if ((t > 0 || begin) && (t < 2 * T - 1 || end)) store_output(y, acc[t], lower, upper, part);
  }
}

template <int K>
void spread_rows(const DepthwiseMap& m) {
  constexpr int kMost = kManyRegisters ? 8 : 4;  // 2 * kMost sums and K weights must fit the registers
  const auto row_of = [&](int64_t i) CC_LAMBDA {
    const int64_t p = i - m.h.first, q = p >> 1, r = p & 1;
    const int64_t end = least(q + 1, ceil_div(m.h.taps - r, 2)), begin = least(most(0, q + 1 - m.h.size), end);
    return Row{m.x + (q - begin) * m.x_pitch.row, m.weight + (r + 2 * begin) * m.weight_pitch.row, end - begin,
               -m.x_pitch.row, 2 * m.weight_pitch.row, m.y + i * m.y_pitch.row, m.bias,
               m.residual ? m.residual + i * m.residual_pitch.row : nullptr};
  };
  const int64_t first = -m.w.first >> 1, last = (m.cols - 1 - m.w.first) >> 1;
  const bool single = last - m.w.size > (K - 1) / 2;  // some see no input at all
  for_rows(m, (m.h.taps / 2 + 1) * m.w.size + m.cols, row_of, [&](const Row& row, auto part) CC_LAMBDA {
    for_tiles<kMost>(last + 1 - first, single, part, [&](int64_t pair, int64_t count, auto tile) CC_LAMBDA {
      spread_tiles<K, tile.size>(m, row, first + pair, count, part);
    });
  });
}

}  // namespace

void depthwise_spread(const DepthwiseMap& m) {
  if (m.cols <= 0 || m.last_row <= m.first_row) return;
  m.w.taps == 3 ? spread_rows<3>(m) : spread_rows<5>(m);
}

}  // namespace convcore::CONVCORE_ISA
