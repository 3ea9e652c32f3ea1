// SPDX-License-Identifier: BSD-3-Clause
// How a direct convolution is cut: parts, blocks, tasks.
#include <algorithm>
#include <limits>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/direct.h"
#include "ops/tiles.h"

namespace convcore {
namespace {

constexpr int64_t kMaxBlockPixels = 1024;  // pointer tables of a block stay small
constexpr int64_t kMinBlockColumns = 64;   // shorter parts of a row would mostly be halo
constexpr int64_t kMaxTaps = 1 << 16;      // lists of taps stay smaller than weights
constexpr int64_t kTasksPerSlot = 4;       // enough to even out threads that are slowed by others
constexpr int64_t kManyTasks = 4;          // enough to share among threads
constexpr int64_t kPreparedFloats = 8192;  // of a block that is prepared for one tap: it stays in L1
constexpr int64_t kLeastPixels = 96;       // of a block that is cut for the threads: it reads all weights
constexpr int64_t kOnceRun = 1024;         // floats of the weights that are read in a run where they are used once
constexpr int64_t kOnceProducts = 64;      // of a sum between two visits to the output, where weights are used once
constexpr int64_t kLeastMoments = 16;      // pixels: moments of fewer cost as much as the pixels
constexpr int64_t kLeastRun = 8;           // pixels: fewer accumulators wait for each other

}  // namespace

bool DirectConvolution::accepts(const Conv2dGeometry& g, Pass pass) {
  const int64_t parts = std::min(g.stride_h, g.h) * std::min(g.stride_w, g.w);
  if (g.taps() > kMaxTaps || (pass == Pass::backward_input && parts > std::max<int64_t>(64, 4 * g.taps())))
    return false;
  if (pass == Pass::backward_weight || halo_is_moderate(g)) return halo_is_moderate(g);
  const DirectShape s = without_zeros(pass == Pass::forward ? direct_forward(g) : direct_backward_input(g));
  return std::none_of(s.parts.begin(), s.parts.end(), [&](const SubConvolution& sub) { return s.leaves_input(sub); });
}

double DirectConvolution::cycles(const DirectShape& shape) {
  constexpr double kTile = 90;  // besides the products: to begin a tile, and to store it
  const DirectShape s = without_zeros(shape);
  double all = 0;
  for (const SubConvolution& sub : s.parts) {
    const double products = static_cast<double>(s.in_c) * static_cast<double>(sub.taps.size());
    const TilePair tiles = choose_tiles(s.out_c, s.in_c * static_cast<int64_t>(sub.taps.size()));
    const double panels = static_cast<double>(ceil_div(s.out_c, tiles.main.nr));
    all += static_cast<double>(s.n * s.groups * sub.rows * sub.cols) *
           (products * tiles.cost / table().tile.lanes / 2 + panels * kTile / tiles.main.mr);
  }
  return all;
}

DirectConvolution::DirectConvolution(const DirectShape& shape) : s_(without_zeros(shape)), slots_(num_threads()) {
  int64_t most_taps = 0, block_floats = 0, block_pixels = 0;
  for (const SubConvolution& sub : s_.parts) most_taps = std::max<int64_t>(most_taps, sub.taps.size());
  tiles_ = choose_tiles(s_.out_c, s_.in_c * most_taps);
  panels_ = ceil_div(s_.out_c, tiles_.main.nr);
  const int64_t rows = place_taps(shape);
  for (const SubConvolution& sub : s_.parts) {
    const Part part = plan_part(sub);
    if (part.padded) {
      const int64_t halo = halo_rows(part, part.whole ? sub.rows : part.block_rows) * part.halo_w;
      block_floats = std::max(block_floats, part.block_images * halo * s_.in_c);
    }
    const int64_t pixels = fits_once(part, sub) ? sub.rows * sub.cols : part.block_rows * part.block_cols;
    block_pixels = std::max(block_pixels, part.block_images * pixels);
    parts_.push_back(part);
  }
  panel_floats_ = rows * tiles_.main.nr;
  past_caches_ = packed_bytes() >= static_cast<size_t>(cpu_info().l3 / 16);
  block_bytes_ = align_up(block_floats * 4);
  offsets_bytes_ = align_up(most_taps * sizeof(int64_t));
  pixels_bytes_ = align_up(block_pixels * sizeof(float*));
  slot_bytes_ = block_bytes_ + offsets_bytes_ + 3 * pixels_bytes_;
  // What prepares its block shares it with no other.
  const int64_t wanted = slots_ == 1 ? 1 : s_.prepared ? slots_ : slots_ * kTasksPerSlot;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const int64_t blocks = blocks_of(parts_[i], s_.parts[i]);
    parts_[i].splits = std::min(panels_, ceil_div(wanted, std::max<int64_t>(blocks, 1)));
    parts_[i].last_task = tasks_ += blocks * parts_[i].splits;
  }
  once_slots_ = std::min(s_.groups * panels_, slots_);
  plan_once();
  slots_ = std::clamp<int64_t>(tasks_, 1, slots_);
}

// Taps in the order of the sub-convolutions, those that read only zeros left out. Returns the rows of a panel.
int64_t DirectConvolution::place_taps(const DirectShape& uncut) {
  std::vector<bool> used(s_.taps, false);
  for (const SubConvolution& sub : s_.parts)
    for (const SubConvolution::Tap& tap : sub.taps) used[tap.weight] = true;
  int64_t rows = 0;
  place_.assign(s_.taps, -1);
  for (const SubConvolution& sub : uncut.parts)
    for (const SubConvolution::Tap& tap : sub.taps)
      if (used[tap.weight]) place_[tap.weight] = rows, rows += s_.in_c;
  return rows;
}

// The part's only image is one block; or would be, if a block had to hold but a slice of its input, and there are
// panels enough to share instead of blocks.
bool DirectConvolution::fits_once(const Part& part, const SubConvolution& sub) const {
  if (s_.n != 1 || part.block_cols < sub.cols) return false;
  return part.whole || (!part.padded && sub.rows * sub.cols <= kMaxBlockPixels && s_.groups * panels_ >= kManyTasks);
}

// Slices of the weights are packed into L2 if all parts fit, and the output, visited for each slice, is less than the
// packed weights would be. By the shape alone: slices decide how sums are rounded.
void DirectConvolution::plan_once() {
  if (panel_floats_ == 0) return;
  int64_t pixels = 0;
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (!fits_once(parts_[i], s_.parts[i])) return;
    if (!s_.parts[i].taps.empty()) pixels += s_.parts[i].rows * s_.parts[i].cols;
  }
  const int64_t channel_floats = panel_floats_ / s_.in_c;  // of a panel, of one input channel
  once_panels_ = std::min(panels_, ceil_div(kOnceRun, tiles_.main.nr * s_.taps));
  int64_t channels = std::min({s_.in_c, cpu_info().l2 / 4 / 4 / (once_panels_ * channel_floats),
                               cpu_info().l2 / 3 / 4 / std::max<int64_t>(pixels, 1)});
  while (channels > 0 && s_.in_c % channels) --channels;
  if (channels == 0) return;
  const int64_t slices = s_.in_c / channels, visits = (slices - 1) * pixels * s_.out_c;
  if (slices > 1 && (channels * s_.taps < kOnceProducts || visits > panels_ * panel_floats_)) return;
  once_channels_ = channels;
  for (const int64_t place : place_) once_place_.push_back(place < 0 ? -1 : place / s_.in_c * channels);
}

DirectConvolution::Part DirectConvolution::plan_part(const SubConvolution& sub) const {
  int64_t dh0 = 0, dh1 = 0, dw0 = 0, dw1 = 0;
  if (!sub.taps.empty()) {
    dh0 = sub.taps.front().dh, dw0 = sub.taps.front().dw;
    dh1 = sub.taps.back().dh, dw1 = sub.taps.back().dw;
  }
  Part p{};
  p.dh0 = dh0, p.dw0 = dw0;
  p.padded = (s_.prepared && !sub.taps.empty()) || s_.leaves_input(sub);
  p.run = static_cast<int64_t>(sub.taps.size());
  for (size_t i = 1; i < sub.taps.size(); ++i)
    if (place_[sub.taps[i].weight] != place_[sub.taps[i - 1].weight] + s_.in_c) p.run = sub.taps_per_row;
  p.mergeable = dw1 - dw0 + 1 == sub.taps_per_row;
  p.reach_h = dh1 - dh0 + 1;
  const auto halo_cols = [&](int64_t cols) { return (cols - 1) * s_.in_step_w + dw1 - dw0 + 1; };
  const int64_t budget = s_.prepared && s_.taps == 1 ? kPreparedFloats : cpu_info().l2 / 3 / 4;  // floats
  const auto fits = [&](int64_t images, int64_t rows, int64_t cols) {
    return images * rows * cols <= kMaxBlockPixels && images * halo_rows(p, rows) * halo_cols(cols) * s_.in_c <= budget;
  };
  p.block_images = p.block_rows = 1;
  p.block_cols = std::clamp<int64_t>(sub.cols, 1, kMaxBlockPixels);
  while (p.block_cols > kMinBlockColumns && !fits(1, 1, p.block_cols)) p.block_cols = ceil_div(p.block_cols, 2);
  if (p.block_cols == sub.cols) {
    const int64_t row_floats = halo_cols(sub.cols) * s_.in_c * s_.in_step_h;
    const int64_t most_rows = std::min(budget / row_floats + 1, kMaxBlockPixels / sub.cols);
    p.block_rows = std::clamp<int64_t>(sub.rows, 1, std::max<int64_t>(most_rows, 1));
    while (p.block_rows > 1 && !fits(1, p.block_rows, sub.cols)) --p.block_rows;
  }
  p.whole = p.block_rows == sub.rows && p.block_cols == sub.cols;
  // Where images, groups, parts and panels are few, rows are shared out; in even shares. By the shape alone: see
  // statistic_parts().
  const int64_t parts = static_cast<int64_t>(s_.parts.size()) * ceil_div(sub.cols, p.block_cols);
  const int64_t others = std::max<int64_t>(s_.n * s_.groups * panels_ * parts, 1);
  const int64_t least = ceil_div(kLeastPixels, std::max<int64_t>(p.block_cols, 1));
  const int64_t share = std::max({ceil_div(sub.rows, ceil_div(kManyTasks, others)), least, int64_t{1}});
  const int64_t row_blocks = ceil_div(sub.rows, std::min(p.block_rows, share));
  p.block_rows = std::max<int64_t>(ceil_div(sub.rows, std::max<int64_t>(row_blocks, 1)), 1);
  if (p.block_rows == sub.rows && p.block_cols == sub.cols) {
    // Small maps: several images make whole tiles, but every thread should still get its share.
    const int64_t most = std::max<int64_t>(1, s_.n / (slots_ * kTasksPerSlot));
    while (p.block_images < most && p.block_images * sub.rows * sub.cols < 256 &&
           fits(p.block_images + 1, sub.rows, sub.cols))
      ++p.block_images;
  }
  p.halo_w = halo_cols(p.block_cols);
  const int64_t row_tiles = ceil_div(p.block_cols, table().run.max_rows);
  const bool narrow = tiles_.main.nr == table().tile.lanes && p.run == static_cast<int64_t>(sub.taps.size());
  if (narrow && p.block_cols / row_tiles >= kLeastRun) p.row_tiles = row_tiles;
  return p;
}

int64_t DirectConvolution::blocks_of(const Part& p, const SubConvolution& sub) const {
  return ceil_div(s_.n, p.block_images) * ceil_div(sub.rows, p.block_rows) * ceil_div(sub.cols, p.block_cols) *
         s_.groups;
}

DirectConvolution::Task DirectConvolution::task(int64_t number) const {
  const auto found = std::upper_bound(parts_.begin(), parts_.end(), number,
                                      [](int64_t task, const Part& p) { return task < p.last_task; });
  const Part& p = *found;
  Task t{};
  t.part = found - parts_.begin();
  const SubConvolution& sub = s_.parts[t.part];
  if (t.part > 0) number -= parts_[t.part - 1].last_task;
  // number = (((image block * row blocks + row block) * column blocks + column block) * groups + group) * splits +
  // split
  const auto digit = [&](int64_t base) {
    const int64_t value = number % base;
    number /= base;
    return value;
  };
  const int64_t split = digit(p.splits);
  t.panel = panels_ * split / p.splits;
  t.panels = panels_ * (split + 1) / p.splits - t.panel;
  t.group = digit(s_.groups);
  t.col = digit(ceil_div(sub.cols, p.block_cols)) * p.block_cols;
  t.cols = std::min(p.block_cols, sub.cols - t.col);
  t.row = digit(ceil_div(sub.rows, p.block_rows)) * p.block_rows;
  t.rows = std::min(p.block_rows, sub.rows - t.row);
  t.n = number * p.block_images;
  t.images = std::min(p.block_images, s_.n - t.n);
  return t;
}

int64_t DirectConvolution::statistic_parts() const {
  const SubConvolution& sub = s_.parts[0];
  if (s_.parts.size() > 1 || parts_[0].block_cols < sub.cols || sub.rows * sub.cols < kLeastMoments) return 0;
  return s_.n * ceil_div(sub.rows, parts_[0].block_rows);
}

int64_t DirectConvolution::statistic_pixels(int64_t part) const {
  const int64_t row = part % ceil_div(s_.out_h, parts_[0].block_rows) * parts_[0].block_rows;
  return std::min(parts_[0].block_rows, s_.out_h - row) * s_.out_w;
}

}  // namespace convcore
