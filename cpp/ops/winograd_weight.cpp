// SPDX-License-Identifier: BSD-3-Clause
#include "ops/winograd_weight.h"

#include <algorithm>
#include <cstring>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/tiles.h"

namespace convcore {
namespace {

constexpr int64_t kPoints = 36;
constexpr int64_t kLine = 16;        // floats of a cache line
constexpr int64_t kChunk = 96;       // tiles, about: 48 to 128 are as fast; fewer move the sums too often
constexpr int64_t kBlock = 64;       // channels of a block, about: its sums stay in L2
constexpr int64_t kRows = 16;        // input channels of a block that are finished at a time
constexpr int64_t kSums = 24 << 20;  // bytes of sums that are kept at a time where there are several chunks

// An odd number of lines: rows that far apart spread over all sets of a cache.
int64_t odd_lines(int64_t floats) { return (ceil_div(floats, kLine) | 1) * kLine; }

// The size x size pixels from (row, column) on, wherever they are.
WinogradPatch patch(const Tensor& t, int64_t n, int64_t row, int64_t column, int64_t size) {
  const auto inside = [&](int64_t i) { return static_cast<int>(std::clamp<int64_t>(i, 0, size)); };
  const int64_t row_pitch = t.w() * t.pitch;
  return {t.f32() + (n * t.h() + row) * row_pitch + column * t.pitch, row_pitch, t.pitch,
          inside(-row), inside(t.h() - row), inside(-column), inside(t.w() - column)};
}

// Asks for the pixels of a patch from row and column `first` on: its channels are a walk through memory that no
// processor foresees. Inlined, because GCC takes a function that only prefetches for one that does nothing.
[[gnu::always_inline]] inline void prefetch(const WinogradPatch& p, int first, int64_t channels) {
  for (int i = std::max(p.top, first); i < p.bottom; ++i)
    for (int j = std::max(p.left, first); j < p.right; ++j)
      for (int64_t c = 0; c < channels; c += kLine) __builtin_prefetch(p.x + i * p.row_pitch + j * p.pixel_pitch + c);
}

}  // namespace

// In cycles of two multiply-adds of vectors each. kTransform: of a vector at 36 points, stores included; kInverse: what
// a vector of finished sums costs beyond what it costs the direct sum.
bool winograd_weight_pays(const Conv2dGeometry& g) {
  constexpr double kTransform = 170, kInverse = 120;
  const int64_t lanes = table().tile.lanes;
  const auto real = [](int64_t i) { return static_cast<double>(i); };
  const double tiles = real(g.n * ceil_div(g.out_h, 4) * ceil_div(g.out_w, 4)), pixels = real(g.n * g.out_h * g.out_w);
  const double c_vectors = real(ceil_div(g.c, lanes)), o_vectors = real(ceil_div(g.o, lanes)), c = real(g.c);
  const double products = tiles * kPoints / 2, direct = pixels * 9 / 2;
  return (products + kInverse) * c * o_vectors + tiles * (c_vectors + o_vectors) * kTransform < direct * c * o_vectors;
}

std::unique_ptr<ConvReduce> winograd_reduce(const Conv2dGeometry& g) { return std::make_unique<WinogradWeight>(g); }

WinogradWeight::WinogradWeight(const Conv2dGeometry& geometry) : g_(geometry), tile_(choose_tile(g_.o, 1)) {
  tiles_h_ = ceil_div(g_.out_h, 4), tiles_w_ = ceil_div(g_.out_w, 4);
  tiles_ = g_.n * tiles_h_ * tiles_w_;
  v_pitch_ = odd_lines(g_.c), w_pitch_ = odd_lines(g_.o);
  const int64_t chunks = std::max<int64_t>((tiles_ + kChunk / 2) / kChunk, 1);
  chunk_ = ceil_div(tiles_, chunks);

  const int64_t a_panels = ceil_div(g_.c, tile_.mr), b_panels = ceil_div(g_.o, tile_.nr);
  mr_ = ceil_div(g_.c, a_panels);
  block_c_ = ceil_div(a_panels, ceil_div(g_.c, kBlock)) * mr_;
  block_o_ = ceil_div(b_panels, ceil_div(g_.o, kBlock)) * tile_.nr;
  blocks_o_ = ceil_div(g_.o, block_o_);
  blocks_ = ceil_div(g_.c, block_c_) * blocks_o_;
  v_step_ = odd_lines(chunk_ * v_pitch_), w_step_ = odd_lines(chunk_ * w_pitch_);
  u_step_ = odd_lines(block_c_ * block_o_);
  // With one chunk a block is finished before the next begins. With several, tiles are transformed again for each
  // group, which takes no longer than to move more sums than a cache holds.
  const int64_t kept = chunks > 1 ? std::max<int64_t>(kSums / (kPoints * u_step_ * 4), 1) : num_threads();
  group_ = ceil_div(blocks_, ceil_div(blocks_, kept));
}

size_t WinogradWeight::workspace_bytes() const {
  return static_cast<size_t>(kPoints * (v_step_ + w_step_ + group_ * u_step_)) * 4;
}

WinogradWeight::Patches WinogradWeight::patches(int64_t tile, const Tensor& x, const Tensor& dy) const {
  const int64_t n = tile / tiles_w_ / tiles_h_, row = tile / tiles_w_ % tiles_h_ * 4, column = tile % tiles_w_ * 4;
  return {patch(x, n, row - g_.pad_top, column - g_.pad_left, 6), patch(dy, n, row, column, 4)};
}

WinogradWeight::Block WinogradWeight::block(int64_t index) const {
  const int64_t c = index / blocks_o_ * block_c_, o = index % blocks_o_ * block_o_;
  return {c, std::min(block_c_, g_.c - c), o, std::min(block_o_, g_.o - o)};
}

void WinogradWeight::run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const {
  if (tiles_ == 0) {
    std::memset(dw, 0, static_cast<size_t>(g_.o * g_.c * g_.taps()) * 4);
    return;
  }
  float* v = reinterpret_cast<float*>(workspace);
  float *w = v + kPoints * v_step_, *u = w + kPoints * w_step_;
  for (int64_t first = 0; first < blocks_; first += group_) {
    const int64_t count = std::min(group_, blocks_ - first);
    for (int64_t tile = 0; tile < tiles_; tile += chunk_) {
      const Chunk chunk{tile, std::min(chunk_, tiles_ - tile)};
      if (first == 0 || chunk_ < tiles_) transform(chunk, x, dy, v, w);
      parallel_for(count * kPoints, 1, 2 * chunk.count * block_c_ * block_o_, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          multiply(chunk, block(first + i / kPoints), v + i % kPoints * v_step_, w + i % kPoints * w_step_,
                   u + i * u_step_);
      });
    }
    finish(first, count, u, dw);
  }
}

// V = B^T d B, W = G y G^T
void WinogradWeight::transform(const Chunk& chunk, const Tensor& x, const Tensor& dy, float* v, float* w) const {
  parallel_for(chunk.count, 1, kPoints * 8 * (g_.c + g_.o), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t tile = chunk.first + i;
      if (tile + 1 < tiles_) {
        const Patches next = patches(tile + 1, x, dy);
        prefetch(next.x, 2, g_.c);  // the rows and columns before these it shares with others
        prefetch(next.dy, 0, g_.o);
      }
      const Patches p = patches(tile, x, dy);
      table().winograd.f4.input(p.x, g_.c, v + i * v_pitch_, v_step_);
      table().winograd_weight.gradient6(p.dy, g_.o, w + i * w_pitch_, w_step_);
    }
  });
}

// U[c][o] (+)= sum over tiles of V[tile][c] W[tile][o], of a block at a point
void WinogradWeight::multiply(const Chunk& chunk, const Block& b, const float* v, const float* w, float* u) const {
  constexpr int64_t kStart = 0;
  for (int64_t o = 0; o < b.columns; o += tile_.nr)
    for (int64_t c = 0; c < b.rows; c += mr_)
      tile_.outer(static_cast<int>(std::min(mr_, b.rows - c)),
                  static_cast<int>(std::min<int64_t>(tile_.nr, b.columns - o)),
                  {.a = v + b.c + c, .b = w + b.o + o, .a_off = &kStart, .b_off = &kStart, .segments = 1,
                   .length = chunk.count, .a_step = v_pitch_, .b_step = w_pitch_, .c = u + c * block_o_ + o,
                   .c_pitch = block_o_, .accumulate = chunk.first > 0});
}

// dw[o][c] = A^T U A, of `count` blocks
void WinogradWeight::finish(int64_t first, int64_t count, const float* u, float* dw) const {
  const int64_t runs = ceil_div(block_c_, kRows);
  parallel_for(count * runs, 1, kPoints * 4 * kRows * block_o_, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Block b = block(first + i / runs);
      const int64_t c = i % runs * kRows, rows = std::min(kRows, b.rows - c);
      if (rows <= 0) continue;
      table().winograd_weight.weights3(rows, b.columns, u + i / runs * kPoints * u_step_ + c * block_o_, u_step_,
                                       block_o_, dw + (b.o * g_.c + b.c + c) * g_.taps(), g_.c * g_.taps());
    }
  });
}

}  // namespace convcore
