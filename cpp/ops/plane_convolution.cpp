// SPDX-License-Identifier: BSD-3-Clause
#include "ops/plane_convolution.h"

#include <algorithm>
#include <atomic>
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
constexpr int kMaxVectors = 8;  // of a tile

int64_t span(int64_t first, int64_t last) { return last - first + 1; }

}  // namespace

bool PlaneConvolution::accepts(const DirectShape& s) {
  const bool few_taps = std::all_of(s.parts.begin(), s.parts.end(), [](const SubConvolution& sub) {
    return !sub.taps.empty() && sub.taps.size() <= kMaxTaps;
  });
  return few_taps && s.groups == 1 && s.in_step_w == 1 && s.out_c <= kMaxPlaneOutputs;
}

double PlaneConvolution::cycles(const DirectShape& s) {
  const PlaneKernels& kernels = table().plane;
  const double outputs = static_cast<double>(s.out_c), lanes = kernels.lanes;
  const double vectors = kernels.tile_vectors[s.out_c - 1];
  // Of a tile, for one input channel and tap. Most vectors of x lie across two cache lines, where these are 64 bytes.
  const double loads = vectors * (lanes >= 16 ? 2 : 1.5) + outputs;
  const double step = std::max({vectors * outputs, loads, 8.0}) / 2 + 0.5;
  double all = 3.0 * static_cast<double>(s.n * s.in_h * s.in_w * ceil_div(s.in_c, kernels.lanes)) * (s.in_c == 1 ? 0.5 : 1);
  for (const SubConvolution& sub : s.parts) {
    const double results = static_cast<double>(s.n * sub.rows * ceil_div(sub.cols, kernels.lanes));
    const double products = static_cast<double>(s.in_c) * static_cast<double>(sub.taps.size());
    all += results * (products * step / vectors + (s.out_c == 1 ? 8 : 3 * lanes) + 10);
  }
  return all;
}

PlaneConvolution::PlaneConvolution(DirectShape shape) : s_(std::move(shape)) {
  int64_t most_floats = 0;
  for (const SubConvolution& sub : s_.parts) {
    Part p = plan_part(sub);
    p.weights = static_cast<int64_t>(packed_floats_);
    p.first_task = tasks_;
    packed_floats_ += sub.taps.size() * s_.in_c * s_.out_c;
    tasks_ += s_.n * p.blocks;
    most_floats = std::max(most_floats, s_.in_c * p.halo_h * p.pitch);
    parts_.push_back(std::move(p));
  }
  slots_ = std::clamp<int64_t>(tasks_, 1, num_threads());
  slot_bytes_ = align_up((most_floats + table().plane.lanes) * 4);  // the last vector may reach beyond the last row
}

PlaneConvolution::Part PlaneConvolution::plan_part(const SubConvolution& sub) const {
  const SubConvolution::Tap &first = sub.taps.front(), &last = sub.taps.back();
  Part p{};
  p.dh0 = first.dh, p.dw0 = first.dw;
  p.halo_w = sub.cols - 1 + span(first.dw, last.dw);
  p.pitch = ceil_div(p.halo_w, 16) * 16;
  const auto halo_rows = [&](int64_t rows) { return (rows - 1) * s_.in_step_h + span(first.dh, last.dh); };
  const int64_t budget = cpu_info().l2 / 4 / 4;  // floats
  p.block_rows = std::max<int64_t>(sub.rows, 1);
  while (p.block_rows > 1 && s_.in_c * halo_rows(p.block_rows) * p.pitch > budget) p.block_rows = ceil_div(p.block_rows, 2);
  p.blocks = ceil_div(sub.rows, p.block_rows);
  p.halo_h = halo_rows(p.block_rows);
  for (const SubConvolution::Tap& tap : sub.taps) p.offsets.push_back((tap.dh - p.dh0) * p.pitch + tap.dw - p.dw0);
  return p;
}

int64_t PlaneConvolution::statistic_parts() const { return s_.parts.size() == 1 ? s_.n * parts_[0].blocks : 0; }
int64_t PlaneConvolution::statistic_pixels(int64_t part) const {
  const int64_t row = part % parts_[0].blocks * parts_[0].block_rows;
  return std::min(parts_[0].block_rows, s_.out_h - row) * s_.out_w;
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
  std::atomic<int64_t> next{0};
  parallel_for(slots_, 1, 2 * s_.n * s_.in_c * s_.out_c * products / slots_, [&](int64_t begin, int64_t end) {
    for (int64_t slot = begin; slot < end; ++slot) {
      float* planes = reinterpret_cast<float*>(workspace + slot * slot_bytes_);
      for (int64_t t; (t = next.fetch_add(1, std::memory_order_relaxed)) < tasks_;)
        run_task(t, in, reinterpret_cast<const float*>(packed), epilogue, out, planes);
    }
  });
}

// The input rows that `rows` output rows read, with zeros where taps leave the image.
void PlaneConvolution::fill_planes(const Part& p, int64_t n, int64_t row, int64_t rows, const Tensor& in,
                                   float* planes) const {
  const int64_t plane = p.halo_h * p.pitch, top = row * s_.in_step_h + p.dh0;
  const int64_t needed = p.halo_h - (p.block_rows - rows) * s_.in_step_h;
  const int64_t col0 = std::clamp<int64_t>(p.dw0, 0, s_.in_w);
  const int64_t col1 = std::clamp<int64_t>(p.dw0 + p.halo_w, col0, s_.in_w);
  const int64_t left = std::min(col0 - p.dw0, p.halo_w);
  for (int64_t r = 0; r < needed; ++r) {
    const int64_t ih = top + r;
    const bool inside = ih >= 0 && ih < s_.in_h;
    const float* source = in.f32() + ((n * s_.in_h + (inside ? ih : 0)) * s_.in_w + col0) * in.pitch;
    table().plane.to_planes(source, in.pitch, inside ? col1 - col0 : 0, s_.in_c, inside ? left : 0, p.halo_w,
                            planes + r * p.pitch, plane);
  }
}

void PlaneConvolution::run_task(int64_t task, const Tensor& in, const float* packed, const Epilogue& epilogue,
                                const Tensor& out, float* planes) const {
  size_t index = parts_.size() - 1;
  while (task < parts_[index].first_task) --index;
  const Part& p = parts_[index];
  const SubConvolution& sub = s_.parts[index];
  const int64_t block = task - p.first_task, n = block / p.blocks, row = block % p.blocks * p.block_rows;
  const int64_t rows = std::min(p.block_rows, sub.rows - row);
  fill_planes(p, n, row, rows, in, planes);

  const PlaneKernels& kernels = table().plane;
  const int64_t per_row = ceil_div(sub.cols, kernels.lanes), all = rows * per_row;
  const int64_t tiles = ceil_div(all, kernels.tile_vectors[s_.out_c - 1]);
  int64_t at[kMaxVectors];
  int pixels[kMaxVectors];
  float* y[kMaxVectors];
  const float* residual[kMaxVectors];
  PlaneArgs args{.x = planes, .channels = s_.in_c, .plane = p.halo_h * p.pitch,
                 .taps = static_cast<int64_t>(sub.taps.size()), .offsets = p.offsets.data(), .w = packed + p.weights,
                 .vectors = 0, .at = at, .pixels = pixels, .y = y, .y_step = s_.out_step_w * out.pitch,
                 .bias = epilogue.bias, .add = epilogue.residual ? residual : nullptr,
                 .add_step = s_.out_step_w * epilogue.residual_pitch, .lower = epilogue.lower, .upper = epilogue.upper};
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t first = all * t / tiles, last = all * (t + 1) / tiles;
    args.vectors = static_cast<int>(last - first);
    for (int64_t v = first; v < last; ++v) {
      const int64_t r = v / per_row, col = v % per_row * kernels.lanes, i = v - first;
      const int64_t out_row = n * s_.out_h + sub.row0 + (row + r) * s_.out_step_h;
      const int64_t out_pixel = out_row * s_.out_w + sub.col0 + col * s_.out_step_w;
      at[i] = r * s_.in_step_h * p.pitch + col;
      pixels[i] = static_cast<int>(std::min<int64_t>(kernels.lanes, sub.cols - col));
      y[i] = out.f32() + out_pixel * out.pitch;
      residual[i] = epilogue.residual_at(out_pixel);
    }
    kernels.tile(static_cast<int>(s_.out_c), args);
  }
  if (epilogue.statistics) {
    float* mean = epilogue.statistics + 2 * block * s_.out_c;
    const float* stored = out.f32() + (n * s_.out_h + row) * s_.out_w * out.pitch;
    table().norm.moments(rows * s_.out_w, s_.out_c, {stored, out.pitch}, false, mean, mean + s_.out_c);
  }
}

}  // namespace convcore
