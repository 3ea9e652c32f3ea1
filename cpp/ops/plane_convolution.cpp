// SPDX-License-Identifier: BSD-3-Clause
#include "ops/plane_convolution.h"

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

constexpr int64_t kMaxTaps = 1 << 12;
constexpr int64_t kPitch = 16;  // floats: rows of planes begin with a cache line

}  // namespace

bool PlaneConvolution::accepts(const DirectShape& s) {
  const bool few_taps = std::all_of(s.parts.begin(), s.parts.end(), [](const SubConvolution& sub) {
    return !sub.taps.empty() && sub.taps.size() <= kMaxTaps;
  });
  return few_taps && s.groups == 1 && s.in_step_w == 1 && s.out_c <= kMaxPlaneOutputs;
}

double plane_cycles(int64_t channels) {
  const int64_t lanes = table().plane.lanes;
  return channels == 1 ? 1.0 : 2 * channels <= lanes ? 4.0 : 7.0 * static_cast<double>(ceil_div(channels, lanes));
}

double PlaneConvolution::cycles(const DirectShape& s) {
  constexpr double kScatter = 3, kBegin = 10;  // to put back a vector of results, per lane; to begin a tile
  const PlaneKernels& kernels = table().plane;
  const double outputs = static_cast<double>(s.out_c), vectors = kernels.tile_vectors[s.out_c - 1];
  // Of a tile, for one input channel and tap. A vector of x mostly lies across two cache lines.
  const double step = std::max({vectors * outputs, 2 * vectors + outputs, 8.0}) / 2 + 1;
  const double last = s.out_c == 1 ? kBegin : kBegin + kScatter * kernels.lanes;
  double all = static_cast<double>(s.n * s.in_h * s.in_w) * plane_cycles(s.in_c);
  for (const SubConvolution& sub : s.parts) {
    const double results = static_cast<double>(s.n * sub.rows * ceil_div(sub.cols, kernels.lanes));
    const double products = static_cast<double>(s.in_c) * static_cast<double>(sub.taps.size());
    all += results * (products * step / vectors + last);
  }
  return all;
}

PlaneConvolution::PlaneConvolution(DirectShape shape) : s_(std::move(shape)) {
  plan_blocks();
  for (const SubConvolution& sub : s_.parts) {
    Part p{static_cast<int64_t>(packed_floats_), {}};
    for (const SubConvolution::Tap& tap : sub.taps) p.offsets.push_back((tap.dh - dh0_) * pitch_ + tap.dw - dw0_);
    packed_floats_ += sub.taps.size() * s_.in_c * s_.out_c;
    parts_.push_back(std::move(p));
  }
  slots_ = std::clamp<int64_t>(s_.n * blocks_, 1, num_threads());
  // The last vector may reach beyond the last row.
  slot_bytes_ = align_up((s_.in_c * halo_h_ * pitch_ + table().plane.lanes) * 4);
}

void PlaneConvolution::plan_blocks() {
  const SubConvolution::Tap& first = s_.parts[0].taps.front();
  int64_t dh1 = first.dh, dw1 = first.dw, rows = 0, cols = 0;
  dh0_ = first.dh, dw0_ = first.dw;
  for (const SubConvolution& sub : s_.parts) {
    dh0_ = std::min(dh0_, sub.taps.front().dh), dh1 = std::max(dh1, sub.taps.back().dh);
    dw0_ = std::min(dw0_, sub.taps.front().dw), dw1 = std::max(dw1, sub.taps.back().dw);
    rows = std::max(rows, sub.rows), cols = std::max(cols, sub.cols);
  }
  halo_w_ = cols + dw1 - dw0_;
  pitch_ = ceil_div(halo_w_, kPitch) * kPitch;
  const auto halo_rows = [&](int64_t of) { return (of - 1) * s_.in_step_h + dh1 - dh0_ + 1; };
  const int64_t budget = cpu_info().l2 / 4 / 4;  // floats
  block_rows_ = rows;
  while (block_rows_ > 1 && s_.in_c * halo_rows(block_rows_) * pitch_ > budget) block_rows_ = ceil_div(block_rows_, 2);
  blocks_ = ceil_div(rows, block_rows_);
  halo_h_ = halo_rows(block_rows_);
}

int64_t PlaneConvolution::statistic_parts() const { return s_.parts.size() == 1 ? s_.n * blocks_ : 0; }
int64_t PlaneConvolution::statistic_pixels(int64_t part) const {
  return std::min(block_rows_, s_.out_h - part % blocks_ * block_rows_) * s_.out_w;
}

// packed: [part][input channel][tap][output channel]
void PlaneConvolution::pack(const float* weight, std::byte* packed) const {
  float* to = reinterpret_cast<float*>(packed);
  for (const SubConvolution& sub : s_.parts)
    for (int64_t c = 0; c < s_.in_c; ++c)
      for (const SubConvolution::Tap& tap : sub.taps)
        for (int64_t o = 0; o < s_.out_c; ++o) *to++ = weight[c * s_.w_in + o * s_.w_out + tap.weight];
}

void PlaneConvolution::run(const Tensor& in, const std::byte* packed, const Epilogue& epilogue, const Tensor& out,
                           std::byte* workspace) const {
  int64_t products = 0;
  for (const SubConvolution& sub : s_.parts) products += sub.rows * sub.cols * static_cast<int64_t>(sub.taps.size());
  parallel_tasks(s_.n * blocks_, slots_, 2 * s_.in_c * s_.out_c * products / blocks_, [&](int64_t slot, int64_t block) {
    run_block(block, in, reinterpret_cast<const float*>(packed), epilogue, out,
              reinterpret_cast<float*>(workspace + slot * slot_bytes_));
  });
}

// The input rows that `rows` output rows read, with zeros where taps leave the image.
void PlaneConvolution::fill_planes(int64_t n, int64_t row, int64_t rows, const Tensor& in, float* planes) const {
  const int64_t top = row * s_.in_step_h + dh0_, needed = halo_h_ - (block_rows_ - rows) * s_.in_step_h;
  const int64_t col0 = std::clamp<int64_t>(dw0_, 0, s_.in_w);
  const int64_t col1 = std::clamp<int64_t>(dw0_ + halo_w_, col0, s_.in_w);
  const int64_t left = std::min(col0 - dw0_, halo_w_);
  for (int64_t r = 0; r < needed; ++r) {
    const int64_t ih = top + r;
    const bool inside = ih >= 0 && ih < s_.in_h;
    const float* source = in.f32() + ((n * s_.in_h + (inside ? ih : 0)) * s_.in_w + col0) * in.pitch;
    table().plane.to_planes(source, in.pitch, inside ? col1 - col0 : 0, s_.in_c, inside ? left : 0, halo_w_,
                            planes + r * pitch_, halo_h_ * pitch_);
  }
}

void PlaneConvolution::run_block(int64_t block, const Tensor& in, const float* packed, const Epilogue& epilogue,
                                 const Tensor& out, float* planes) const {
  const int64_t n = block / blocks_, row = block % blocks_ * block_rows_;
  fill_planes(n, row, std::min(block_rows_, s_.parts[0].rows - row), in, planes);
  for (size_t i = 0; i < parts_.size(); ++i)
    run_part(i, n, row, std::min(block_rows_, s_.parts[i].rows - row), planes, packed, epilogue, out);
  float* stored = out.f32() + (n * s_.out_h + row) * s_.out_w * out.pitch;
  if (epilogue.finish) epilogue.finish(stored, out.pitch, statistic_pixels(block), s_.out_c);
  if (epilogue.statistics) {
    float* mean = epilogue.statistics + 2 * block * s_.out_c;
    table().norm.moments({statistic_pixels(block), s_.out_c, out.pitch, 0}, stored, mean, mean + s_.out_c);
  }
}

void PlaneConvolution::run_part(size_t part, int64_t n, int64_t row, int64_t rows, const float* planes,
                                const float* packed, const Epilogue& epilogue, const Tensor& out) const {
  const SubConvolution& sub = s_.parts[part];
  const PlaneKernels& kernels = table().plane;
  const int64_t per_row = ceil_div(sub.cols, kernels.lanes), all = rows * per_row;
  const int64_t tiles = ceil_div(all, kernels.tile_vectors[s_.out_c - 1]);
  int64_t at[kMaxPlaneVectors];
  int pixels[kMaxPlaneVectors];
  float* y[kMaxPlaneVectors];
  const float* residual[kMaxPlaneVectors];
  PlaneArgs args{.x = planes, .channels = s_.in_c, .plane = halo_h_ * pitch_,
                 .taps = static_cast<int64_t>(sub.taps.size()), .offsets = parts_[part].offsets.data(),
                 .w = packed + parts_[part].weights, .vectors = 0, .at = at, .pixels = pixels, .y = y,
                 .y_step = s_.out_step_w * out.pitch, .bias = epilogue.bias,
                 .add = epilogue.residual ? residual : nullptr, .add_step = s_.out_step_w * epilogue.residual_pitch,
                 .lower = epilogue.lower, .upper = epilogue.upper};
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t first = all * t / tiles, last = all * (t + 1) / tiles;
    args.vectors = static_cast<int>(last - first);
    for (int64_t v = first; v < last; ++v) {
      const int64_t r = v / per_row, col = v % per_row * kernels.lanes, i = v - first;
      const int64_t out_row = n * s_.out_h + sub.row0 + (row + r) * s_.out_step_h;
      const int64_t out_pixel = out_row * s_.out_w + sub.col0 + col * s_.out_step_w;
      at[i] = r * s_.in_step_h * pitch_ + col;
      pixels[i] = static_cast<int>(std::min<int64_t>(kernels.lanes, sub.cols - col));
      y[i] = out.f32() + out_pixel * out.pitch;
      residual[i] = epilogue.residual_at(out_pixel);
    }
    kernels.tile(static_cast<int>(s_.out_c), args);
  }
}

}  // namespace convcore
