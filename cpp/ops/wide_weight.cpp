// SPDX-License-Identifier: BSD-3-Clause
#include "ops/wide_weight.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/tiles.h"

namespace convcore {
namespace {

constexpr int64_t kFlatChannels = 8;     // up to here, kW*C neighbours make better tiles
constexpr int64_t kLeastPixels = 256;    // of a block: enough to pay for adding to the tiles
constexpr int64_t kMostPixels = 4096;
constexpr int64_t kManyPairs = 16;       // enough to share among threads without splitting the sum

// About the cycles of one pixel for all tiles of `rows` x `columns` of this shape.
double tile_cost(const TileShape& t, int64_t rows, int64_t columns) {
  constexpr int64_t kLatency = 8;  // fused multiply-adds that hide their own latency
  const int64_t panels = ceil_div(rows, t.mr), used = ceil_div(rows, panels), vectors = t.nr / table().tile.lanes;
  const double products = static_cast<double>(panels * ceil_div(columns, t.nr) * std::max(used * vectors, kLatency));
  return products * (1.0 + 0.5 / t.mr) / t.efficiency;  // few rows load more for each product
}

const TileShape& best_tile(int64_t rows, int64_t columns) {
  const TileKernels& kernels = table().tile;
  return *std::min_element(kernels.shape, kernels.shape + kernels.shapes, [&](const TileShape& a, const TileShape& b) {
    return tile_cost(a, rows, columns) < tile_cost(b, rows, columns);
  });
}

// A pointwise convolution is one matrix product: all pixels of the batch in a row.
Conv2dGeometry in_one_row(Conv2dGeometry g) {
  if (!g.is_pointwise()) return g;
  g.w = g.out_w = g.n * g.h * g.w;
  g.n = std::min<int64_t>(g.n, 1), g.h = g.out_h = 1;
  return g;
}

// The least equal pieces of `count` that have no more than `most`.
int64_t even_pieces(int64_t count, int64_t most) {
  const int64_t pieces = ceil_div(std::max<int64_t>(count, 1), std::max<int64_t>(most, 1));
  return ceil_div(std::max<int64_t>(count, 1), pieces);
}

}  // namespace

bool WideWeight::accepts(const Conv2dGeometry& g) {
  const int64_t c = g.c_per_group(), o = g.o_per_group();
  return c > kFlatChannels && tile_cost(best_tile(o, c), o, c) <= 1.25 * tile_cost(best_tile(c, o), c, o);
}

WideWeight::WideWeight(const Conv2dGeometry& g) : g_(in_one_row(g)) {
  const int64_t c = g_.c_per_group(), o = g_.o_per_group();
  taps_ = g_.taps();
  tile_ = best_tile(o, c);
  o_panels_ = ceil_div(o, tile_.mr), mr_ = ceil_div(o, o_panels_);
  o_panels_ = ceil_div(o, mr_);
  c_panels_ = ceil_div(c, tile_.nr);
  pairs_ = g_.groups * o_panels_ * c_panels_;
  pair_floats_ = taps_ * mr_ * tile_.nr;
  // Tiles that read a panel again: wide vectors use most of the cache lines that they touch, and need few reads.
  const int64_t reads = table().tile.lanes >= 16 ? 64 : 8;
  const bool padded = g_.pad_top || g_.pad_left || g_.pad_bottom || g_.pad_right;
  x_in_place_ = !padded && o_panels_ * taps_ < reads;
  dy_in_place_ = c_panels_ * taps_ < reads;
  choose_blocks();

  parts_ = std::clamp<int64_t>(ceil_div(kManyPairs, pairs_), 1, std::max<int64_t>(blocks_, 1));
  slots_ = std::min<int64_t>(parts_, num_threads());
  workers_ = std::min<int64_t>(pairs_, num_threads());
  past_caches_ = g_.o * c * taps_ * 4 >= cpu_info().l3 / 16;
  direct_ = taps_ == 1 && parts_ == 1;
  kept_ = !direct_ && blocks_ > 1;
  tiles_bytes_ = kept_ ? align_up(parts_ * pairs_ * pair_floats_ * 4) : 0;
  worker_bytes_ = direct_ ? 0 : align_up((2 * pair_floats_ + 16 * (taps_ + 1)) * 4);  // a pair's tiles and stage
  const int64_t x_pixels = images_ * vertical_.pixels * horizontal_.pixels, dy_pixels = images_ * rows_ * cols_;
  x_bytes_ = x_in_place_ ? 0 : align_up(g_.groups * c_panels_ * x_pixels * tile_.nr * 4);
  dy_bytes_ = dy_in_place_ ? 0 : align_up(g_.groups * o_panels_ * dy_pixels * mr_ * 4);
  offsets_bytes_ = align_up(images_ * rows_ * sizeof(int64_t));
}

// A panel of x, and what tiles read of dy while it stays there, should fit L2; packed blocks should not fill L3.
void WideWeight::choose_blocks() {
  const bool one_row = g_.kernel_h == 1, one_column = g_.kernel_w == 1;
  vertical_ = {one_row ? g_.stride_h : 1, one_row ? 1 : g_.stride_h, 0};
  horizontal_ = {one_column ? g_.stride_w : 1, one_column ? 1 : g_.stride_w, 0};
  const auto packed = [](const Axis& a, int64_t outputs, int64_t kernel, int64_t dilation) {
    return (outputs - 1) * a.per_output + (kernel - 1) * dilation + 1;
  };
  const int64_t height = packed(vertical_, g_.out_h, g_.kernel_h, g_.dilation_h);
  const int64_t width = packed(horizontal_, g_.out_w, g_.kernel_w, g_.dilation_w);
  const int64_t image = std::max<int64_t>(g_.out_h * g_.out_w, 1), halo = ceil_div(height * width, image);
  const int64_t near = (x_in_place_ ? 2 * g_.c : tile_.nr * halo) + (dy_in_place_ ? 2 * g_.o : mr_);
  const int64_t far = (x_in_place_ ? 0 : g_.c * halo) + (dy_in_place_ ? 0 : g_.o);
  int64_t target = std::clamp<int64_t>(cpu_info().l2 * 3 / 5 / 4 / near, kLeastPixels, kMostPixels);
  if (far > 0) target = std::clamp<int64_t>(cpu_info().l3 / 4 / 4 / far, kLeastPixels, target);

  images_ = even_pieces(g_.n, target / image);
  rows_ = even_pieces(g_.out_h, target / std::max<int64_t>(g_.out_w, 1));
  cols_ = even_pieces(g_.out_w, target);
  vertical_.pixels = packed(vertical_, rows_, g_.kernel_h, g_.dilation_h);
  horizontal_.pixels = packed(horizontal_, cols_, g_.kernel_w, g_.dilation_w);
  blocks_per_row_ = ceil_div(g_.out_w, cols_);
  blocks_per_image_ = blocks_per_row_ * ceil_div(g_.out_h, rows_);
  blocks_ = ceil_div(g_.n, images_) * blocks_per_image_;
}

size_t WideWeight::workspace_bytes() const {
  return tiles_bytes_ + workers_ * worker_bytes_ + slots_ * (x_bytes_ + dy_bytes_ + 2 * offsets_bytes_);
}

WideWeight::Block WideWeight::block(int64_t index) const {
  const int64_t n = index / blocks_per_image_ * images_, in_image = index % blocks_per_image_;
  const int64_t row = in_image / blocks_per_row_ * rows_, col = in_image % blocks_per_row_ * cols_;
  return {n, std::min(images_, g_.n - n), row, std::min(rows_, g_.out_h - row), col, std::min(cols_, g_.out_w - col)};
}

WideWeight::Scratch WideWeight::scratch(std::byte* slot) const {
  std::byte* offsets = slot + x_bytes_ + dy_bytes_;
  return {reinterpret_cast<float*>(slot), reinterpret_cast<float*>(slot + x_bytes_),
          reinterpret_cast<int64_t*>(offsets), reinterpret_cast<int64_t*>(offsets + offsets_bytes_)};
}

void WideWeight::run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const {
  if (blocks_ == 0) {
    std::fill_n(dw, g_.o * g_.c_per_group() * taps_, 0.0f);
    return;
  }
  float *tiles = reinterpret_cast<float*>(workspace), *pairs = reinterpret_cast<float*>(workspace + tiles_bytes_);
  std::byte* slots = workspace + tiles_bytes_ + workers_ * worker_bytes_;
  const int64_t part_floats = pairs_ * pair_floats_;
  // One part: the loops inside run in parallel. Several: they are inside this parallel region, and serial.
  parallel_tasks(parts_, slots_, g_.flops() / parts_, [&](int64_t slot, int64_t part) {
    const Scratch own = scratch(slots + slot * (x_bytes_ + dy_bytes_ + 2 * offsets_bytes_));
    const int64_t first = blocks_ * part / parts_, last = blocks_ * (part + 1) / parts_;
    for (int64_t i = first; i < last; ++i)
      run_block({i, i == first, i + 1 == last}, x, dy, own, tiles + part * part_floats, pairs, dw);
  });
  if (parts_ == 1) return;
  parallel_for(workers_, 1, parts_ * part_floats / workers_, [&](int64_t begin, int64_t end) {
    for (int64_t pair = pairs_ * begin / workers_; pair < pairs_ * end / workers_; ++pair) {
      float* sum = tiles + pair * pair_floats_;
      for (int64_t part = 1; part < parts_; ++part)
        for (int64_t i = 0; i < pair_floats_; ++i) sum[i] += sum[part * part_floats + i];
      store_pair(pair, sum, pairs + begin * worker_bytes_ / 4, dw);
    }
    table().pack.fence();
  });
}

WideWeight::Operands WideWeight::operands(const Block& b, const Tensor& x, const Tensor& dy, const Scratch& s) const {
  Operands r;
  r.x = s.x, r.x_step = horizontal_.per_output * tile_.nr;
  r.x_panel = images_ * vertical_.pixels * horizontal_.pixels * tile_.nr;
  int64_t x_image = vertical_.pixels * horizontal_.pixels * tile_.nr, dy_row = cols_ * mr_;
  int64_t x_row = vertical_.per_output * horizontal_.pixels * tile_.nr;
  r.tap_row = g_.dilation_h * horizontal_.pixels * tile_.nr, r.tap_col = g_.dilation_w * tile_.nr;
  if (x_in_place_) {
    x_image = g_.h * g_.w * x.pitch, x_row = g_.stride_h * g_.w * x.pitch;
    r.x = x.f32() + b.n * x_image + b.row * x_row + b.col * g_.stride_w * x.pitch;
    r.x_step = g_.stride_w * x.pitch, r.x_panel = tile_.nr;
    r.tap_row = g_.dilation_h * g_.w * x.pitch, r.tap_col = g_.dilation_w * x.pitch;
  } else {
    pack_x(b, x, s.x);
  }
  r.dy = s.dy, r.dy_step = mr_, r.dy_panel = images_ * rows_ * cols_ * mr_;
  int64_t dy_image = rows_ * dy_row;
  if (dy_in_place_) {
    dy_row = g_.out_w * dy.pitch, dy_image = g_.out_h * dy_row;
    r.dy = dy.f32() + b.n * dy_image + b.row * dy_row + b.col * dy.pitch;
    r.dy_step = dy.pitch, r.dy_panel = mr_;
  } else {
    pack_dy(b, dy, s.dy);
  }
  for (int64_t i = 0; i < b.images * b.rows; ++i) {
    s.x_offsets[i] = i / b.rows * x_image + i % b.rows * x_row;
    s.dy_offsets[i] = i / b.rows * dy_image + i % b.rows * dy_row;
  }
  return r;
}

void WideWeight::run_block(const Turn& turn, const Tensor& x, const Tensor& dy, const Scratch& s, float* tiles,
                           float* pairs, float* dw) const {
  const Block b = block(turn.index), next = turn.last ? Block{} : block(turn.index + 1);
  const int64_t next_pixels = next.images * next.rows * next.cols;
  const Operands in = operands(b, x, dy, s);
  const int64_t c = g_.c_per_group(), o = g_.o_per_group(), nr = tile_.nr;
  parallel_for(workers_, 1, g_.flops() / blocks_ / workers_, [&](int64_t begin, int64_t end) {
    for (int64_t pair = pairs_ * begin / workers_; pair < pairs_ * end / workers_; ++pair) {
      // pair = (group * c_panels + c panel) * o_panels + o panel
      const int64_t o0 = pair % o_panels_ * mr_, c_panel = pair / o_panels_ % c_panels_, c0 = c_panel * nr;
      const int64_t group = pair / o_panels_ / c_panels_, rows = std::min(mr_, o - o0), columns = std::min(nr, c - c0);
      const int64_t dy_panel = dy_in_place_ ? group * o + o0 : (group * o_panels_ + pair % o_panels_) * in.dy_panel;
      const int64_t x_panel = x_in_place_ ? group * c + c0 : (group * c_panels_ + c_panel) * in.x_panel;
      prefetch(next, next_pixels * pair / pairs_, next_pixels * (pair + 1) / pairs_, x, dy);
      float* own = pairs + begin * worker_bytes_ / 4;
      float* tile = kept_ ? tiles + pair * pair_floats_ : own;
      for (int64_t tap = 0; tap < taps_; ++tap) {
        const float* x_tap = in.x + x_panel + tap / g_.kernel_w * in.tap_row + tap % g_.kernel_w * in.tap_col;
        tile_.outer(static_cast<int>(rows), static_cast<int>(columns),
                    {.a = in.dy + dy_panel, .b = x_tap, .a_off = s.dy_offsets, .b_off = s.x_offsets,
                     .segments = b.images * b.rows, .length = b.cols, .a_step = in.dy_step, .b_step = in.x_step,
                     .c = direct_ ? dw + (group * o + o0) * c + c0 : tile + tap * mr_ * nr,
                     .c_pitch = direct_ ? c : nr, .accumulate = !turn.first});
      }
      if (turn.last && !direct_ && parts_ == 1) store_pair(pair, tile, own + pair_floats_, dw);
    }
    table().pack.fence();
  });
}

// Outputs `from` to `to` of a block, and the inputs they stand on, while an earlier block is computed.
void WideWeight::prefetch(const Block& b, int64_t from, int64_t to, const Tensor& x, const Tensor& dy) const {
  const auto fetch = [](const float* p, int64_t floats) {
    for (int64_t i = 0; i < floats; i += 16) __builtin_prefetch(p + i, 0, 2);
  };
  for (int64_t i = from; i < to; ++i) {
    const int64_t n = b.n + i / b.cols / b.rows, row = b.row + i / b.cols % b.rows, col = b.col + i % b.cols;
    fetch(dy.f32() + ((n * g_.out_h + row) * g_.out_w + col) * dy.pitch, g_.o);
    const int64_t height = std::min(g_.h - row * g_.stride_h, std::min(g_.kernel_h, g_.stride_h));
    const int64_t width = std::min(g_.w - col * g_.stride_w, std::min(g_.kernel_w, g_.stride_w));
    for (int64_t r = 0; r < height; ++r)
      for (int64_t k = 0; k < width; ++k)
        fetch(x.f32() + ((n * g_.h + row * g_.stride_h + r) * g_.w + col * g_.stride_w + k) * x.pitch, g_.c);
  }
}

// [group][panel][image][packed row][packed column][NR channels]; zero outside the image.
void WideWeight::pack_x(const Block& b, const Tensor& x, float* panels) const {
  const int64_t c = g_.c_per_group(), nr = tile_.nr, count = g_.groups * c_panels_;
  const int64_t pixels = horizontal_.pixels, step = horizontal_.step;
  const int64_t first = b.col * g_.stride_w - g_.pad_left;  // column of the image that the first packed pixel holds
  const int64_t left = std::min(pixels, first < 0 ? ceil_div(-first, step) : 0);
  const int64_t x0 = first + left * step;
  const int64_t middle = x0 < g_.w ? std::min(pixels - left, ceil_div(g_.w - x0, step)) : 0;
  parallel_for(b.images * vertical_.pixels * count, count, pixels * nr * 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t panel = i % count, image = i / count / vertical_.pixels, r = i / count % vertical_.pixels;
      float* out = panels + ((panel * images_ + image) * vertical_.pixels + r) * pixels * nr;
      const int64_t row = b.row * g_.stride_h - g_.pad_top + r * vertical_.step, c0 = panel % c_panels_ * nr;
      if (row < 0 || row >= g_.h || middle == 0) {
        std::memset(out, 0, pixels * nr * 4);
        continue;
      }
      const int64_t pixel = ((b.n + image) * g_.h + row) * g_.w + x0;
      std::memset(out, 0, left * nr * 4);
      table().pack.copy_rows(x.f32() + pixel * x.pitch + panel / c_panels_ * c + c0, step * x.pitch, middle,
                             std::min(nr, c - c0), out + left * nr, nr);
      std::memset(out + (left + middle) * nr, 0, (pixels - left - middle) * nr * 4);
    }
  });
}

// [group][panel][image][row][column][MR channels].
void WideWeight::pack_dy(const Block& b, const Tensor& dy, float* panels) const {
  const int64_t o = g_.o_per_group(), count = g_.groups * o_panels_;
  parallel_for(b.images * b.rows * count, count, b.cols * mr_ * 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t panel = i % count, image = i / count / b.rows, r = i / count % b.rows;
      const int64_t o0 = panel % o_panels_ * mr_;
      const int64_t pixel = ((b.n + image) * g_.out_h + b.row + r) * g_.out_w + b.col;
      float* out = panels + ((panel * images_ + image) * rows_ + r) * cols_ * mr_;
      table().pack.copy_rows(dy.f32() + pixel * dy.pitch + panel / o_panels_ * o + o0, dy.pitch, b.cols,
                             std::min(mr_, o - o0), out, mr_);
    }
  });
}

// Tiles [tap][MR][NR] of a pair -> dw (O, C/groups, kH, kW), where a channel's taps are neighbours. All rows are put in
// order before one is stored: loads from the stage would wait for stores that wait for memory.
void WideWeight::store_pair(int64_t pair, const float* tiles, float* stage, float* dw) const {
  const PackKernels& kernels = table().pack;
  const int64_t c = g_.c_per_group(), o = g_.o_per_group(), nr = tile_.nr;
  const int64_t o0 = pair % o_panels_ * mr_, c0 = pair / o_panels_ % c_panels_ * nr;
  const int64_t rows = std::min(mr_, o - o0), columns = std::min(nr, c - c0);
  float* out = dw + ((pair / o_panels_ / c_panels_ * o + o0) * c + c0) * taps_;
  if (taps_ == 1) return kernels.store_rows(tiles, nr, rows, columns, out, c, past_caches_);
  for (int64_t i = 0; i < rows; ++i)
    kernels.interleave(tiles + i * nr, mr_ * nr, taps_, columns, stage + i * columns * taps_);
  kernels.store_rows(stage, columns * taps_, rows, columns * taps_, out, c * taps_, past_caches_);
}

}  // namespace convcore
