// SPDX-License-Identifier: BSD-3-Clause
#include "ops/row_weight.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/tiles.h"

namespace convcore {
namespace {

constexpr int64_t kFewChannels = 32;
constexpr int64_t kLeastPixels = 512, kMostPixels = 2048;  // of a block: enough to pay for adding a tile to its sums
constexpr int64_t kParts = 8;
constexpr int64_t kLine = 64;  // bytes

// Cycles per pixel of a tile: two products, or two operands from L1, at a time; at least the latency of an addition;
// and the loop.
double tile_cycles(int64_t rows, int64_t vectors) {
  return std::max(4.0, std::max(rows * vectors, rows + vectors) / 2.0) + 1.0;
}

// The sum of body(size) over `total` cut into nearly equal chunks of at most `most`.
template <class Body>
double sum_over_chunks(int64_t total, int64_t most, Body&& body) {
  const int64_t chunks = ceil_div(total, most), larger = total % chunks;
  return static_cast<double>(larger) * body(total / chunks + 1) +
         static_cast<double>(chunks - larger) * body(total / chunks);
}

}  // namespace

bool RowWeight::accepts(const Conv2dGeometry& g) {
  return g.groups == 1 && g.c <= kFewChannels && (g.dilation_w == 1 || g.kernel_w == 1);
}

RowWeight::RowWeight(const Conv2dGeometry& g) : g_(g), width_(g.kernel_w * g.c), tile_(choose_tile(g)) {
  pitch_ = ceil_div(g_.o, table().row_product.lanes) * table().row_product.lanes;
  choose_blocks();
  parts_ = std::clamp<int64_t>(blocks_, 1, kParts);
  slots_ = std::min<int64_t>(parts_, num_threads());
  sums_bytes_ = align_up(g_.kernel_h * width_ * pitch_ * 4);
  x_bytes_ = align_up(images_ * halo_h_ * halo_w_ * g_.c * 4);
  offsets_bytes_ = align_up(images_ * block_rows_ * sizeof(int64_t));
}

double RowWeight::cycles(const Conv2dGeometry& g) {
  return choose_tile(g).cycles * static_cast<double>(g.n * g.out_h * g.out_w);
}

RowWeight::Tile RowWeight::choose_tile(const Conv2dGeometry& g) {
  const RowProductKernels& kernels = table().row_product;
  const int64_t all = ceil_div(g.o, kernels.lanes), width = g.kernel_w * g.c;
  Tile best{1, 1, 1, std::numeric_limits<double>::infinity()};
  for (int64_t vectors = 1; vectors <= std::min<int64_t>(all, 2); ++vectors)
    for (int64_t bases = 1; bases <= std::min<int64_t>(g.kernel_h, kMaxBases); ++bases) {
      const int64_t most = std::min<int64_t>(width, kernels.max_rows[vectors - 1] / bases);
      const double cycles = sum_over_chunks(g.kernel_h, bases, [&](int64_t b) {
        return sum_over_chunks(width, most, [&](int64_t r) {
          return static_cast<double>(all / vectors) * tile_cycles(b * r, vectors) +
                 static_cast<double>(all % vectors) * tile_cycles(b * r, 1);
        });
      });
      if (cycles < best.cycles) best = {bases, most, vectors, cycles};
    }
  return best;
}

// A block's x and dy are read by every tile, so they should stay in L2, and the next block's beside them. Blocks are
// nearly equal: each has the time to fetch the next.
void RowWeight::choose_blocks() {
  const int64_t pixel_bytes = 4 * (g_.o + g_.c * g_.stride_h * g_.stride_w), image = g_.out_h * g_.out_w;
  const int64_t target = std::clamp<int64_t>(cpu_info().l2 / 4 / pixel_bytes, kLeastPixels, kMostPixels);
  images_ = std::clamp<int64_t>(target / image, 1, std::max<int64_t>(g_.n, 1));
  const auto even = [](int64_t total, int64_t most) {
    return ceil_div(total, ceil_div(total, std::max<int64_t>(most, 1)));
  };
  block_rows_ = even(g_.out_h, target / g_.out_w);
  block_cols_ = even(g_.out_w, target);
  halo_h_ = (block_rows_ - 1) * g_.stride_h + (g_.kernel_h - 1) * g_.dilation_h + 1;
  halo_w_ = (block_cols_ - 1) * g_.stride_w + (g_.kernel_w - 1) * g_.dilation_w + 1;
  blocks_per_row_ = ceil_div(g_.out_w, block_cols_);
  blocks_per_image_ = ceil_div(g_.out_h, block_rows_) * blocks_per_row_;
  blocks_ = ceil_div(g_.n, images_) * blocks_per_image_;
  padded_ = g_.pad_top > 0 || g_.pad_left > 0 ||
            (g_.out_h - 1) * g_.stride_h + (g_.kernel_h - 1) * g_.dilation_h >= g_.h ||
            (g_.out_w - 1) * g_.stride_w + (g_.kernel_w - 1) * g_.dilation_w >= g_.w;
}

size_t RowWeight::workspace_bytes() const {
  return parts_ * sums_bytes_ + slots_ * (x_bytes_ + 2 * offsets_bytes_);
}

RowWeight::Block RowWeight::block(int64_t index) const {
  const int64_t n = index / blocks_per_image_ * images_, in_image = index % blocks_per_image_;
  const int64_t row = in_image / blocks_per_row_ * block_rows_, col = in_image % blocks_per_row_ * block_cols_;
  return {n,   std::min(images_, g_.n - n),          row, std::min(block_rows_, g_.out_h - row),
          col, std::min(block_cols_, g_.out_w - col)};
}

RowWeight::Scratch RowWeight::scratch(std::byte* slot) const {
  std::byte* offsets = slot + x_bytes_;
  return {reinterpret_cast<float*>(slot), reinterpret_cast<int64_t*>(offsets),
          reinterpret_cast<int64_t*>(offsets + offsets_bytes_)};
}

void RowWeight::run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const {
  const int64_t sum_floats = static_cast<int64_t>(sums_bytes_) / 4;
  float* sums = reinterpret_cast<float*>(workspace);
  if (blocks_ == 0) std::memset(sums, 0, sums_bytes_);
  std::byte* slots = workspace + parts_ * sums_bytes_;
  parallel_tasks(parts_, slots_, g_.flops() / parts_, [&](int64_t slot, int64_t part) {
    const Scratch own = scratch(slots + slot * (x_bytes_ + 2 * offsets_bytes_));
    const int64_t first = blocks_ * part / parts_, last = blocks_ * (part + 1) / parts_;
    for (int64_t i = first; i < last; ++i) {
      const Ahead next = i + 1 < last ? ahead(block(i + 1), x, dy) : Ahead{};
      run_block(block(i), x, dy, own, sums + part * sum_floats, i == first, next);
    }
  });
  for (int64_t part = 1; part < parts_; ++part)
    for (int64_t i = 0; i < g_.kernel_h * width_ * pitch_; ++i) sums[i] += sums[part * sum_floats + i];
  // sums [kh][kw][C][O] -> dw (O, C, kH, kW)
  if (g_.taps() == 1) return table().elementwise.transpose(g_.c, g_.o, {sums, pitch_}, {dw, g_.c});
  for (int64_t o = 0; o < g_.o; ++o)
    for (int64_t c = 0; c < g_.c; ++c)
      for (int64_t tap = 0; tap < g_.taps(); ++tap) *dw++ = sums[(tap * g_.c + c) * pitch_ + o];
}

// From the first to the last row of the block.
RowWeight::Ahead RowWeight::ahead(const Block& b, const Tensor& x, const Tensor& dy) const {
  const auto rows = [](const Tensor& t, int64_t height, int64_t width, int64_t n, int64_t images, int64_t first,
                       int64_t last) {
    first = std::clamp<int64_t>(first, 0, height), last = std::clamp<int64_t>(last, 0, height);
    const int64_t pixels = ((images - 1) * height + last - first) * width;
    return std::pair(reinterpret_cast<const char*>(t.f32() + (n * height + first) * width * t.pitch),
                     ceil_div(std::max<int64_t>(pixels, 0) * t.pitch * 4, kLine));
  };
  const int64_t top = b.row * g_.stride_h - g_.pad_top;
  const auto [y, y_lines] = rows(dy, g_.out_h, g_.out_w, b.n, b.images, b.row, b.row + b.rows);
  const auto [in, in_lines] = rows(x, g_.h, g_.w, b.n, b.images, top, top + halo_h_);
  return {{y, in}, {y_lines, in_lines}};
}

void RowWeight::run_block(const Block& b, const Tensor& x, const Tensor& dy, const Scratch& s, float* sums,
                          bool first, Ahead ahead) const {
  // Where the block's x is: in place, or copied.
  const bool in_place = !padded_ && (x.pitch == g_.c || g_.kernel_w == 1);
  const int64_t pitch = in_place ? x.pitch : g_.c, row_pixels = in_place ? g_.w : halo_w_;
  const int64_t image_pixels = in_place ? g_.h * g_.w : halo_h_ * halo_w_;
  const float* source = s.x;
  if (in_place)
    source = x.f32() + ((b.n * g_.h + b.row * g_.stride_h) * g_.w + b.col * g_.stride_w) * pitch;
  else
    copy_x(b, x, s.x);
  for (int64_t i = 0; i < b.images * b.rows; ++i) {
    s.x_offsets[i] = (i / b.rows * image_pixels + i % b.rows * g_.stride_h * row_pixels) * pitch;
    s.dy_offsets[i] = (i / b.rows * g_.out_h + i % b.rows) * g_.out_w * dy.pitch;
  }
  int64_t bases[kMaxBases];
  for (int64_t i = 0; i < kMaxBases; ++i) bases[i] = i * g_.dilation_h * row_pixels * pitch;

  const RowProductKernels& kernels = table().row_product;
  RowProductArgs args{.a = nullptr, .b = nullptr, .a_off = s.x_offsets, .b_off = s.dy_offsets, .base = bases,
                      .segments = b.images * b.rows, .length = b.cols, .a_step = g_.stride_w * pitch,
                      .b_step = dy.pitch, .columns = 0, .c = nullptr, .c_pitch = pitch_, .c_base = width_ * pitch_,
                      .accumulate = !first, .fetch = nullptr, .fetch_step = 0};
  const int64_t steps = args.segments * args.length;
  const float* gradient = dy.f32() + ((b.n * g_.out_h + b.row) * g_.out_w + b.col) * dy.pitch;
  const int64_t base_chunks = ceil_div(g_.kernel_h, tile_.bases), row_chunks = ceil_div(width_, tile_.rows);
  for (int64_t o = 0; o < g_.o; o += tile_.vectors * kernels.lanes)
    for (int64_t i = 0; i < base_chunks; ++i)
      for (int64_t j = 0; j < row_chunks; ++j) {
        const int64_t kh = g_.kernel_h * i / base_chunks, row = width_ * j / row_chunks;
        args.a = source + kh * bases[1] + row;
        args.b = gradient + o;
        args.columns = static_cast<int>(std::min(g_.o - o, tile_.vectors * kernels.lanes));
        args.c = sums + (kh * width_ + row) * pitch_ + o;
        const int run = ahead.lines[0] > 0 ? 0 : 1;
        args.fetch = ahead.at[run];
        args.fetch_step = ahead.lines[run] > 0 ? kLine : 0;
        ahead.at[run] += steps * args.fetch_step;
        ahead.lines[run] -= steps;
        kernels.product(static_cast<int>(g_.kernel_h * (i + 1) / base_chunks - kh),
                        static_cast<int>(width_ * (j + 1) / row_chunks - row),
                        static_cast<int>(ceil_div(args.columns, kernels.lanes)), args);
      }
}

// The input rows of a block, with zeros where taps leave the image.
void RowWeight::copy_x(const Block& b, const Tensor& x, float* out) const {
  const int64_t c = g_.c, top = b.row * g_.stride_h - g_.pad_top, start = b.col * g_.stride_w - g_.pad_left;
  const int64_t row0 = std::clamp<int64_t>(top, 0, g_.h), row1 = std::clamp<int64_t>(top + halo_h_, row0, g_.h);
  const int64_t col0 = std::clamp<int64_t>(start, 0, g_.w), col1 = std::clamp<int64_t>(start + halo_w_, col0, g_.w);
  const int64_t above = std::min(row0 - top, halo_h_), left = std::min(col0 - start, halo_w_);
  const int64_t row_floats = halo_w_ * c, right = halo_w_ - left - (col1 - col0);
  for (int64_t n = b.n; n < b.n + b.images; ++n, out += halo_h_ * row_floats) {
    const float* in = x.f32() + ((n * g_.h + row0) * g_.w + col0) * x.pitch;
    float* rows = out + above * row_floats;
    std::memset(out, 0, above * row_floats * 4);
    if (x.pitch == c) {
      table().row_product.pad_rows(in, g_.w * c, row1 - row0, left * c, (col1 - col0) * c, right * c, rows);
    } else {
      for (int64_t r = row0; r < row1; ++r, in += g_.w * x.pitch) {
        std::memset(rows + (r - row0) * row_floats, 0, left * c * 4);
        table().row_product.pad_rows(in, x.pitch, col1 - col0, 0, c, 0, rows + (r - row0) * row_floats + left * c);
        std::memset(rows + ((r - row0 + 1) * halo_w_ - right) * c, 0, right * c * 4);
      }
    }
    std::memset(rows + (row1 - row0) * row_floats, 0, (halo_h_ - above - (row1 - row0)) * row_floats * 4);
  }
}

}  // namespace convcore
