// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/pool.h"

#include "simd/loop.h"

namespace convcore::CONVCORE_ISA {
namespace {

enum class Position { none, u8, i32, i64 };

// A position in every lane: small ones as floats, others as bits. Those are only moved and blended, never compared:
// the bits of a small integer are a denormal.
CC_INLINE Vec position(int32_t i, Position kind) {
  float f = static_cast<float>(i);
  if (kind != Position::u8) __builtin_memcpy(&f, &i, sizeof f);
  return set1(f);
}

// The last channels of a pixel; the compiler sees that they are less than a vector.
CC_INLINE int tail(int64_t channels) { return static_cast<int>(channels & (kLanes - 1)); }

// Outputs from `column` on that are alike but for their place.
CC_INLINE int alike(const PoolArgs& a, int column) {
  return column == a.run_begin && a.run_end > a.run_begin ? a.run_end - a.run_begin : 1;
}

// Floats from a tap to that of the window below, which kernels ask for ahead of time. (Measured, where maps come from
// memory: up to 3 times the speed.)
CC_INLINE int64_t window_below(const PoolArgs& a, int row) {
  return row + 1 < a.out_height ? int64_t{a.rows[row + 1].begin - a.rows[row].begin} * a.width * a.x_pitch : 0;
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
  int64_t ahead;        // floats to the same column of the next window below
  int64_t position, position_row, position_column;
};

CC_INLINE void max_block(const Taps& taps, int rows, int columns, int64_t c, int n, const Out& out, Position kind) {
  Vec best = set1(-__builtin_inff()), at = position(static_cast<int32_t>(taps.position), kind);
  for (int r = 0; r < rows; ++r) {
    const float* x = taps.x + r * taps.row + c;
    for (int k = 0; k < columns; ++k, x += taps.column) {
      if (r + 2 >= rows && k + 2 >= columns) ask_for(x + taps.ahead);
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
  if (tail(channels)) max_block(taps, rows, columns, c, tail(channels), out, kind);
}

// `count` outputs whose windows are run_step apart. By value: what is stored must not be taken for a change of these.
CC_INLINE void max_run(const PoolArgs a, Taps taps, int rows, int columns, int count, Out out, Position kind) {
  const bool narrow = a.channels < kLanes;  // one block, so that all but the pixel's place is set up once
  for (int i = 0; i < count; ++i) {
    if (narrow)
      max_block(taps, rows, columns, 0, tail(a.channels), out, kind);
    else
      max_pixel(taps, rows, columns, a.channels, out, kind);
    taps.x += a.run_step * a.x_pitch;
    if (kind == Position::i32 || kind == Position::i64) taps.position += a.run_step;
    out.y_at += a.y_pitch;
    out.at += a.position_pitch;
  }
}

CC_INLINE void max_row(const PoolArgs& a, int row, const float* x, Out out, Position kind) {
  const PoolWindow v = a.rows[row];
  const bool local = kind == Position::u8;
  Taps taps;
  taps.row = int64_t{a.row_dilation} * a.width * a.x_pitch;
  taps.column = a.column_dilation * a.x_pitch;
  taps.ahead = window_below(a, row);
  taps.position_row = int64_t{a.row_dilation} * (local ? a.extent : a.width);
  taps.position_column = a.column_dilation;
  const int64_t first = int64_t{row} * a.out_width;
  out.end = a.position_pitch == a.channels ? (first + a.out_width) * a.position_pitch : 0;
  for (int o = 0, count; o < a.out_width; o += count) {
    count = alike(a, o);
    const PoolWindow h = a.columns[o];
    taps.x = x + (int64_t{v.begin} * a.width + h.begin) * a.x_pitch;
    if (v.count <= 0 || h.count <= 0)
      taps.position = local ? 0 : -1;
    else if (local)
      taps.position = (v.begin - v.origin) * a.extent + (h.begin - h.origin);
    else
      taps.position = v.begin * a.width + h.begin;
    out.y_at = (first + o) * a.y_pitch;
    out.at = (first + o) * a.position_pitch;
    // The usual windows, unrolled.
    if (v.count == 2 && h.count == 2)
      max_run(a, taps, 2, 2, count, out, kind);
    else if (v.count == 3 && h.count == 3)
      max_run(a, taps, 3, 3, count, out, kind);
    else
      max_run(a, taps, v.count, h.count, count, out, kind);
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
CC_INLINE void sum_block(const float* x, int64_t row, int64_t column, int64_t ahead, int rows, int columns, Vec scale,
                         int vectors, int n, float* y) {
  Vec total[4] = {zero(), zero(), zero(), zero()};
  for (int r = 0; r < rows; ++r) {
    Vec part[4] = {zero(), zero(), zero(), zero()};
    const float* p = x + r * row;
    for (int k = 0; k < columns; ++k, p += column)
      for (int v = 0; v < vectors; ++v) {
        if (r + 2 >= rows && k + 2 >= columns) ask_for(p + v * kLanes + ahead);
        part[v] = add(part[v], load_some(p + v * kLanes, n));
      }
    for (int v = 0; v < vectors; ++v) total[v] = add(total[v], part[v]);
  }
  for (int v = 0; v < vectors; ++v) store_some(y + v * kLanes, mul(total[v], scale), n);
}

CC_INLINE void sum_pixel(const float* x, int64_t row, int64_t column, int64_t ahead, int rows, int columns, float scale,
                         int64_t channels, float* y) {
  const Vec s = set1(scale);
  int64_t c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes)
    sum_block(x + c, row, column, ahead, rows, columns, s, 4, kLanes, y + c);
  for (; c + kLanes <= channels; c += kLanes) sum_block(x + c, row, column, ahead, rows, columns, s, 1, kLanes, y + c);
  if (tail(channels)) sum_block(x + c, row, column, ahead, rows, columns, s, 1, tail(channels), y + c);
}

CC_INLINE void sum_run(const PoolArgs& a, const float* x, int64_t ahead, int rows, int columns, float scale, int count,
                       float* y) {
  const int64_t row = int64_t{a.row_dilation} * a.width * a.x_pitch, column = a.column_dilation * a.x_pitch;
  for (int i = 0; i < count; ++i, x += a.run_step * a.x_pitch, y += a.y_pitch)
    sum_pixel(x, row, column, ahead, rows, columns, scale, a.channels, y);
}

void sum_row(const PoolArgs& a, int row, const float* x, float* y) {
  const PoolWindow v = a.rows[row];
  const int64_t ahead = window_below(a, row);
  y += int64_t{row} * a.out_width * a.y_pitch;
  for (int o = 0, count; o < a.out_width; o += count, y += count * a.y_pitch) {
    count = alike(a, o);
    const PoolWindow h = a.columns[o];
    const float* from = x + (int64_t{v.begin} * a.width + h.begin) * a.x_pitch;
    if (v.count == 2 && h.count == 2)
      sum_run(a, from, ahead, 2, 2, v.scale * h.scale, count, y);
    else
      sum_run(a, from, ahead, v.count, h.count, v.scale * h.scale, count, y);
  }
}

// A window over a pixel: where its dy and position stand, and its scale or what its position must be.
struct Source {
  int64_t dy, position;
  float scale;
  int code;
};
enum { kSources = 16 };

// Pixels of one row that the same windows cover, but for their place: each window one further from pixel to pixel.
struct Gather {
  const float* dy;
  const uint8_t* position;
  float* dx;
  int64_t channels, pixels;
  int64_t dy_step, position_step, dx_step;
  int64_t dy_ahead, dx_ahead;  // floats to the same column of the next row
  bool first;  // else more sources are added to dx
};

CC_INLINE void gather_block(const Source* sources, int count, const Gather& g, int64_t c, int n, bool is_max) {
  Vec total = g.first ? zero() : load_some(g.dx + c, n);
  for (int i = 0; i < count; ++i) {
    const float* p = g.dy + sources[i].dy + c;
    if (i + 1 == count) ask_for(p + g.dy_ahead);
    const Vec d = load_some(p, n);
    if (is_max)
      total = add(total, if_byte(g.position + sources[i].position + c, sources[i].code, d, zero()));
    else
      total = fma(d, set1(sources[i].scale), total);
  }
  store_some(g.dx + c, total, n);
  if (n == kLanes) ask_to_write(g.dx + c + g.dx_ahead);
}

CC_INLINE void gather_pixels(const Source* given, int count, Gather g, bool is_max) {
  Source sources[kSources];
  for (int i = 0; i < count; ++i) sources[i] = given[i];
  for (int64_t p = 0; p < g.pixels; ++p, g.dy += g.dy_step, g.position += g.position_step, g.dx += g.dx_step) {
    int64_t c = 0;
    for (; c + kLanes <= g.channels; c += kLanes) gather_block(sources, count, g, c, kLanes, is_max);
    if (tail(g.channels)) gather_block(sources, count, g, c, tail(g.channels), is_max);
  }
}

// The usual numbers of windows over a pixel, unrolled.
CC_INLINE void gather_run(const Source* sources, int count, const Gather& g, bool is_max) {
  switch (count) {
    case 1: return gather_pixels(sources, 1, g, is_max);
    case 2: return gather_pixels(sources, 2, g, is_max);
    case 4: return gather_pixels(sources, 4, g, is_max);
    default: return gather_pixels(sources, count, g, is_max);
  }
}

// The window's taps, `dilation` apart, include the coordinate i.
CC_INLINE bool holds(const PoolWindow& window, int i, int dilation) {
  return window.count > 0 && (i - window.begin) % dilation == 0;
}

// The windows over column i + step are those over column i, each one further.
CC_INLINE bool covered_alike(const PoolArgs& a, int i, int step) {
  const PoolCover here = a.column_covers[i], there = a.column_covers[i + step];
  if (there.first != here.first + 1 || there.count != here.count) return false;
  for (int k = here.first; k < here.first + here.count; ++k)
    if (a.columns[k + 1].origin != a.columns[k].origin + step || a.columns[k + 1].scale != a.columns[k].scale)
      return false;
  return true;
}

// dx = sum over the windows that hold the pixel of dy * scale, or of dy where the maximum stood here. Pixels as far
// apart as windows are done one after the other: what is added to them is found out once.
CC_INLINE void gather_row(const PoolArgs& a, int row, const float* dy, const uint8_t* position, float* dx,
                          bool is_max) {
  Source sources[kSources];
  const PoolCover v = a.row_covers[row];
  const int step = a.run_step > 0 && a.run_step < a.width ? a.run_step : a.width;
  const bool holes = !is_max && (a.row_dilation > 1 || a.column_dilation > 1);
  dx += int64_t{row} * a.width * a.x_pitch;
  for (int phase = 0; phase < step; ++phase)
    for (int i = phase, pixels; i < a.width; i += pixels * step) {
      for (pixels = 1; i + pixels * step < a.width && covered_alike(a, i + (pixels - 1) * step, step);) ++pixels;
      const PoolCover h = a.column_covers[i];
      Gather g;
      g.dy = dy;
      g.position = position;
      g.dx = dx + i * a.x_pitch;
      g.channels = a.channels;
      g.pixels = pixels;
      g.dy_step = a.y_pitch;
      g.position_step = is_max ? a.position_pitch : 0;
      g.dx_step = step * a.x_pitch;
      g.dy_ahead = a.out_width * a.y_pitch;
      g.dx_ahead = a.width * a.x_pitch;
      g.first = true;
      int count = 0;
      for (int r = v.first; r < v.first + v.count; ++r)
        for (int k = h.first; k < h.first + h.count; ++k) {
          if (count == kSources) {
            gather_run(sources, count, g, is_max);
            g.first = false;
            count = 0;
          }
          const PoolWindow &rows = a.rows[r], &columns = a.columns[k];
          if (holes && !(holds(rows, row, a.row_dilation) && holds(columns, i, a.column_dilation))) continue;
          const int64_t o = int64_t{r} * a.out_width + k;
          sources[count++] = {o * a.y_pitch, o * a.position_pitch, rows.scale * columns.scale,
                              (row - rows.origin) * a.extent + (i - columns.origin)};
        }
      gather_run(sources, count, g, is_max);
    }
}

void max_gather(const PoolArgs& a, int row, const float* dy, const uint8_t* position, float* dx) {
  gather_row(a, row, dy, position, dx, true);
}
void sum_gather(const PoolArgs& a, int row, const float* dy, float* dx) { gather_row(a, row, dy, nullptr, dx, false); }

CC_INLINE void clear(float* x, int64_t pixels, int64_t pitch, int64_t channels) {
  if (pitch == channels) {
    channels *= pixels;
    pixels = 1;
  }
  for (; pixels > 0; --pixels, x += pitch) {
    int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes) store(x + c, zero());
    if (tail(channels)) store_n(x + c, zero(), tail(channels));
  }
}

// One disjoint window: its taps' pixels get dy * scale, or dy where the maximum stood.
struct Spread {
  const float* dy;
  const uint8_t* position;
  float* dx;
  int64_t row, column;  // floats from tap to tap
  int64_t ahead;        // floats to the same column of the next window below
  int32_t code, code_row;
  float scale;
};

CC_INLINE void spread_block(const Spread& s, int rows, int columns, int64_t c, int n, bool is_max) {
  const Vec g = load_some(s.dy + c, n);
  const Vec scaled = mul(g, set1(s.scale));
  for (int r = 0; r < rows; ++r)
    for (int k = 0; k < columns; ++k) {
      const int code = s.code + r * s.code_row + k;
      float* p = s.dx + r * s.row + k * s.column + c;
      if (n == kLanes) ask_to_write(p + s.ahead);
      store_some(p, is_max ? if_byte(s.position + c, code, g, zero()) : scaled, n);
    }
}

CC_INLINE void spread_pixel(const Spread& s, int rows, int columns, int64_t channels, bool is_max) {
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) spread_block(s, rows, columns, c, kLanes, is_max);
  if (tail(channels)) spread_block(s, rows, columns, c, tail(channels), is_max);
}

CC_INLINE void spread_run(const PoolArgs& a, Spread s, int rows, int columns, int count, bool is_max) {
  const bool narrow = a.channels < kLanes;
  for (int i = 0; i < count; ++i) {
    if (narrow)
      spread_block(s, rows, columns, 0, tail(a.channels), is_max);
    else
      spread_pixel(s, rows, columns, a.channels, is_max);
    s.dy += a.y_pitch;
    if (is_max) s.position += a.position_pitch;
    s.dx += a.run_step * a.x_pitch;
  }
}

CC_INLINE void spread_row(const PoolArgs& a, int row, const float* dy, const uint8_t* position, float* dx,
                          bool is_max) {
  const PoolWindow v = a.rows[row];
  Spread s{};
  s.row = a.width * a.x_pitch;
  s.column = a.x_pitch;
  s.ahead = window_below(a, row);
  s.code_row = a.extent;
  if (!a.fills) {
    const int begin = row == 0 ? 0 : v.begin;
    const int end = row + 1 == a.out_height ? a.height : a.rows[row + 1].begin;
    clear(dx + begin * s.row, int64_t{end - begin} * a.width, a.x_pitch, a.channels);
  }
  for (int o = 0, count; o < a.out_width; o += count) {
    count = alike(a, o);
    const PoolWindow h = a.columns[o];
    const int64_t pixel = int64_t{row} * a.out_width + o;
    s.dy = dy + pixel * a.y_pitch;
    if (is_max) s.position = position + pixel * a.position_pitch;
    s.dx = dx + v.begin * s.row + h.begin * a.x_pitch;
    s.code = (v.begin - v.origin) * a.extent + (h.begin - h.origin);
    s.scale = v.scale * h.scale;
    if (v.count == 2 && h.count == 2)
      spread_run(a, s, 2, 2, count, is_max);
    else
      spread_run(a, s, v.count, h.count, count, is_max);
  }
}

void max_spread(const PoolArgs& a, int row, const float* dy, const uint8_t* position, float* dx) {
  spread_row(a, row, dy, position, dx, true);
}
void sum_spread(const PoolArgs& a, int row, const float* dy, float* dx) { spread_row(a, row, dy, nullptr, dx, false); }

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
