// SPDX-License-Identifier: BSD-3-Clause
#include "ops/direct.h"

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

constexpr int64_t kLine = 16;              // floats of a cache line
constexpr int64_t kPackedRows = 8;         // rows of the weights that are walked at a time: few pages
constexpr int64_t kRowsAhead = 64;         // floats of each row of weights that are asked for ahead
constexpr int64_t kFewPixels = 8;          // a layer of so many waits for its weights: time to add up well
constexpr int64_t kMomentChannels = 64;    // gathered together, so that sums do not wait for each other

}  // namespace

size_t DirectConvolution::packed_bytes() const { return s_.groups * panels_ * panel_floats_ * 4; }
size_t DirectConvolution::workspace_bytes() const {
  return slots_ * slot_bytes_;
}
size_t DirectConvolution::once_bytes() const {
  if (once_channels_ == 0) return ConvMap::once_bytes();
  return once_slots_ * (once_packed_bytes() + parts_.size() * slot_bytes_);
}

DirectConvolution::Scratch DirectConvolution::scratch(std::byte* slot) const {
  std::byte* pixels = slot + block_bytes_ + offsets_bytes_;
  return {reinterpret_cast<float*>(slot), reinterpret_cast<int64_t*>(slot + block_bytes_),
          reinterpret_cast<const float**>(pixels), reinterpret_cast<float**>(pixels + pixels_bytes_),
          reinterpret_cast<const float**>(pixels + 2 * pixels_bytes_)};
}

// packed: [group][panel][part][tap][input channel][NR], zero beyond the last channel.
void DirectConvolution::pack(const float* weight, std::byte* packed) const {
  parallel_for(s_.groups * panels_, 1, panel_floats_ * 4, [&](int64_t begin, int64_t end) {
    pack_slice(whole(), begin, end, weight, reinterpret_cast<float*>(packed) + begin * panel_floats_, past_caches_);
    table().pack.fence();
  });
}

void DirectConvolution::pack_slice(const Slice& slice, int64_t begin, int64_t end, const float* weight, float* packed,
                                   bool past_caches) const {
  const PackKernels& kernels = table().pack;
  const int64_t end_channel = slice.channel + slice.channels;
  const int64_t block = s_.w_in < s_.w_out ? s_.in_c : kPackedRows;  // input channels of all panels, then the next
  for (int64_t c = slice.channel; c < end_channel; c += block)
    for (int64_t p = begin; p < end; ++p) {
      const int64_t nr = tiles_.of(p % panels_, panels_).nr, first = p % panels_ * tiles_.main.nr;
      const int64_t columns = std::min<int64_t>(nr, s_.out_c - first);
      const float* source = weight + p / panels_ * s_.w_group + first * s_.w_out + c * s_.w_in;
      float* panel = packed + (p - begin) * slice.panel_floats + (c - slice.channel) * nr;
      const int64_t channels = std::min(block, end_channel - c), place = slice.place->front();
      TransposeArgs args{source, s_.w_out, columns, 1, s_.taps, panel, slice.place->data(), nr, nr,
                         past_caches && nr % kLine == 0};
      if (s_.w_in < s_.w_out) {  // an output channel's weights lie together
        args.channels = channels;
        args.ahead = kRowsAhead;
        kernels.transpose(args);
      } else if (s_.taps == 1) {
        if (place >= 0) kernels.copy_rows(source, s_.w_in, channels, columns, panel + place * nr, nr);
      } else {
        // The same rows of the next panel, or the next rows of the first.
        args.ahead = p + 1 < end ? columns * s_.w_out : block * s_.w_in - (p - begin) * nr * s_.w_out;
        for (int64_t i = 0; i < channels; ++i, args.src += s_.w_in, args.dst += nr) kernels.transpose(args);
      }
    }
}

void DirectConvolution::run_prepared(const Prologue& prologue, const Tensor& in, const std::byte* packed,
                                     const Epilogue& epilogue, const Tensor& out, std::byte* workspace) const {
  if (tasks_ == 0) return;
  parallel_tasks(tasks_, slots_, 2 * s_.products() / tasks_, [&](int64_t slot, int64_t number) {
    const Scratch own = scratch(workspace + slot * slot_bytes_);
    const Task t = task(number);
    prepare(t, prologue, in, epilogue, out, own);
    const int64_t first = (t.group * panels_ + t.panel) * panel_floats_;
    multiply(t, whole(), in, reinterpret_cast<const float*>(packed) + first, epilogue, out, own);
  });
}

// The weights are read once, a slice of input channels of a few panels at a time, which is packed into L2 and used
// there. The output, of few pixels, is visited for each slice.
void DirectConvolution::run_once(const Tensor& in, const float* weight, const Epilogue& epilogue, const Tensor& out,
                                 std::byte* workspace) const {
  if (once_channels_ == 0) return ConvMap::run_once(in, weight, epilogue, out, workspace);
  const int64_t all = s_.groups * panels_, parts = static_cast<int64_t>(parts_.size());
  const size_t packed_bytes = once_packed_bytes();
  parallel_for(once_slots_, 1, 2 * s_.products() / once_slots_, [&](int64_t begin, int64_t end) {
    for (int64_t slot = begin; slot < end; ++slot) {
      std::byte* own = workspace + slot * (packed_bytes + parts * slot_bytes_);
      float* packed = reinterpret_cast<float*>(own);
      const auto part_scratch = [&](int64_t part) { return scratch(own + packed_bytes + part * slot_bytes_); };
      const int64_t last = all * (slot + 1) / once_slots_;
      const auto count = [&](int64_t p) { return std::min({once_panels_, last - p, panels_ - p % panels_}); };
      for (int64_t p = all * slot / once_slots_; p < last; p += count(p)) {
        const auto part_task = [&](int64_t part) {
          return Task{.part = part, .n = 0, .images = 1, .row = 0, .rows = s_.parts[part].rows, .col = 0,
                      .cols = s_.parts[part].cols, .group = p / panels_, .panel = p % panels_, .panels = count(p)};
        };
        for (int64_t i = 0; i < parts; ++i) prepare(part_task(i), {}, in, epilogue, out, part_scratch(i));
        Slice slice{0, once_channels_, panel_floats_ / s_.in_c * once_channels_, &once_place_};
        for (; slice.channel < s_.in_c; slice.channel += slice.channels) {
          pack_slice(slice, p, p + count(p), weight, packed, false);
          for (int64_t i = 0; i < parts; ++i) multiply(part_task(i), slice, in, packed, epilogue, out, part_scratch(i));
        }
      }
    }
  });
}

// The input rows of a block, with zeros where taps leave the image.
void DirectConvolution::copy_block(const Task& task, const Prologue& prologue, const Tensor& in, float* block) const {
  const Part& p = parts_[task.part];
  const int64_t c = s_.in_c, first = task.col * s_.in_step_w + p.dw0, x0 = std::max<int64_t>(first, 0);
  const int64_t left = std::clamp<int64_t>(-first, 0, p.halo_w);
  const int64_t middle = std::clamp<int64_t>(s_.in_w - x0, 0, p.halo_w - left), right = p.halo_w - left - middle;
  const auto normalize = table().norm.with[static_cast<int>(prologue.activation)].normalize;
  const int64_t channel0 = task.group * c;
  for (int64_t n = task.n; n < task.n + task.images; ++n)
    for (int64_t r = 0; r < halo_rows(p, task.rows); ++r) {
      const int64_t row = task.row * s_.in_step_h + p.dh0 + r;
      if (row < 0 || row >= s_.in_h || middle == 0) {
        std::memset(block, 0, p.halo_w * c * 4);
        block += p.halo_w * c;
        continue;
      }
      const float* source = in.f32() + ((n * s_.in_h + row) * s_.in_w + x0) * in.pitch + channel0;
      std::memset(block, 0, left * c * 4);
      block += left * c;
      if (const NormCoefficients& k = prologue.k; k.scale) {
        const float* scale = k.scale + n * prologue.image_pitch + channel0;
        normalize(middle, c, {source, in.pitch}, {k.mean + channel0, scale, k.shift + channel0}, {}, {block, c}, false);
      } else if (in.pitch == c) {
        std::memcpy(block, source, middle * c * 4);
      } else {
        for (int64_t x = 0; x < middle; ++x) std::memcpy(block + x * c, source + x * in.pitch, c * 4);
      }
      block += middle * c;
      std::memset(block, 0, right * c * 4);
      block += right * c;
    }
}

// Where a block's input is: in place, or copied into a halo. Pitch, and pixels of a row and of an image.
struct DirectConvolution::Source {
  int64_t pitch, row_pixels, image_pixels;
};

DirectConvolution::Source DirectConvolution::source(const Part& p, int64_t rows, const Tensor& in) const {
  if (p.padded) return {s_.in_c, p.halo_w, halo_rows(p, rows) * p.halo_w};
  return {in.pitch, s_.in_w, s_.in_h * s_.in_w};
}

void DirectConvolution::prepare(const Task& task, const Prologue& prologue, const Tensor& in,
                                const Epilogue& epilogue, const Tensor& out, const Scratch& scratch) const {
  const Part& p = parts_[task.part];
  const SubConvolution& sub = s_.parts[task.part];
  const Source from = source(p, task.rows, in);
  const float* first = scratch.block;
  if (p.padded) {
    copy_block(task, prologue, in, scratch.block);
  } else {
    const int64_t row = task.n * s_.in_h + task.row * s_.in_step_h, pixel = row * s_.in_w + task.col * s_.in_step_w;
    first = in.f32() + pixel * from.pitch + task.group * s_.in_c;
  }
  const int64_t channel0 = task.group * s_.out_c + task.panel * tiles_.main.nr;
  int64_t pixels = 0;
  for (int64_t n = 0; n < task.images; ++n)
    for (int64_t r = 0; r < task.rows; ++r) {
      const float* x = first + (n * from.image_pixels + r * s_.in_step_h * from.row_pixels) * from.pitch;
      const int64_t out_row = (task.n + n) * s_.out_h + sub.row0 + (task.row + r) * s_.out_step_h;
      const int64_t out_pixel = out_row * s_.out_w + sub.col0 + task.col * s_.out_step_w;
      float* y = out.f32() + out_pixel * out.pitch + channel0;
      const float* residual = epilogue.residual_at(out_pixel);
      for (int64_t i = 0; i < task.cols; ++i, ++pixels) {
        scratch.x[pixels] = x + i * s_.in_step_w * from.pitch;
        scratch.y[pixels] = y + i * s_.out_step_w * out.pitch;
        if (residual) scratch.residual[pixels] = residual + channel0 + i * s_.out_step_w * epilogue.residual_pitch;
      }
    }
}

void DirectConvolution::multiply(const Task& task, const Slice& slice, const Tensor& in, const float* panels,
                                 const Epilogue& epilogue, const Tensor& out, const Scratch& scratch) const {
  const Part& p = parts_[task.part];
  const SubConvolution& sub = s_.parts[task.part];
  // A part without taps has one slice: zeros.
  const bool first_slice = slice.channel == 0;
  const bool last_slice = slice.channel + slice.channels == s_.in_c || sub.taps.empty();
  if (!first_slice && sub.taps.empty()) return;
  const Source from = source(p, task.rows, in);
  const bool merge = p.mergeable && from.pitch == slice.channels;
  const int64_t step = merge ? std::max<int64_t>(sub.taps_per_row, 1) : 1;
  const int64_t segments = static_cast<int64_t>(sub.taps.size()) / step, length = step * slice.channels;
  for (int64_t i = 0; i < segments; ++i) {
    const SubConvolution::Tap& tap = sub.taps[i * step];
    const int64_t dh = p.padded ? tap.dh - p.dh0 : tap.dh, dw = p.padded ? tap.dw - p.dw0 : tap.dw;
    scratch.offsets[i] = (dh * from.row_pixels + dw) * from.pitch + slice.channel;
  }

  const int64_t columns = tiles_.main.nr, channel0 = task.group * s_.out_c + task.panel * columns;
  const int64_t pixels = task.images * task.rows * task.cols;
  const bool by_rows = p.row_tiles > 0 && first_slice && last_slice;
  // By the shape alone, not by the pixels of this task: chunks decide how sums are rounded.
  const bool streams = (past_caches_ || s_.cold) && segments > 0 && slice.channels == s_.in_c;
  const int64_t chunk_floats = cpu_info().l2 / 4 / 4;
  const int64_t chunk =
      std::max<int64_t>(streams ? std::min(chunk_floats / (length * columns), segments) : segments, 1);
  const int64_t run_segments = std::max<int64_t>(p.run / step, 1);
  int64_t counted = channel0, stored = channel0;  // channels whose moments are gathered, that are in memory
  TileStore store;
  if (last_slice) store = {epilogue.bias ? epilogue.bias + channel0 : nullptr, nullptr, epilogue.lower, epilogue.upper};
  RunArgs run{.x = nullptr, .x_step = s_.in_step_w * from.pitch, .offsets = scratch.offsets, .segments = segments,
              .length = length, .w = nullptr, .y = nullptr, .y_step = s_.out_step_w * out.pitch, .columns = 0,
              .bias = nullptr, .add = nullptr, .add_step = s_.out_step_w * epilogue.residual_pitch,
              .lower = epilogue.lower, .upper = epilogue.upper};
  const auto advance = [&](int64_t floats) {
    for (int64_t i = 0; i < pixels; ++i) scratch.y[i] += floats;
    if (epilogue.residual)
      for (int64_t i = 0; i < pixels; ++i) scratch.residual[i] += floats;
  };
  for (int64_t q = 0; q < task.panels; ++q) {
    if (q > 0) advance(columns);
    const TileShape& tile = tiles_.of(task.panel + q, panels_);
    const int64_t tiles = by_rows ? 0 : ceil_div(pixels, tile.mr);
    const auto weights = [&](int64_t segment) {
      const int64_t row = sub.taps.empty() ? 0 : (*slice.place)[sub.taps[segment * step].weight];
      return panels + q * slice.panel_floats + row * tile.nr;
    };
    const int64_t width = std::min(columns, s_.out_c - (task.panel + q) * columns);
    if (by_rows) {
      run.columns = static_cast<int>(width), run.w = weights(0), run.bias = store.bias;
      for (int64_t row = 0; row < pixels; row += task.cols)
        for (int64_t t = 0; t < p.row_tiles; ++t) {
          const int64_t first = row + task.cols * t / p.row_tiles, last = row + task.cols * (t + 1) / p.row_tiles;
          run.x = scratch.x[first], run.y = scratch.y[first];
          if (epilogue.residual) run.add = scratch.residual[first];
          table().run.tile(static_cast<int>(last - first), run);
        }
    }
    // Weights that come from afar are taken a chunk at a time by all tiles, which fetch the next chunk meanwhile:
    // behind the last one a Program has packed those of its next layer. The sums wait in the output. So they do where
    // the part leaves out some of a row of taps.
    for (int64_t s = 0, count = 0; s == 0 || s < segments; s += std::max<int64_t>(count, 1)) {
      count = std::min({chunk, segments - s, run_segments - s % run_segments});
      const bool first_chunk = first_slice && s == 0, last_chunk = s + count == segments;
      const float* part = weights(s);
      TileStore own = last_chunk ? store : TileStore{};
      own.in_runs = s_.n * s_.out_h * s_.out_w <= kFewPixels;
      if (streams && tiles > 1 && tiles <= tile.nr) {
        own.ahead = last_chunk ? weights(0) + slice.panel_floats : part + count * length * tile.nr;
        own.ahead_lines = static_cast<int>(ceil_div(tile.nr, tiles));
      }
      const float* ahead = own.ahead;
      for (int64_t t = 0; t < tiles; ++t) {  // rows are shared out evenly: no thin last tile
        const int64_t first = pixels * t / tiles, last = pixels * (t + 1) / tiles;
        if (!first_chunk)
          own.add = scratch.y + first;
        else if (epilogue.residual)
          own.add = scratch.residual + first;
        if (ahead) own.ahead = ahead + count * length * tile.nr / tiles * t;
        tile.gather(static_cast<int>(last - first), static_cast<int>(width), scratch.x + first, scratch.offsets + s,
                    count, length, part, scratch.y + first, own,
                    static_cast<int>(std::min(last - first, pixels - last)));
      }
    }
    if (epilogue.finish && last_slice) {
      for (int64_t row = 0; row < pixels; row += task.cols)
        epilogue.finish(scratch.y[row], s_.out_step_w * out.pitch, task.cols, width);
    }
    stored += width;
    if (store.bias) store.bias += columns;
    if (epilogue.statistics && last_slice && (stored - counted >= kMomentChannels || q + 1 == task.panels)) {
      gather_moments(task, out, counted, stored - counted, epilogue.statistics);
      counted = stored;
    }
  }
  if (task.panels > 1) advance(-(task.panels - 1) * columns);  // as prepare() left them
}

// While the block is in L2. Each channel's sums run over the pixels of a part in order, whatever shares its block.
void DirectConvolution::gather_moments(const Task& task, const Tensor& out, int64_t channel, int64_t channels,
                                       float* statistics) const {
  const int64_t all = s_.groups * s_.out_c, block_rows = parts_[0].block_rows;
  for (int64_t n = task.n; n < task.n + task.images; ++n)
    for (int64_t row = task.row; row < task.row + task.rows; row += block_rows) {
      const int64_t part = n * ceil_div(s_.out_h, block_rows) + row / block_rows;
      const int64_t rows = std::min(block_rows, task.row + task.rows - row);
      const float* y = out.f32() + (n * s_.out_h + row) * s_.out_w * out.pitch + channel;
      float* mean = statistics + 2 * part * all + channel;
      table().norm.moments({rows * s_.out_w, channels, out.pitch, 0}, y, mean, mean + all);
    }
}

}  // namespace convcore
