// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cstring>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/depthwise.h"
#include "ops/tiles.h"

namespace convcore {
namespace {

constexpr int64_t kParts = 8;        // of the sum over pixels, cut by the shape alone
constexpr int64_t kMostLanes = 16;   // sums are padded for the widest vectors

// dw[c][kh][kw] = sum over n, oh, ow of x[n][c][oh*stride + kh*dilation - pad][...] * dy[n][c][oh][ow]: in registers
// over rows of a block, tiles and blocks added up within parts, then parts.
class DepthwiseWeight final : public ConvReduce {
 public:
  explicit DepthwiseWeight(const Conv2dGeometry& g)
      : g_(g), blocks_(g.n, g.out_h, g.out_w), parts_(std::min(blocks_.count(), kParts)),
        pitch_(ceil_div(g.c, kMostLanes) * kMostLanes), shares_(depthwise_shares(parts_, g.c, kernels_.lanes)) {}

  size_t workspace_bytes() const override { return align_up(parts_ * g_.taps() * pitch_ * 4); }

  void run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const override {
    float* sums = reinterpret_cast<float*>(workspace);  // [part][tap][C]
    const int64_t tasks = parts_ * shares_, vectors = ceil_div(g_.c, kernels_.lanes);
    parallel_for(tasks, 1, g_.flops() / std::max<int64_t>(tasks, 1), [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t share = t % shares_, part = t / shares_, first = vectors * share / shares_ * kernels_.lanes;
        const int64_t last = std::min(vectors * (share + 1) / shares_ * kernels_.lanes, g_.c);
        run_part(part, first, last - first, x, dy, sums + part * g_.taps() * pitch_ + first);
      }
    });
    add_parts(sums, dw);
  }

 private:
  void run_part(int64_t part, int64_t c, int64_t channels, const Tensor& x, const Tensor& dy, float* sum) const {
    for (int64_t tap = 0; tap < g_.taps(); ++tap) std::memset(sum + tap * pitch_, 0, static_cast<size_t>(channels) * 4);
    const int64_t first = blocks_.count() * part / parts_, last = blocks_.count() * (part + 1) / parts_;
    for (int64_t i = first; i < last; ++i) {
      const DepthwiseBlocks::Block block = blocks_.block(i);
      for (int64_t n = block.n; n < block.n + block.images; ++n)
        kernels_.reduce({.h = {g_.h, g_.stride_h, -g_.pad_top, g_.kernel_h, g_.dilation_h},
                         .w = {g_.w, g_.stride_w, -g_.pad_left, g_.kernel_w, g_.dilation_w},
                         .first_row = block.row, .last_row = block.last_row, .cols = g_.out_w, .channels = channels,
                         .x = x.f32() + n * g_.h * g_.w * x.pitch + c, .x_pitch = {g_.w * x.pitch, x.pitch},
                         .dy = dy.f32() + n * g_.out_h * g_.out_w * dy.pitch + c,
                         .dy_pitch = {g_.out_w * dy.pitch, dy.pitch}, .sum = sum, .sum_pitch = pitch_});
    }
  }

  // dw[c][tap] = sum over parts
  void add_parts(float* sums, float* dw) const {
    const int64_t taps = g_.taps(), size = taps * pitch_;
    parallel_for(pitch_ / kMostLanes, 1, taps * kMostLanes * (parts_ + 1), [&](int64_t begin, int64_t end) {
      const int64_t first = begin * kMostLanes, last = std::min(end * kMostLanes, g_.c);
      for (int64_t part = 1; part < parts_; ++part)
        for (int64_t tap = 0; tap < taps; ++tap)
          for (int64_t c = first; c < last; ++c) sums[tap * pitch_ + c] += sums[part * size + tap * pitch_ + c];
      for (int64_t c = first; c < last; ++c)
        for (int64_t tap = 0; tap < taps; ++tap) dw[c * taps + tap] = parts_ > 0 ? sums[tap * pitch_ + c] : 0.0f;
    });
  }

  DepthwiseKernels kernels_ = table().depthwise;
  Conv2dGeometry g_;
  DepthwiseBlocks blocks_;
  int64_t parts_;
  int64_t pitch_;   // of sums
  int64_t shares_;  // of the channels
};

}  // namespace

std::unique_ptr<ConvReduce> depthwise_reduce(const Conv2dGeometry& g) { return std::make_unique<DepthwiseWeight>(g); }

}  // namespace convcore
