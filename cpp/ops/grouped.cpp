// SPDX-License-Identifier: BSD-3-Clause
#include "ops/grouped.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/tiles.h"

namespace convcore {
namespace {

constexpr int64_t kTileStart = 5;              // pixels whose time a tile takes besides its own
constexpr int64_t kMaxTaps = 1024;             // lists of pixels stay small
constexpr int64_t kFewVectors = 4, kManyVectors = 64;  // of a share: a pixel is read in long runs, of lines at least
constexpr int64_t kManyTasks = 16;             // enough to share among threads
constexpr int64_t kBlockFlops = 1 << 19;       // a task's work is worth its start
constexpr int64_t kBlockPixels = 128;          // statistics are much smaller than what they are of
constexpr int64_t kBlockRows = 4;              // in heights of the kernel less one, which neighbours read twice
constexpr int64_t kRingTaps = 4;               // rows are read by so many taps that copying them pays

GroupedShape in_out(const Conv2dGeometry& g, Pass pass) {
  if (pass == Pass::backward_input) return {g.groups, g.o_per_group(), g.c_per_group()};
  return {g.groups, g.c_per_group(), g.o_per_group()};
}

DirectShape shape_of(const Conv2dGeometry& g, Pass pass) {
  DirectShape s = pass == Pass::forward ? direct_forward(g) : direct_backward_input(g);
  if (g.is_pointwise()) {  // one long row, not one long column
    std::swap(s.in_h, s.in_w), std::swap(s.out_h, s.out_w);
    std::swap(s.parts[0].rows, s.parts[0].cols);
  }
  return s;
}

}  // namespace

// All passes or none, so that a network can be held to it.
bool grouped_accepts(const Conv2dGeometry& g, Pass /*pass*/) {
  const int64_t parts = std::min(g.stride_h, g.h) * std::min(g.stride_w, g.w);
  return GroupedChannels::accepts(in_out(g, Pass::forward)) && g.taps() <= kMaxTaps &&
         parts <= std::max<int64_t>(64, 4 * g.taps());
}

// Against the dense tiles of ops/direct.h, which leave lanes empty and copy what they read, but make whole tiles of
// narrow rows, too.
bool grouped_pays(const Conv2dGeometry& g, Pass pass) {
  const GroupedShape s = in_out(g, pass);
  const int64_t most = table().grouped.pixels, row = pass == Pass::backward_input ? ceil_div(g.w, g.stride_w) : g.out_w;
  const int64_t pixels = g.is_pointwise() ? most : ceil_div(row, std::max<int64_t>(ceil_div(row, most), 1));
  const auto share = [](int64_t n) { return static_cast<double>(n) / static_cast<double>(n + kTileStart); };
  const double fill = share(pixels) / share(most);
  const bool sliding =
      g.kernel_w > g.stride_w && g.dilation_w == 1 && (g.stride_w == 1 || pass == Pass::backward_input);
  const TileShape& tile = choose_tile(s.out_c, 1);
  const double used = static_cast<double>(s.out_c) / static_cast<double>(ceil_div(s.out_c, tile.nr) * tile.nr);
  const double own = GroupedChannels::efficiency(s, sliding) * (pass == Pass::backward_weight ? 1 : fill);
  // The speed that copies leave: of inputs; of inputs and transposed weights; of both operands, into panels.
  const double copies = g.taps() == 1 ? 1 : pass == Pass::forward ? 0.9 : pass == Pass::backward_input ? 0.75 : 0.6;
  return own >= used * tile.efficiency * copies;
}

GroupedConvolution::GroupedConvolution(const Conv2dGeometry& g, Pass pass)
    : s_(shape_of(g, pass)), channels_({s_.groups, s_.in_c, s_.out_c}, false), slots_(num_threads()) {
  const int64_t vectors = static_cast<int64_t>(channels_.vectors().size());
  int64_t most_chunks = 0, blocks = 0;
  for (const SubConvolution& sub : s_.parts) {
    Part part = plan_part(sub);
    part.weights = weight_floats_;
    weight_floats_ += vectors * part.vector_floats;
    blocks += part.blocks;
    most_chunks = std::max<int64_t>(most_chunks, part.chunks.size());
    parts_.push_back(std::move(part));
  }
  splits_ = std::clamp(ceil_div(kManyTasks, std::max<int64_t>(blocks, 1)), ceil_div(vectors, kManyVectors),
                       ceil_div(vectors, kFewVectors));
  for (Part& part : parts_) part.last_task = tasks_ += part.blocks * splits_;
  slots_ = std::clamp<int64_t>(tasks_, 1, slots_);
  segments_bytes_ = align_up(most_chunks * sizeof(GroupedSegment));
  pixels_bytes_ = align_up(most_chunks * (table().grouped.pixels + kGroupedTaps - 1) * sizeof(float*));
  rows_.pixels = s_.in_w;
  int64_t height = 0;
  for (const SubConvolution& sub : s_.parts)
    if (!sub.taps.empty()) height = std::max(height, sub.taps.back().dh - sub.taps.front().dh + 1);
  rows_.pitch = channels_.most_inputs(splits_);
  if (g.taps() >= kRingTaps && height * rows_.pixels * rows_.pitch * 4 <= cpu_info().l2 / 2) rows_.rows = height;
}

GroupedConvolution::Part GroupedConvolution::plan_part(const SubConvolution& sub) const {
  Part p{};
  const int64_t lanes = table().grouped.lanes, taps = static_cast<int64_t>(sub.taps.size());
  for (int64_t t = 0; t < taps;) {
    Chunk chunk{sub.taps[t].dh, sub.taps[t].dw, t, 1, t * s_.in_c * lanes};
    const auto neighbours = [&](const SubConvolution::Tap& next) {
      return s_.in_step_w == 1 && next.dh == chunk.dh && next.dw == chunk.dw + chunk.taps;
    };
    while (chunk.taps < kGroupedTaps && t + chunk.taps < taps && neighbours(sub.taps[t + chunk.taps])) ++chunk.taps;
    t += chunk.taps;
    p.chunks.push_back(chunk);
  }
  p.vector_floats = taps * s_.in_c * lanes;
  p.row_tiles = ceil_div(sub.cols, table().grouped.pixels);
  p.tiles = s_.n * sub.rows * p.row_tiles;
  const int64_t tile_pixels = ceil_div(sub.cols, std::max<int64_t>(p.row_tiles, 1));
  const int64_t tile_flops = 2 * tile_pixels * s_.groups * s_.out_c * s_.in_c * taps;
  p.block_tiles = std::max(ceil_div(kBlockPixels, std::max<int64_t>(tile_pixels, 1)),
                           ceil_div(kBlockFlops, std::max<int64_t>(tile_flops, 1)));
  if (taps > 0) {
    const int64_t height = (sub.taps.back().dh - sub.taps.front().dh) / s_.in_step_h;
    p.block_tiles = std::max(p.block_tiles, std::min(kBlockRows * height, sub.rows) * p.row_tiles);
  }
  p.blocks = ceil_div(p.tiles, p.block_tiles);
  return p;
}

size_t GroupedConvolution::packed_bytes() const { return (weight_floats_ + s_.groups * s_.in_c) * 4; }
size_t GroupedConvolution::workspace_bytes() const {
  return slots_ * (segments_bytes_ + pixels_bytes_ + rows_.bytes());
}

// packed: [part][vector][chunk][input channel][tap][lanes], then a pixel of zeros.
void GroupedConvolution::pack(const float* weight, std::byte* packed) const {
  const int64_t vectors = static_cast<int64_t>(channels_.vectors().size());
  float* all = reinterpret_cast<float*>(packed);
  std::memset(all + weight_floats_, 0, s_.groups * s_.in_c * 4);
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Part& p = parts_[i];
    parallel_for(vectors, 1, p.vector_floats * 4, [&](int64_t begin, int64_t end) {
      for (int64_t v = begin; v < end; ++v)
        pack_vector(p, s_.parts[i].taps.data(), channels_.vectors()[v], weight, all + p.weights + v * p.vector_floats);
    });
  }
}

// A transpose, four lanes at a time. Lanes beyond `columns` repeat the last: nobody looks at their sums.
void GroupedConvolution::pack_vector(const Part& p, const SubConvolution::Tap* taps, const GroupedLanes& l,
                                     const float* weight, float* panel) const {
  const int64_t lanes = table().grouped.lanes, depth = s_.in_c, step = s_.w_in;
  const auto lane = [&](int64_t j) {
    const int64_t o = l.channel + std::min<int64_t>(j, l.columns - 1);
    return weight + o / s_.out_c * s_.w_group + o % s_.out_c * s_.w_out;
  };
  for (int64_t j = 0; j < lanes; j += 4) {
    const float *w0 = lane(j), *w1 = lane(j + 1), *w2 = lane(j + 2), *w3 = lane(j + 3);
    float* row = panel + j;
    for (const Chunk& chunk : p.chunks)
      for (int64_t k = 0; k < depth; ++k)
        for (int64_t t = chunk.first_tap; t < chunk.first_tap + chunk.taps; ++t, row += lanes) {
          const int64_t from = k * step + taps[t].weight;
          const float a = w0[from], b = w1[from], c = w2[from], d = w3[from];
          row[0] = a, row[1] = b, row[2] = c, row[3] = d;
        }
  }
}

void GroupedConvolution::run(const Tensor& in, const std::byte* packed, const Epilogue& epilogue, const Tensor& out,
                             std::byte* workspace) const {
  if (tasks_ == 0) return;
  int64_t products = 0;  // per image, group, input and output channel
  for (const SubConvolution& sub : s_.parts) products += sub.rows * sub.cols * static_cast<int64_t>(sub.taps.size());
  const int64_t cost = 2 * s_.n * s_.groups * s_.in_c * s_.out_c * products / std::max<int64_t>(tasks_, 1);
  parallel_tasks(tasks_, slots_, cost, [&](int64_t slot, int64_t task) {
    std::byte* own = workspace + slot * (segments_bytes_ + pixels_bytes_ + rows_.bytes());
    const Scratch scratch{reinterpret_cast<GroupedSegment*>(own), reinterpret_cast<const float**>(own + segments_bytes_),
                          own + segments_bytes_ + pixels_bytes_};
    run_task(task, in, reinterpret_cast<const float*>(packed), epilogue, out, scratch);
  });
}

// The output column where a tile begins, of all rows in a row.
int64_t GroupedConvolution::first_column(const Part& p, const SubConvolution& sub, int64_t tile) const {
  return tile / p.row_tiles * sub.cols + sub.cols * (tile % p.row_tiles) / p.row_tiles;
}

int64_t GroupedConvolution::statistic_parts() const {
  return s_.parts.size() == 1 && s_.out_step_h == 1 && s_.out_step_w == 1 ? parts_[0].blocks : 0;
}

int64_t GroupedConvolution::statistic_pixels(int64_t part) const {
  const Part& p = parts_[0];
  const int64_t first = part * p.block_tiles, last = std::min(first + p.block_tiles, p.tiles);
  return first_column(p, s_.parts[0], last) - first_column(p, s_.parts[0], first);
}

// The segments of a tile that meet the image, with their lists of pixels.
int64_t GroupedConvolution::list_pixels(int64_t part, int64_t n, int64_t row, int64_t col, int64_t count,
                                        const RowRing& in, const float* zeros, const Scratch& scratch) const {
  GroupedSegment* segment = scratch.segments;
  const float** list = scratch.pixels;
  for (const Chunk& chunk : parts_[part].chunks) {
    const int64_t in_row = row * s_.in_step_h + chunk.dh;
    if (in_row < 0 || in_row >= s_.in_h) continue;
    *segment++ = {list, chunk.weights, chunk.taps};
    const float* pixels = in.row(n * s_.in_h + in_row);
    const int64_t pitch = in.step();
    int64_t in_col = col * s_.in_step_w + chunk.dw;
    for (int64_t j = 0; j < count + chunk.taps - 1; ++j, in_col += s_.in_step_w)
      *list++ = in_col >= 0 && in_col < s_.in_w ? pixels + in_col * pitch : zeros;
  }
  return segment - scratch.segments;
}

void GroupedConvolution::run_task(int64_t number, const Tensor& in, const float* packed, const Epilogue& epilogue,
                                  const Tensor& out, const Scratch& scratch) const {
  const auto found = std::upper_bound(parts_.begin(), parts_.end(), number,
                                      [](int64_t task, const Part& p) { return task < p.last_task; });
  const Part& p = *found;
  const int64_t part = found - parts_.begin(), vectors = static_cast<int64_t>(channels_.vectors().size());
  const SubConvolution& sub = s_.parts[part];
  if (part > 0) number -= parts_[part - 1].last_task;
  const int64_t split = number % splits_, block = number / splits_;
  const int64_t first_vector = vectors * split / splits_, last_vector = vectors * (split + 1) / splits_;
  const int64_t first = block * p.block_tiles, last = std::min(first + p.block_tiles, p.tiles);
  GroupedTile tile{.pixels = 0, .segment = scratch.segments, .segments = 0, .y = nullptr,
                   .y_step = s_.out_step_w * out.pitch, .residual = nullptr,
                   .residual_step = s_.out_step_w * epilogue.residual_pitch, .bias = epilogue.bias,
                   .lower = epilogue.lower, .upper = epilogue.upper};
  RowRing rows = rows_;
  const GroupedChannels::Range inputs = channels_.inputs(first_vector, last_vector);
  if (!RowRing::helps(in, s_.groups * s_.in_c)) rows.rows = 0;
  rows.open(in, inputs.begin, inputs.end, scratch.rows);
  for (int64_t i = first; i < last; ++i) {
    const int64_t row = i / p.row_tiles % sub.rows, n = i / p.row_tiles / sub.rows, t = i % p.row_tiles;
    const int64_t col = sub.cols * t / p.row_tiles;
    tile.pixels = static_cast<int>(sub.cols * (t + 1) / p.row_tiles - col);
    tile.segments = list_pixels(part, n, row, col, tile.pixels, rows, packed + weight_floats_, scratch);
    const int64_t out_row = n * s_.out_h + sub.row0 + row * s_.out_step_h;
    const int64_t out_pixel = out_row * s_.out_w + sub.col0 + col * s_.out_step_w;
    tile.y = out.f32() + out_pixel * out.pitch;
    tile.residual = epilogue.residual_at(out_pixel);
    const float* w = packed + p.weights + first_vector * p.vector_floats;
    for (int64_t v = first_vector; v < last_vector; ++v, w += p.vector_floats)
      table().grouped.tile(tile, channels_.vectors()[v], w);
  }
  if (!epilogue.statistics && !epilogue.finish) return;
  const int64_t channels = s_.groups * s_.out_c, channel = channels_.vectors()[first_vector].channel;
  const GroupedLanes& end = channels_.vectors()[last_vector - 1];
  const int64_t pixels = statistic_pixels(block), columns = end.channel + end.columns - channel;
  float* y = out.f32() + first_column(p, sub, first) * out.pitch + channel;
  if (epilogue.finish) epilogue.finish(y, out.pitch, pixels, columns);
  if (!epilogue.statistics) return;
  float* mean = epilogue.statistics + 2 * block * channels + channel;
  table().norm.moments({pixels, columns, out.pitch, 0}, y, mean, mean + channels);
}

}  // namespace convcore
