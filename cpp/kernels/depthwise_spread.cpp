// SPDX-License-Identifier: BSD-3-Clause
// Depthwise backward-input for stride 2: inputs reach every second tap's output, so outputs come in pairs that share
// inputs. With p = j - w.first = 2 * q + r: y[j] = sum over m of x[q - m] * weight[r + 2 * m]. Rows alike.
#include "kernels/depthwise_tiles.h"

namespace convcore::CONVCORE_ISA {

void depthwise_spread(const DepthwiseMap& m);

namespace {

// T pairs of columns, from pair q on, of all rows: an input pixel is loaded once for a row of taps.
template <int K, int T, class Part>
__attribute__((noinline)) void spread_tile(const DepthwiseMap& m, int64_t c, int64_t q, Part part) {
  constexpr int kReach = (K - 1) / 2, kColumns = T + kReach;
  const int64_t pitch = m.x_pitch.col, x_step = -m.x_pitch.row - kColumns * pitch;
  const Vec bias = m.bias ? load(m.bias + c, part) : zero(), lower = set1(m.lower), upper = set1(m.upper);
  const Inside inside = columns_inside(q - kReach, kColumns, m.w.size);
  const int64_t col = 2 * q + m.w.first;  // it, and the tile's last column, may lie outside
  const bool begins = col >= 0, ends = col + 2 * T <= m.cols;
  for (int64_t row = m.first_row; row < m.last_row; ++row) {
    const int64_t p = row - m.h.first, r = p & 1, last = p >> 1;  // taps r + 2 * i reach from input rows last - i
    const int64_t end = least(last + 1, ceil_div(m.h.taps - r, 2)), begin = least(most(0, last + 1 - m.h.size), end);
    const float* x = m.x + (last - begin) * m.x_pitch.row + (q - kReach) * pitch + c;
    const float* w = m.weight + (r + 2 * begin) * m.weight_pitch.row + c;
    Vec acc[2 * T];
    CC_UNROLL for (int t = 0; t < 2 * T; ++t) acc[t] = bias;
    for (int64_t i = end - begin; i > 0; --i, x += x_step, w += 2 * m.weight_pitch.row) {
      Vec wk[K];
      CC_UNROLL for (int k = 0; k < K; ++k) wk[k] = load(w + k * m.weight_pitch.col);
      CC_UNROLL for (int u = 0; u < kColumns; ++u, x = next(x, pitch)) {
        if (!is_inside<kReach + 1>(inside, u, kColumns)) continue;
        const Vec v = pin(load(x, part));
        CC_UNROLL for (int t = 0; t < 2 * T; ++t) {
          const int k = t % 2 + 2 * (kReach + t / 2 - u);
          if (k >= 0 && k < K) acc[t] = fma(v, wk[k], acc[t]);
        }
      }
    }
    float* y = m.y + row * m.y_pitch.row + col * m.y_pitch.col + c;
    if (m.fetch) {  // the vector of channels after the next
      if (r == 0) fetch_pixels(m.x + last * m.x_pitch.row + q * pitch + c + 2 * kLanes, pitch, T);
      fetch_pixels(y + 2 * kLanes, m.y_pitch.col, 2 * T);
    }
    if (m.residual) {
      const float* from = m.residual + row * m.residual_pitch.row + col * m.residual_pitch.col + c;
      CC_UNROLL for (int t = 0; t < 2 * T; ++t, from += m.residual_pitch.col)
        if ((t > 0 || begins) && (t < 2 * T - 1 || ends)) acc[t] = add(acc[t], load(from, part));
    }
    CC_UNROLL for (int t = 0; t < 2 * T; ++t, y += m.y_pitch.col)
      if ((t > 0 || begins) && (t < 2 * T - 1 || ends)) store_output(y, acc[t], lower, upper, part);
  }
}

template <int K>
void spread_rows(const DepthwiseMap& m) {
  const int64_t first = -m.w.first >> 1, last = (m.cols - 1 - m.w.first) >> 1;
  const bool single = last - m.w.size > (K - 1) / 2;  // some see no input at all
  // 2 * T sums and K weights must fit the registers. Channels are the inner loop: neighbours in memory soon follow.
  constexpr int kMost = kManyRegisters ? 8 : 4;
  for_tiles<kMost>(last + 1 - first, single, Whole{}, [&](int64_t q, int64_t count, auto tile) CC_LAMBDA {
    for (q += first; count > 0; --count, q += tile.size)
      for_row(m.channels, [&](int64_t c, auto part) CC_LAMBDA { spread_tile<K, tile.size>(m, c, q, part); });
  });
}

}  // namespace

void depthwise_spread(const DepthwiseMap& m) {
  if (m.cols <= 0 || m.last_row <= m.first_row) return;
  m.w.taps == 3 ? spread_rows<3>(m) : spread_rows<5>(m);
}

}  // namespace convcore::CONVCORE_ISA
