// SPDX-License-Identifier: BSD-3-Clause
#include "ops/direct_weight.h"

#include <algorithm>
#include <cstring>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "ops/tiles.h"

namespace convcore {
namespace {

constexpr int64_t kFlatChannels = 8;  // up to here kW*C neighbours are the tile's rows
constexpr int64_t kManyTiles = 32;    // enough to share among threads without splitting the sum
constexpr int64_t kParts = 8;

// A pointwise convolution is one matrix product over all pixels: regroup them into rows of up to 512.
Conv2dGeometry regroup(Conv2dGeometry g) {
  if (!g.is_pointwise() || g.n == 0) return g;
  const int64_t pixels = g.n * g.h * g.w;
  int64_t cols = std::min<int64_t>(pixels, 512);
  while (pixels % cols) --cols;
  if (cols <= g.w) return g;
  g.n = 1, g.h = g.out_h = pixels / cols, g.w = g.out_w = cols;
  return g;
}

}  // namespace

DirectWeight::DirectWeight(const Conv2dGeometry& geometry) : g_(regroup(geometry)) {
  const int64_t c = g_.c_per_group(), o = g_.o_per_group();
  flat_ = c <= kFlatChannels && (g_.dilation_w == 1 || g_.kernel_w == 1);
  depth_ = flat_ ? g_.kernel_w * c : c;
  taps_ = flat_ ? g_.kernel_h : g_.taps();
  tile_ = choose_tile(o, 1);
  a_panels_ = ceil_div(depth_, tile_.mr);
  mr_ = ceil_div(depth_, a_panels_);
  b_panels_ = ceil_div(o, tile_.nr);
  dy_in_place_ = g_.groups * b_panels_ == 1;
  tiles_ = g_.groups * b_panels_ * a_panels_ * taps_;

  // A block's packed dy and x should stay in L2, and hold enough pixels to pay for reading and writing the tiles.
  const int64_t pixel_bytes = 4 * (g_.groups * b_panels_ * tile_.nr + g_.c * g_.stride_h * g_.stride_w);
  const int64_t target = std::clamp<int64_t>(cpu_info().l2 / 2 / pixel_bytes, 512, 4096);
  const int64_t image = g_.out_h * g_.out_w;
  images_ = image <= target ? std::clamp<int64_t>(target / image, 1, std::max<int64_t>(g_.n, 1)) : 1;
  rows_ = image <= target ? g_.out_h : std::clamp<int64_t>(target / g_.out_w, 1, g_.out_h);
  halo_h_ = (rows_ - 1) * g_.stride_h + (g_.kernel_h - 1) * g_.dilation_h + 1;
  halo_w_ = (g_.out_w - 1) * g_.stride_w + (g_.kernel_w - 1) * g_.dilation_w + 1;
  blocks_per_image_ = ceil_div(g_.out_h, rows_);
  blocks_ = ceil_div(g_.n, images_) * blocks_per_image_;

  parts_ = tiles_ >= kManyTiles ? 1 : std::clamp<int64_t>(blocks_, 1, kParts);
  slots_ = std::min<int64_t>(parts_, num_threads());
  const int64_t x_rows = flat_ ? c : a_panels_ * mr_;
  x_bytes_ = align_up(g_.groups * images_ * halo_h_ * halo_w_ * x_rows * 4);
  dy_bytes_ = dy_in_place_ ? 0 : align_up(g_.groups * b_panels_ * images_ * rows_ * g_.out_w * tile_.nr * 4);
  offsets_bytes_ = align_up(images_ * rows_ * sizeof(int64_t));
  tiles_bytes_ = align_up(tiles_ * mr_ * tile_.nr * 4);
}

size_t DirectWeight::workspace_bytes() const {
  return parts_ * tiles_bytes_ + slots_ * (x_bytes_ + dy_bytes_ + 2 * offsets_bytes_);
}

DirectWeight::Block DirectWeight::block(int64_t index) const {
  const int64_t n = index / blocks_per_image_ * images_, row = index % blocks_per_image_ * rows_;
  return {n, std::min(images_, g_.n - n), row, std::min(rows_, g_.out_h - row)};
}

DirectWeight::Scratch DirectWeight::scratch(std::byte* slot) const {
  std::byte* offsets = slot + x_bytes_ + dy_bytes_;
  return {reinterpret_cast<float*>(slot), reinterpret_cast<float*>(slot + x_bytes_),
          reinterpret_cast<int64_t*>(offsets), reinterpret_cast<int64_t*>(offsets + offsets_bytes_)};
}

void DirectWeight::run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const {
  const int64_t tile_floats = tiles_bytes_ / 4;
  float* tiles = reinterpret_cast<float*>(workspace);
  if (blocks_ == 0) std::memset(tiles, 0, tiles_bytes_);
  std::byte* slots = workspace + parts_ * tiles_bytes_;
  // One part: the loops inside run in parallel. Several: they are inside this parallel region, and serial.
  parallel_tasks(parts_, slots_, g_.flops() / parts_, [&](int64_t slot, int64_t part) {
    const Scratch own = scratch(slots + slot * (x_bytes_ + dy_bytes_ + 2 * offsets_bytes_));
    const int64_t first = blocks_ * part / parts_, last = blocks_ * (part + 1) / parts_;
    for (int64_t i = first; i < last; ++i)
      run_block(block(i), x, dy, own, tiles + part * tile_floats, i == first);
  });
  for (int64_t part = 1; part < parts_; ++part)
    for (int64_t i = 0; i < tile_floats; ++i) tiles[i] += tiles[part * tile_floats + i];
  gather_tiles(tiles, dw);
}

void DirectWeight::run_block(const Block& b, const Tensor& x, const Tensor& dy, const Scratch& s, float* tiles,
                             bool first) const {
  pack_x(b, x, s.x);
  const int64_t unit = flat_ ? g_.c_per_group() : mr_, nr = tile_.nr;
  const int64_t dy_step = dy_in_place_ ? dy.pitch : nr;
  const float* dy_panels = dy_in_place_ ? dy.f32() + (b.n * g_.out_h + b.row) * g_.out_w * dy.pitch : s.dy;
  if (!dy_in_place_) pack_dy(b, dy, s.dy);
  for (int64_t i = 0; i < b.images * b.rows; ++i) {
    s.x_offsets[i] = (i / b.rows * halo_h_ + i % b.rows * g_.stride_h) * halo_w_ * unit;
    s.dy_offsets[i] = i * g_.out_w * dy_step;
  }
  const int64_t x_panel = images_ * halo_h_ * halo_w_ * unit, dy_panel = images_ * rows_ * g_.out_w * nr;
  const int64_t pixels = b.images * b.rows * g_.out_w;
  parallel_for(tiles_, 1, 2 * pixels * mr_ * nr, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {  // t = ((group * b_panels + b) * a_panels + a) * taps + tap
      const int64_t tap = t % taps_, a = t / taps_ % a_panels_, b_index = t / taps_ / a_panels_;
      const int64_t group = b_index / b_panels_, column = b_index % b_panels_ * nr;
      const int64_t kh = flat_ ? tap : tap / g_.kernel_w, kw = flat_ ? 0 : tap % g_.kernel_w;
      const float* x_tap = s.x + (kh * g_.dilation_h * halo_w_ + kw * g_.dilation_w) * unit;
      x_tap += flat_ ? group * x_panel + a * mr_ : (group * a_panels_ + a) * x_panel;
      tile_.outer(static_cast<int>(std::min(mr_, depth_ - a * mr_)),
                  static_cast<int>(std::min(nr, g_.o_per_group() - column)),
                  {.a = x_tap, .b = dy_panels + b_index * dy_panel, .a_off = s.x_offsets, .b_off = s.dy_offsets,
                   .segments = b.images * b.rows, .length = g_.out_w, .a_step = g_.stride_w * unit, .b_step = dy_step,
                   .c = tiles + t * mr_ * nr, .c_pitch = nr, .accumulate = !first});
    }
  });
}

// [group][panel][image][halo row][halo column][MR channels], or [group][image][row][column][C]; zero outside the image.
void DirectWeight::pack_x(const Block& b, const Tensor& x, float* panels) const {
  const int64_t c = g_.c_per_group(), width = flat_ ? c : mr_, count = flat_ ? 1 : a_panels_;
  const int64_t row_floats = halo_w_ * width, panel_rows = images_ * halo_h_;
  parallel_for(g_.groups * count * b.images * halo_h_, 1, row_floats * 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t r = i % halo_h_, image = i / halo_h_ % b.images, panel = i / halo_h_ / b.images;
      float* out = panels + (panel * panel_rows + image * halo_h_ + r) * row_floats;
      const int64_t row = b.row * g_.stride_h - g_.pad_top + r, first = panel % count * width;
      const int64_t channels = std::min(width, c - first);
      if (row < 0 || row >= g_.h) {
        std::memset(out, 0, row_floats * 4);
        continue;
      }
      const float* in = x.f32() + ((b.n + image) * g_.h + row) * g_.w * x.pitch + panel / count * c + first;
      const int64_t left = std::min(g_.pad_left, halo_w_), middle = std::min(g_.w, halo_w_ - left);
      std::memset(out, 0, left * width * 4);
      out += left * width;
      for (int64_t j = 0; j < middle; ++j, out += width, in += x.pitch)
        for (int64_t k = 0; k < channels; ++k) out[k] = in[k];
      std::memset(out, 0, (halo_w_ - left - middle) * width * 4);
    }
  });
}

// [group][panel][image][row][column][NR output channels], zero beyond the last channel.
void DirectWeight::pack_dy(const Block& b, const Tensor& dy, float* panels) const {
  const int64_t nr = tile_.nr, row_floats = g_.out_w * nr;
  parallel_for(g_.groups * b_panels_ * b.images * b.rows, 1, row_floats * 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i % (b.images * b.rows), panel = i / (b.images * b.rows);
      float* out = panels + (panel * images_ * rows_ + row) * row_floats;
      const int64_t first = panel % b_panels_ * nr, channels = std::min(nr, g_.o_per_group() - first);
      const int64_t in_row = (b.n + row / b.rows) * g_.out_h + b.row + row % b.rows;
      const float* in = dy.f32() + in_row * g_.out_w * dy.pitch + panel / b_panels_ * g_.o_per_group() + first;
      for (int64_t j = 0; j < g_.out_w; ++j, out += nr, in += dy.pitch) {
        for (int64_t k = 0; k < channels; ++k) out[k] = in[k];
        for (int64_t k = channels; k < nr; ++k) out[k] = 0.0f;
      }
    }
  });
}

// Tiles [group][b][a][tap][MR][NR] -> dw (O, C/groups, kH, kW), one (group, b, a) at a time: it fits L1.
void DirectWeight::gather_tiles(const float* tiles, float* dw) const {
  const int64_t nr = tile_.nr, c = g_.c_per_group(), taps = g_.taps(), o = g_.o_per_group();
  parallel_for(g_.groups * b_panels_ * a_panels_, 1, taps_ * mr_ * nr * 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first_row = i % a_panels_ * mr_, rows = std::min(mr_, depth_ - first_row);
      const int64_t first = i / a_panels_ % b_panels_ * nr, channels = std::min(nr, o - first);
      const float* block = tiles + i * taps_ * mr_ * nr;
      for (int64_t j = 0; j < channels; ++j) {
        float* out = dw + (i / a_panels_ / b_panels_ * o + first + j) * c * taps;
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t t = 0; t < taps_; ++t) {
            const int64_t row = first_row + r;
            const int64_t place = flat_ ? row % c * taps + t * g_.kernel_w + row / c : row * taps + t;
            out[place] = block[(t * mr_ + r) * nr + j];
          }
      }
    }
  });
}

}  // namespace convcore
