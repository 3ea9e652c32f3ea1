// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/pool.h"

#include "simd/vec.h"

namespace convcore::CONVCORE_ISA {
namespace {

enum class Position { none, u8, i32, i64 };

CC_INLINE Vec load_some(const float* p, int n) { return n == kLanes ? load(p) : load_n(p, n); }
CC_INLINE void store_some(float* p, Vec v, int n) {
  if (n == kLanes)
    store(p, v);
  else
    store_n(p, v, n);
}

// A position in every lane: small ones as floats, others as bits. Those are only moved and blended, never compared:
// the bits of a small integer are a denormal.
CC_INLINE Vec position(int32_t i, Position kind) {
  float f = static_cast<float>(i);
  if (kind != Position::u8) __builtin_memcpy(&f, &i, sizeof f);
  return set1(f);
}

// Where a row's results go; the pointers that a Position does not name are null.
struct Out {
  float* y;
  uint8_t* u8;
  int32_t* i32;
  int64_t* i64;
  int64_t y_at, at;  // offset of the pixel's first channel: values, positions
  int64_t end;       // positions before this one may be overwritten, as later pixels are written later
};

CC_INLINE void store_max(const Out& out, int64_t c, Vec value, Vec at, int n, Position kind) {
  if (kind != Position::i64) store_some(out.y + out.y_at + c, value, n);
  c += out.at;
  if (kind == Position::u8) {
    if (n == kLanes || c + kLanes <= out.end) {
      store_u8(out.u8 + c, at);
    } else {
      uint8_t bytes[kLanes];
      store_u8(bytes, at);
      for (int i = 0; i < n; ++i) out.u8[c + i] = bytes[i];
    }
  }
  if (kind == Position::i32) store_some(reinterpret_cast<float*>(out.i32 + c), at, n);
  if (kind == Position::i64) {
    int32_t here[kLanes];
    __builtin_memcpy(here, &at, sizeof here);
    for (int i = 0; i < n; ++i) out.i64[c + i] = here[i];
  }
}

// The taps of one window and the positions they are known by.
struct Taps {
  const float* x;
  int64_t row, column;  // floats from tap to tap
  int32_t position;
  int64_t position_row, position_column;
};

CC_INLINE void max_block(const Taps& taps, int rows, int columns, int64_t c, int n, const Out& out, Position kind) {
  Vec best = set1(-__builtin_inff()), at = position(taps.position, kind);
  for (int r = 0; r < rows; ++r) {
    const float* x = taps.x + r * taps.row + c;
    for (int k = 0; k < columns; ++k, x += taps.column) {
      const Vec v = load_some(x, n);
      if (kind != Position::none) {
        const int64_t index = taps.position + r * taps.position_row + k * taps.position_column;
        const Vec here = position(static_cast<int32_t>(index), kind);
        at = if_eq(v, v, if_gt(v, best, here, at), here);
      }
      best = if_eq(v, v, max(v, best), v);
    }
  }
  store_max(out, c, best, at, n, kind);
}

CC_INLINE void max_pixel(const Taps& taps, int rows, int columns, int64_t channels, const Out& out, Position kind) {
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) max_block(taps, rows, columns, c, kLanes, out, kind);
  if (c < channels) max_block(taps, rows, columns, c, static_cast<int>(channels - c), out, kind);
}

CC_INLINE void max_row(const PoolArgs& a, int row, const float* x, Out out, Position kind) {
  const PoolWindow v = a.rows[row];
  const bool local = kind == Position::u8;
  Taps taps;
  taps.row = int64_t{a.row_dilation} * a.width * a.x_pitch;
  taps.column = a.column_dilation * a.x_pitch;
  taps.position_row = int64_t{a.row_dilation} * (local ? a.extent : a.width);
  taps.position_column = a.column_dilation;
  out.y_at = int64_t{row} * a.out_width * a.y_pitch;
  out.at = int64_t{row} * a.out_width * a.position_pitch;
  out.end = a.position_pitch == a.channels ? out.at + a.out_width * a.position_pitch : 0;
  for (int o = 0; o < a.out_width; ++o) {
    const PoolWindow h = a.columns[o];
    taps.x = x + (int64_t{v.begin} * a.width + h.begin) * a.x_pitch;
    if (v.count <= 0 || h.count <= 0)
      taps.position = local ? 0 : -1;
    else if (local)
      taps.position = (v.begin - v.origin) * a.extent + (h.begin - h.origin);
    else
      taps.position = v.begin * a.width + h.begin;
    // The usual windows, unrolled.
    if (v.count == 2 && h.count == 2)
      max_pixel(taps, 2, 2, a.channels, out, kind);
    else if (v.count == 3 && h.count == 3)
      max_pixel(taps, 3, 3, a.channels, out, kind);
    else
      max_pixel(taps, v.count, h.count, a.channels, out, kind);
    out.y_at += a.y_pitch;
    out.at += a.position_pitch;
  }
}

void max_plain(const PoolArgs& a, int row, const float* x, float* y) {
  max_row(a, row, x, {y, nullptr, nullptr, nullptr, 0, 0, 0}, Position::none);
}
void max_u8(const PoolArgs& a, int row, const float* x, float* y, uint8_t* position) {
  max_row(a, row, x, {y, position, nullptr, nullptr, 0, 0, 0}, Position::u8);
}
void max_i32(const PoolArgs& a, int row, const float* x, float* y, int32_t* position) {
  max_row(a, row, x, {y, nullptr, position, nullptr, 0, 0, 0}, Position::i32);
}
void max_i64(const PoolArgs& a, int row, const float* x, int64_t* position) {
  max_row(a, row, x, {nullptr, nullptr, nullptr, position, 0, 0, 0}, Position::i64);
}

// Sums rows first, then the rows' sums: large windows lose fewer bits so.
CC_INLINE void sum_block(const float* x, int64_t row, int64_t column, int rows, int columns, Vec scale, int vectors,
                         int n, float* y) {
  Vec total[4] = {zero(), zero(), zero(), zero()};
  for (int r = 0; r < rows; ++r) {
    Vec part[4] = {zero(), zero(), zero(), zero()};
    const float* p = x + r * row;
    for (int k = 0; k < columns; ++k, p += column)
      for (int v = 0; v < vectors; ++v) part[v] = add(part[v], load_some(p + v * kLanes, n));
    for (int v = 0; v < vectors; ++v) total[v] = add(total[v], part[v]);
  }
  for (int v = 0; v < vectors; ++v) store_some(y + v * kLanes, mul(total[v], scale), n);
}

CC_INLINE void sum_pixel(const float* x, int64_t row, int64_t column, int rows, int columns, float scale,
                         int64_t channels, float* y) {
  const Vec s = set1(scale);
  int64_t c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes) sum_block(x + c, row, column, rows, columns, s, 4, kLanes, y + c);
  for (; c + kLanes <= channels; c += kLanes) sum_block(x + c, row, column, rows, columns, s, 1, kLanes, y + c);
  if (c < channels) sum_block(x + c, row, column, rows, columns, s, 1, static_cast<int>(channels - c), y + c);
}

void sum_row(const PoolArgs& a, int row, const float* x, float* y) {
  const PoolWindow v = a.rows[row];
  const int64_t x_row = a.width * a.x_pitch;
  y += int64_t{row} * a.out_width * a.y_pitch;
  for (int o = 0; o < a.out_width; ++o, y += a.y_pitch) {
    const PoolWindow h = a.columns[o];
    const float* from = x + v.begin * x_row + h.begin * a.x_pitch;
    if (v.count == 2 && h.count == 2)
      sum_pixel(from, x_row, a.x_pitch, 2, 2, v.scale * h.scale, a.channels, y);
    else
      sum_pixel(from, x_row, a.x_pitch, v.count, h.count, v.scale * h.scale, a.channels, y);
  }
}

// dx = sum over the windows that hold the pixel of dy * scale, or of dy where the maximum stood here.
CC_INLINE void gather_block(const PoolArgs& a, int row, int column, int64_t c, const float* dy,
                            const uint8_t* position, float* dx, int n, bool is_max) {
  const PoolCover v = a.row_covers[row], h = a.column_covers[column];
  Vec total = zero();
  for (int r = v.first; r < v.first + v.count; ++r)
    for (int k = h.first; k < h.first + h.count; ++k) {
      const PoolWindow &rows = a.rows[r], &columns = a.columns[k];
      const int64_t o = int64_t{r} * a.out_width + k;
      const Vec g = load_some(dy + o * a.y_pitch + c, n);
      if (is_max) {
        const int code = (row - rows.origin) * a.extent + (column - columns.origin);
        const Vec at = load_u8(position + o * a.position_pitch + c);
        total = add(total, if_eq(at, set1(static_cast<float>(code)), g, zero()));
      } else {
        total = fma(g, set1(rows.scale * columns.scale), total);
      }
    }
  store_some(dx + c, total, n);
}

CC_INLINE void gather_row(const PoolArgs& a, int row, const float* dy, const uint8_t* position, float* dx,
                          bool is_max) {
  dx += int64_t{row} * a.width * a.x_pitch;
  for (int i = 0; i < a.width; ++i, dx += a.x_pitch) {
    int64_t c = 0;
    for (; c + kLanes <= a.channels; c += kLanes) gather_block(a, row, i, c, dy, position, dx, kLanes, is_max);
    if (c < a.channels) gather_block(a, row, i, c, dy, position, dx, static_cast<int>(a.channels - c), is_max);
  }
}

void max_gather(const PoolArgs& a, int row, const float* dy, const uint8_t* position, float* dx) {
  gather_row(a, row, dy, position, dx, true);
}
void sum_gather(const PoolArgs& a, int row, const float* dy, float* dx) {
  gather_row(a, row, dy, nullptr, dx, false);
}

CC_INLINE void clear(float* x, int64_t pixels, int64_t pitch, int64_t channels) {
  if (pitch == channels) {
    channels *= pixels;
    pixels = 1;
  }
  for (; pixels > 0; --pixels, x += pitch) {
    int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes) store(x + c, zero());
    if (c < channels) store_n(x + c, zero(), static_cast<int>(channels - c));
  }
}

// One disjoint window: its taps' pixels get dy * scale, or dy where the maximum stood.
struct Spread {
  const float* dy;
  const uint8_t* position;
  float* dx;
  int64_t row, column;  // floats from tap to tap
  int32_t code, code_row;
  float scale;
};

CC_INLINE void spread_block(const Spread& s, int rows, int columns, int64_t c, int n, bool is_max) {
  const Vec g = load_some(s.dy + c, n);
  const Vec scaled = mul(g, set1(s.scale));
  const Vec at = is_max ? load_u8(s.position + c) : zero();
  for (int r = 0; r < rows; ++r)
    for (int k = 0; k < columns; ++k) {
      const Vec code = set1(static_cast<float>(s.code + r * s.code_row + k));
      store_some(s.dx + r * s.row + k * s.column + c, is_max ? if_eq(at, code, g, zero()) : scaled, n);
    }
}

CC_INLINE void spread_pixel(const Spread& s, int rows, int columns, int64_t channels, bool is_max) {
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) spread_block(s, rows, columns, c, kLanes, is_max);
  if (c < channels) spread_block(s, rows, columns, c, static_cast<int>(channels - c), is_max);
}

CC_INLINE void spread_row(const PoolArgs& a, int row, const float* dy, const uint8_t* position, float* dx,
                          bool is_max) {
  const PoolWindow v = a.rows[row];
  Spread s{};
  s.row = a.width * a.x_pitch;
  s.column = a.x_pitch;
  s.code_row = a.extent;
  if (!a.fills) {
    const int begin = row == 0 ? 0 : v.begin;
    const int end = row + 1 == a.out_height ? a.height : a.rows[row + 1].begin;
    clear(dx + begin * s.row, int64_t{end - begin} * a.width, a.x_pitch, a.channels);
  }
  for (int o = 0; o < a.out_width; ++o) {
    const PoolWindow h = a.columns[o];
    const int64_t pixel = int64_t{row} * a.out_width + o;
    s.dy = dy + pixel * a.y_pitch;
    if (is_max) s.position = position + pixel * a.position_pitch;
    s.dx = dx + v.begin * s.row + h.begin * a.x_pitch;
    s.code = (v.begin - v.origin) * a.extent + (h.begin - h.origin);
    s.scale = v.scale * h.scale;
    if (v.count == 2 && h.count == 2)
      spread_pixel(s, 2, 2, a.channels, is_max);
    else
      spread_pixel(s, v.count, h.count, a.channels, is_max);
  }
}

void max_spread(const PoolArgs& a, int row, const float* dy, const uint8_t* position, float* dx) {
  spread_row(a, row, dy, position, dx, true);
}
void sum_spread(const PoolArgs& a, int row, const float* dy, float* dx) {
  spread_row(a, row, dy, nullptr, dx, false);
}

void max_scatter(const PoolArgs& a, const float* dy, const int32_t* position, float* dx) {
  clear(dx, int64_t{a.height} * a.width, a.x_pitch, a.channels);
  const int64_t outputs = int64_t{a.out_height} * a.out_width;
  for (int64_t o = 0; o < outputs; ++o, dy += a.y_pitch, position += a.position_pitch)
    for (int64_t c = 0; c < a.channels; ++c)
      if (position[c] >= 0) dx[position[c] * a.x_pitch + c] += dy[c];
}

}  // namespace

PoolKernels pool_kernels() {
  return {max_plain, max_u8, max_i32, max_i64, sum_row, max_gather, sum_gather, max_spread, sum_spread, max_scatter};
}

}  // namespace convcore::CONVCORE_ISA
