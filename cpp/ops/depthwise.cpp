// SPDX-License-Identifier: BSD-3-Clause
#include "ops/depthwise.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/tiles.h"

namespace convcore {
namespace {

constexpr int64_t kBlockRows = 32;          // few enough to share out, many enough to pay for rows read by two blocks
constexpr int64_t kBlockPixels = 64;        // small images come together
constexpr int64_t kTasksPerThread = 4;      // enough to even out
constexpr int64_t kCacheBytes = 192 << 10;  // of L2, for outputs that are visited more than once
constexpr int64_t kCopied = 32;             // channels of a copy: two lines of each pixel
constexpr int64_t kLeastReads = 5;          // of an input row, for a copy to pay
constexpr int64_t kMostLanes = 16;          // packed weights are padded for the widest vectors

// One axis of the stencils. Forward has one phase. Backward-input has one for each residue of the position modulo the
// stride: positions of one residue see the same taps, and neighbours among them neighbouring outputs, so that each
// phase is a dense stencil over dy (no zeros inserted).
struct Axis {
  struct Phase {
    DepthwiseAxis axis;
    int64_t tap;  // its first in `order`
  };
  int64_t step;  // from one output of a phase to the next
  std::vector<Phase> phases;
  std::vector<int64_t> order;  // the kernel's taps as packed, phase by phase, by rising input position
};

struct Window {
  int64_t kernel, stride, dilation, pad;
};

Axis one_phase(const Window& v, int64_t size) {
  Axis a{1, {{{size, v.stride, -v.pad, v.kernel, v.dilation}, 0}}, {}};
  for (int64_t k = 0; k < v.kernel; ++k) a.order.push_back(k);
  return a;
}

// Position p sees output o = (p + pad - k * dilation) / stride where that is whole: every `period`-th tap.
Axis phases(const Window& v, int64_t size, int64_t out_size) {
  const int64_t common = std::gcd(v.stride, v.dilation), period = v.stride / common;
  Axis a{v.stride, {}, {}};
  for (int64_t phase = 0; phase < std::min(v.stride, size); ++phase) {
    int64_t k = 0;
    while (k < std::min(period, v.kernel) && (phase + v.pad - k * v.dilation) % v.stride != 0) ++k;
    const int64_t taps = k < std::min(period, v.kernel) ? ceil_div(v.kernel - k, period) : 0;
    const int64_t last = k + (taps - 1) * period;  // the tap that reaches the first output
    const int64_t first = taps ? (phase + v.pad - last * v.dilation) / v.stride : 0;
    a.phases.push_back({{out_size, 1, first, taps, v.dilation / common}, static_cast<int64_t>(a.order.size())});
    for (int64_t i = 0; i < taps; ++i) a.order.push_back(last - i * period);
  }
  return a;
}

// What the kernels' spread serves: backward-input in one phase.
bool spreads(const Conv2dGeometry& g) {
  return g.stride_h == 2 && g.stride_w == 2 && g.dilation_h == 1 && g.dilation_w == 1 &&
         (g.kernel_w == 3 || g.kernel_w == 5);
}

// Whether rows that neighbouring outputs share would fit L1, were not the lines of a vector of channels, which lie as
// far apart as pixels do, of so few of its sets.
bool collides(int64_t channels, int64_t shared_pixels) {
  constexpr int64_t kLine = 64, kSets = 64;
  const int64_t apart = channels * 4 / kLine, ways = cpu_info().l1d / kLine / kSets;
  return shared_pixels <= kSets * ways && shared_pixels > kSets / std::gcd(apart, kSets) * ways;
}

class DepthwiseConvolution final : public ConvMap {
 public:
  DepthwiseConvolution(const Conv2dGeometry& g, Pass pass)
      : forward_(pass == Pass::forward),
        spread_(!forward_ && spreads(g)),
        channels_(g.c),
        kernel_w_(g.kernel_w),
        taps_(g.taps()),
        in_h_(forward_ ? g.h : g.out_h),
        in_w_(forward_ ? g.w : g.out_w),
        out_h_(forward_ ? g.out_h : g.h),
        out_w_(forward_ ? g.out_w : g.w),
        pitch_(ceil_div(g.c, kMostLanes) * kMostLanes),
        flops_(g.flops()),
        fetch_(4 * g.n * g.c * (g.h * g.w + g.out_h * g.out_w) > cpu_info().l3 / 2 && g.h >= 8),
        blocks_(g.n, ceil_div(out_h_, forward_ || spread_ ? 1 : g.stride_h), out_w_),
        shares_(depthwise_shares(blocks_.count(), g.c, kernels_.lanes)) {
    const Window v{g.kernel_h, g.stride_h, g.dilation_h, g.pad_top};
    const Window h{g.kernel_w, g.stride_w, g.dilation_w, g.pad_left};
    const bool one = forward_ || spread_;
    vertical_ = one ? one_phase(v, in_h_) : phases(v, g.h, g.out_h);
    horizontal_ = one ? one_phase(h, in_w_) : phases(h, g.w, g.out_w);
    const DepthwiseAxis& rows = vertical_.phases.empty() ? DepthwiseAxis{} : vertical_.phases[0].axis;
    copies_ = !spread_ && vertical_.step * horizontal_.step == 1 && rows.taps >= kLeastReads * rows.step &&
              collides(g.c, (rows.taps + rows.step) * in_w_);
    const int64_t most = std::min(kBlockRows, out_h_);
    copied_rows_ = copies_ ? std::min(in_h_, (most - 1) * rows.step + (rows.taps - 1) * rows.tap_step + 1) : 0;
  }

  size_t packed_bytes() const override { return vertical_.order.size() * horizontal_.order.size() * pitch_ * 4; }
  size_t workspace_bytes() const override { return static_cast<size_t>(slots_) * copy_bytes(); }
  void pack(const float* weight, std::byte* packed) const override;
  void run(const Tensor& in, const std::byte* packed, const Epilogue& epilogue, const Tensor& out,
           std::byte* workspace) const override;
  int64_t statistic_parts() const override { return forward_ ? blocks_.count() : 0; }
  bool finishes() const override { return true; }
  int64_t statistic_pixels(int64_t part) const override {
    const DepthwiseBlocks::Block b = blocks_.block(part);
    return b.images * (b.last_row - b.row) * out_w_;
  }

 private:
  struct Channels {
    int64_t first, count;
  };
  void run_block(const DepthwiseBlocks::Block& block, Channels channels, const Tensor& in, const float* packed,
                 const Epilogue& epilogue, const Tensor& out, float* copy) const;
  // The map's input becomes a copy of the rows that it reads, without gaps between pixels.
  void copy_rows(DepthwiseMap& map, float* copy) const;
  size_t copy_bytes() const { return align_up(static_cast<size_t>(copied_rows_ * in_w_ * kCopied) * sizeof(float)); }
  void run_phase(const Axis::Phase& v, int64_t row, const Axis::Phase& h, int64_t col, const DepthwiseMap& image,
                 const DepthwiseBlocks::Block& block, float* copy) const;

  DepthwiseKernels kernels_ = table().depthwise;
  bool forward_, spread_;
  int64_t channels_, kernel_w_, taps_, in_h_, in_w_, out_h_, out_w_;
  int64_t pitch_;  // of packed weights
  int64_t flops_;
  bool fetch_;  // in and out are too large to be in cache, and tiles so high that what they fetch arrives in time
  DepthwiseBlocks blocks_;
  int64_t shares_;  // of the channels
  int64_t slots_ = num_threads();
  bool copies_ = false;
  int64_t copied_rows_ = 0;
  Axis vertical_, horizontal_;
};

// packed: [kh as ordered][kw as ordered][C, padded with zeros]; 16 channels at a time, whose taps fit L1.
void DepthwiseConvolution::pack(const float* weight, std::byte* packed) const {
  const int64_t taps = taps_;
  parallel_for(pitch_ / kMostLanes, 1, taps * kMostLanes, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin * kMostLanes; c < end * kMostLanes; c += kMostLanes) {
      const float* from = weight + c * taps;
      float* to = reinterpret_cast<float*>(packed) + c;
      const int64_t count = std::min(kMostLanes, channels_ - c);
      for (int64_t kh : vertical_.order)
        for (int64_t kw : horizontal_.order) {
          const float* tap = from + kh * kernel_w_ + kw;
          if (count < kMostLanes) std::fill_n(to, kMostLanes, 0.0f);
          if (count == kMostLanes) {  // a known number: it is unrolled
            for (int64_t i = 0; i < kMostLanes; ++i) to[i] = tap[i * taps];
          } else {
            for (int64_t i = 0; i < count; ++i) to[i] = tap[i * taps];
          }
          to += pitch_;
        }
    }
  });
}

void DepthwiseConvolution::run(const Tensor& in, const std::byte* packed, const Epilogue& epilogue, const Tensor& out,
                               std::byte* workspace) const {
  const int64_t tasks = blocks_.count() * shares_, vectors = ceil_div(channels_, kernels_.lanes);
  parallel_tasks(tasks, slots_, flops_ / std::max<int64_t>(tasks, 1), [&](int64_t slot, int64_t t) {
    float* copy = reinterpret_cast<float*>(workspace + static_cast<size_t>(slot) * copy_bytes());
    const int64_t share = t % shares_, first = vectors * share / shares_ * kernels_.lanes;
    const int64_t last = std::min(vectors * (share + 1) / shares_ * kernels_.lanes, channels_);
    const DepthwiseBlocks::Block block = blocks_.block(t / shares_);
    Epilogue own = epilogue;
    if (own.statistics) own.statistics += t / shares_ * 2 * channels_;
    // Outputs that phases or the statistics visit again should still be in cache.
    const bool revisits = epilogue.statistics || vertical_.step * horizontal_.step > 1;
    const int64_t pixels = block.images * (block.last_row - block.row) * vertical_.step * out_w_;
    const int64_t wanted = revisits ? kCacheBytes / 4 / std::max<int64_t>(pixels, 1) : last - first;
    const int64_t visited = std::max<int64_t>(wanted / kernels_.lanes, epilogue.statistics ? 4 : 1) * kernels_.lanes;
    const int64_t step = copies_ ? kCopied : visited;
    for (int64_t c = first; c < last; c += step)
      run_block(block, {c, std::min(step, last - c)}, in, reinterpret_cast<const float*>(packed), own, out, copy);
  });
}

void DepthwiseConvolution::run_block(const DepthwiseBlocks::Block& block, Channels channels, const Tensor& in,
                                     const float* packed, const Epilogue& epilogue, const Tensor& out,
                                     float* copy) const {
  const int64_t c = channels.first, weight_row = static_cast<int64_t>(horizontal_.order.size()) * pitch_;
  for (int64_t n = block.n; n < block.n + block.images; ++n) {
    const int64_t pixel = n * out_h_ * out_w_;
    const float* residual = epilogue.residual_at(pixel);
    const DepthwiseMap image{.h = {},
                             .w = {},
                             .first_row = 0,
                             .last_row = 0,
                             .cols = 0,
                             .channels = channels.count,
                             .x = in.f32() + n * in_h_ * in_w_ * in.pitch + c,
                             .x_pitch = {in_w_ * in.pitch, in.pitch},
                             .weight = packed + c,
                             .weight_pitch = {weight_row, pitch_},
                             .y = out.f32() + pixel * out.pitch + c,
                             .y_pitch = {out_w_ * out.pitch, out.pitch},
                             .bias = epilogue.bias ? epilogue.bias + c : nullptr,
                             .residual = residual ? residual + c : nullptr,
                             .residual_pitch = {out_w_ * epilogue.residual_pitch, epilogue.residual_pitch},
                             .lower = epilogue.lower,
                             .upper = epilogue.upper,
                             .fetch = fetch_};
    int64_t row = 0;
    for (const Axis::Phase& v : vertical_.phases) {
      int64_t col = 0;
      for (const Axis::Phase& h : horizontal_.phases) run_phase(v, row, h, col++, image, block, copy);
      ++row;
    }
  }
  const int64_t pixels = block.images * (block.last_row - block.row) * out_w_;
  float* y = out.f32() + (block.n * out_h_ + block.row) * out_w_ * out.pitch + c;
  if (epilogue.finish) epilogue.finish(y, out.pitch, pixels, channels.count);
  if (!epilogue.statistics) return;
  table().norm.moments({pixels, channels.count, out.pitch, 0}, y, epilogue.statistics + c,
                       epilogue.statistics + channels_ + c);
}

// Outputs (row + i * step, col + j * step) of an image.
void DepthwiseConvolution::run_phase(const Axis::Phase& v, int64_t row, const Axis::Phase& h, int64_t col,
                                     const DepthwiseMap& image, const DepthwiseBlocks::Block& block,
                                     float* copy) const {
  const int64_t rows = ceil_div(out_h_ - row, vertical_.step);
  DepthwiseMap map = image;
  map.h = v.axis, map.w = h.axis;
  map.first_row = std::min(block.row, rows), map.last_row = std::min(block.last_row, rows);
  map.cols = ceil_div(out_w_ - col, horizontal_.step);
  map.weight += v.tap * map.weight_pitch.row + h.tap * map.weight_pitch.col;
  const auto enter = [&](DepthwisePitch& pitch) {
    const int64_t offset = row * pitch.row + col * pitch.col;
    pitch.row *= vertical_.step, pitch.col *= horizontal_.step;
    return offset;
  };
  map.y += enter(map.y_pitch);
  if (map.residual) map.residual += enter(map.residual_pitch);
  if (copies_) copy_rows(map, copy);
  spread_ ? kernels_.spread(map) : kernels_.map(map);
}

void DepthwiseConvolution::copy_rows(DepthwiseMap& map, float* copy) const {
  const int64_t first = std::max<int64_t>(map.h.input(map.first_row, 0), 0);
  const int64_t last = std::min(map.h.input(map.last_row - 1, map.h.taps - 1) + 1, map.h.size);
  float* to = copy;
  for (int64_t row = first; row < last; ++row)
    for (int64_t col = 0; col < in_w_; ++col, to += kCopied)
      std::copy_n(map.x + row * map.x_pitch.row + col * map.x_pitch.col, map.channels, to);
  map.x = copy - first * in_w_ * kCopied;
  map.x_pitch = {in_w_ * kCopied, kCopied};
}

}  // namespace

bool is_depthwise(const Conv2dGeometry& g, Pass) { return g.groups > 1 && g.groups == g.c && g.groups == g.o; }

std::unique_ptr<ConvMap> depthwise_map(const Conv2dGeometry& g, Pass pass) {
  return std::make_unique<DepthwiseConvolution>(g, pass);
}

DepthwiseBlocks::DepthwiseBlocks(int64_t batch, int64_t image_rows, int64_t cols)
    : n(batch),
      rows(image_rows),
      images(std::clamp<int64_t>(kBlockPixels / std::max<int64_t>(rows * cols, 1), 1, std::max<int64_t>(n, 1))),
      image_blocks(ceil_div(n, images)),
      row_blocks(ceil_div(rows, kBlockRows)) {}

DepthwiseBlocks::Block DepthwiseBlocks::block(int64_t i) const {
  const int64_t first = i / row_blocks * images, part = i % row_blocks;
  return {first, std::min(images, n - first), rows * part / row_blocks, rows * (part + 1) / row_blocks};
}

int64_t depthwise_shares(int64_t blocks, int64_t channels, int64_t lanes) {
  const int64_t wanted = num_threads() > 1 ? num_threads() * kTasksPerThread : 1;
  return std::clamp<int64_t>(ceil_div(wanted, std::max<int64_t>(blocks, 1)), 1, ceil_div(channels, lanes));
}

}  // namespace convcore
