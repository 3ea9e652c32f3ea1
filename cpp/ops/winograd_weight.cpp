// SPDX-License-Identifier: BSD-3-Clause
#include "ops/winograd_weight.h"

#include <algorithm>
#include <cstring>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/tiles.h"
#include "ops/winograd_groups.h"

namespace convcore {
namespace {

constexpr int64_t kPoints = 36;
constexpr int64_t kLine = 16;             // floats of a cache line
constexpr int64_t kChunk = 96;            // tiles, about: 48 to 128 are as fast; fewer move the sums too often
constexpr int64_t kBlock = 64;            // channels of a block, about: its sums stay in L2
constexpr int64_t kRows = 16;             // input channels of a block that are finished at a time
constexpr int64_t kLeastPart = 48;        // tiles
constexpr int64_t kMostParts = 16;        // of the tiles
constexpr int64_t kPartSums = 5 << 19;    // bytes of the sums of all parts together
constexpr int64_t kGroupSums = 12 << 20;  // bytes of sums that a task keeps at a time where it has several chunks

// An odd number of lines: rows that far apart spread over all sets of a cache.
int64_t odd_lines(int64_t floats) { return (ceil_div(floats, kLine) | 1) * kLine; }

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
  const double tiles = real(WinogradGrid(g, g.out_h, g.out_w, 4).tiles()), pixels = real(g.n * g.out_h * g.out_w);
  const double c_vectors = real(ceil_div(g.c, lanes)), o_vectors = real(ceil_div(g.o, lanes)), c = real(g.c);
  const double products = tiles * kPoints / 2, direct = pixels * 9 / 2;
  return (products + kInverse) * c * o_vectors + tiles * (c_vectors + o_vectors) * kTransform < direct * c * o_vectors;
}

std::unique_ptr<ConvReduce> winograd_reduce(const Conv2dGeometry& g) {
  if (g.groups > 1) return winograd_groups_reduce(g);
  return std::make_unique<WinogradWeight>(g, num_threads());
}

WinogradWeight::WinogradWeight(const Conv2dGeometry& geometry, int64_t threads)
    : g_(geometry),
      grid_(g_, g_.out_h, g_.out_w, 4),
      tiles_(grid_.tiles()),
      tile_(choose_tile(g_.o, 1)),
      slots_(threads) {
  const int64_t most = std::min({kMostParts, kPartSums / (kPoints * g_.c * g_.o * 4), tiles_ / kLeastPart});
  while (2 * parts_ <= most) parts_ *= 2;  // equal shares for two, four, ... threads
  const int64_t part = ceil_div(tiles_, parts_), chunks = std::max<int64_t>((part + kChunk / 2) / kChunk, 1);
  chunk_ = ceil_div(part, chunks);

  // Blocks and regions change no bits: each sum is one over the tiles of a part.
  const bool few = parts_ * ceil_div(g_.c, kBlock) * ceil_div(g_.o, kBlock) < slots_;
  const int64_t size = few ? kBlock / 2 : kBlock;
  const int64_t a_panels = ceil_div(g_.c, tile_.mr), b_panels = ceil_div(g_.o, tile_.nr);
  mr_ = ceil_div(g_.c, a_panels);
  block_c_ = ceil_div(a_panels, ceil_div(g_.c, size)) * mr_;
  block_o_ = ceil_div(b_panels, ceil_div(g_.o, size)) * tile_.nr;
  blocks_c_ = ceil_div(g_.c, block_c_), blocks_o_ = ceil_div(g_.o, block_o_);
  u_step_ = odd_lines(block_c_ * block_o_);
  while (parts_ * splits_c_ * splits_o_ < slots_ && splits_c_ * splits_o_ < blocks_c_ * blocks_o_) {
    const bool columns = blocks_o_ * splits_c_ >= blocks_c_ * splits_o_;  // of what is left, there are more
    if (splits_o_ < blocks_o_ && (columns || splits_c_ == blocks_c_))
      ++splits_o_;
    else
      ++splits_c_;
  }
  slots_ = std::min(slots_, parts_ * splits_c_ * splits_o_);
  const int64_t region_c = ceil_div(blocks_c_, splits_c_), region_o = ceil_div(blocks_o_, splits_o_);
  v_pitch_ = odd_lines(std::min(region_c * block_c_, g_.c)), w_pitch_ = odd_lines(std::min(region_o * block_o_, g_.o));
  v_step_ = odd_lines(chunk_ * v_pitch_), w_step_ = odd_lines(chunk_ * w_pitch_);
  // With one chunk a block is finished before the next begins. With several, tiles are transformed again for each
  // group, which takes no longer than to move more sums than a cache holds.
  group_ = region_c * region_o;
  if (parts_ == 1) {
    const int64_t block_bytes = kPoints * u_step_ * 4;
    const int64_t kept = chunks > 1 ? std::max<int64_t>(kGroupSums / block_bytes, 1) : 1;
    group_ = ceil_div(group_, ceil_div(group_, kept));
  }
}

size_t WinogradWeight::slot_bytes() const {
  return static_cast<size_t>(kPoints * (v_step_ + w_step_ + (parts_ == 1 ? group_ * u_step_ : 0))) * 4;
}
size_t WinogradWeight::workspace_bytes() const {
  const int64_t sums = parts_ == 1 ? 0 : parts_ * blocks_c_ * blocks_o_ * kPoints * u_step_;
  return static_cast<size_t>(slots_) * slot_bytes() + static_cast<size_t>(sums) * 4;
}

WinogradWeight::Range WinogradWeight::tiles_of(int64_t part) const {
  const int64_t first = tiles_ * part / parts_;
  return {first, tiles_ * (part + 1) / parts_ - first};
}

WinogradWeight::Patches WinogradWeight::patches(int64_t tile, const Block& region, const Tensor& x,
                                                const Tensor& dy) const {
  const WinogradTile at(grid_, tile);
  return {at.patch(x, g_.pad_top, g_.pad_left, 6, region.c.first), at.patch(dy, 0, 0, 4, region.o.first)};
}

// From ranges of blocks to ranges of channels.
WinogradWeight::Block WinogradWeight::channels(const Block& blocks) const {
  const auto scaled = [](const Range& r, int64_t step, int64_t end) {
    return Range{r.first * step, std::min(r.count * step, end - r.first * step)};
  };
  return {scaled(blocks.c, block_c_, g_.c), scaled(blocks.o, block_o_, g_.o)};
}
WinogradWeight::Block WinogradWeight::block(int64_t index) const {
  return channels({{index / blocks_o_, 1}, {index % blocks_o_, 1}});
}
// In blocks.
WinogradWeight::Block WinogradWeight::region(int64_t index) const {
  const auto share = [](int64_t all, int64_t i, int64_t n) {
    return Range{all * i / n, all * (i + 1) / n - all * i / n};
  };
  return {share(blocks_c_, index / splits_o_, splits_c_), share(blocks_o_, index % splits_o_, splits_o_)};
}

void WinogradWeight::run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const {
  if (tiles_ == 0) {
    std::memset(dw, 0, static_cast<size_t>(g_.o * g_.c * g_.taps()) * 4);
    return;
  }
  const int64_t regions = splits_c_ * splits_o_, tasks = parts_ * regions, blocks = blocks_c_ * blocks_o_;
  const int64_t sums = blocks * kPoints * u_step_;  // of a part
  float* all = reinterpret_cast<float*>(workspace + static_cast<size_t>(slots_) * slot_bytes());
  parallel_tasks(tasks, slots_, 2 * kPoints * tiles_ * g_.c * g_.o / tasks, [&](int64_t slot, int64_t task) {
    Scratch scratch;
    scratch.v = reinterpret_cast<float*>(workspace + static_cast<size_t>(slot) * slot_bytes());
    scratch.w = scratch.v + kPoints * v_step_;
    scratch.sums = parts_ == 1 ? scratch.w + kPoints * w_step_ : all + task / regions * sums;
    run_task(task / regions, region(task % regions), x, dy, dw, scratch);
  });
  if (parts_ == 1) return;
  const int64_t runs = ceil_div(block_c_, kRows);
  parallel_for(blocks * runs, 1, kPoints * parts_ * kRows * block_o_, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Block b = block(i / runs);
      const int64_t row = i % runs * kRows, rows = std::min(kRows, b.c.count - row);
      float* u = all + i / runs * kPoints * u_step_;
      if (rows <= 0) continue;
      add_parts(b, row, rows, u);
      finish(b, row, rows, u, dw);
    }
  });
}

// The sums of a part go to the block's place among all; the only part's are finished at once.
void WinogradWeight::run_task(int64_t part, const Block& region, const Tensor& x, const Tensor& dy, float* dw,
                              const Scratch& scratch) const {
  const Range tiles = tiles_of(part);
  const Block wanted = channels(region);
  const int64_t blocks = region.c.count * region.o.count, end = tiles.first + tiles.count;
  const auto index = [&](int64_t i) {
    return (region.c.first + i / region.o.count) * blocks_o_ + region.o.first + i % region.o.count;
  };
  for (int64_t first = 0; first < blocks; first += group_) {
    const int64_t last = std::min(first + group_, blocks);
    const auto sums = [&](int64_t i) {
      return scratch.sums + (parts_ == 1 ? i - first : index(i)) * kPoints * u_step_;
    };
    for (int64_t tile = tiles.first; tile < end; tile += chunk_) {
      const Range chunk{tile, std::min(chunk_, end - tile)};
      if (first == 0 || chunk_ < tiles.count) transform(chunk, wanted, x, dy, scratch.v, scratch.w);
      for (int64_t p = 0; p < kPoints; ++p)
        for (int64_t i = first; i < last; ++i) {
          const Block b = block(index(i));
          multiply(chunk.count, b, scratch.v + p * v_step_ + b.c.first - wanted.c.first,
                   scratch.w + p * w_step_ + b.o.first - wanted.o.first, sums(i) + p * u_step_, tile > tiles.first);
        }
    }
    for (int64_t i = first; parts_ == 1 && i < last; ++i) {
      const Block b = block(index(i));
      for (int64_t row = 0; row < b.c.count; row += kRows)
        finish(b, row, std::min(kRows, b.c.count - row), sums(i), dw);
    }
  }
}

// V = B^T d B, W = G y G^T, of a region's channels
void WinogradWeight::transform(const Range& chunk, const Block& region, const Tensor& x, const Tensor& dy, float* v,
                               float* w) const {
  Patches next = patches(chunk.first, region, x, dy);
  for (int64_t i = 0; i < chunk.count; ++i, v += v_pitch_, w += w_pitch_) {
    const Patches p = next;
    if (chunk.first + i + 1 < tiles_) {
      next = patches(chunk.first + i + 1, region, x, dy);
      prefetch(next.x, 2, region.c.count);  // the rows and columns before these it shares with others
      prefetch(next.dy, 0, region.o.count);
    }
    table().winograd.f4.input(p.x, region.c.count, v, v_step_);
    table().winograd_weight.gradient6(p.dy, region.o.count, w, w_step_);
  }
}

// U[c][o] (+)= sum over tiles of V[tile][c] W[tile][o], of a block at a point
void WinogradWeight::multiply(int64_t tiles, const Block& b, const float* v, const float* w, float* u,
                              bool accumulate) const {
  constexpr int64_t kStart = 0;
  for (int64_t o = 0; o < b.o.count; o += tile_.nr)
    for (int64_t c = 0; c < b.c.count; c += mr_)
      tile_.outer(static_cast<int>(std::min(mr_, b.c.count - c)),
                  static_cast<int>(std::min<int64_t>(tile_.nr, b.o.count - o)),
                  {.a = v + c, .b = w + o, .a_off = &kStart, .b_off = &kStart, .segments = 1, .length = tiles,
                   .a_step = v_pitch_, .b_step = w_pitch_, .c = u + c * block_o_ + o, .c_pitch = block_o_,
                   .accumulate = accumulate});
}

// Rows of the first part's sums of a block += those of the others, in order.
void WinogradWeight::add_parts(const Block& b, int64_t row, int64_t rows, float* u) const {
  const int64_t part = blocks_c_ * blocks_o_ * kPoints * u_step_;
  for (int64_t p = 0; p < kPoints; ++p) {
    float* sum = u + p * u_step_ + row * block_o_;
    for (int64_t i = 1; i < parts_; ++i)
      table().arithmetic.of(Binary::add)(rows, b.o.count, {sum, block_o_}, {sum + i * part, block_o_}, {sum, block_o_});
  }
}

// dw[o][c] = A^T U A, of rows of a block
void WinogradWeight::finish(const Block& b, int64_t row, int64_t rows, const float* u, float* dw) const {
  table().winograd_weight.weights3(rows, b.o.count, u + row * block_o_, u_step_, block_o_,
                                   dw + (b.o.first * g_.c + b.c.first + row) * g_.taps(), g_.c * g_.taps());
}

}  // namespace convcore
