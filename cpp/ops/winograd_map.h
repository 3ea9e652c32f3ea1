// SPDX-License-Identifier: BSD-3-Clause
// The ways through a Winograd convolution. With V the transformed tiles, U the transformed weights and M their
// products, each a matrix per point (V: tiles x input channels, U: input x output channels, M: tiles x output
// channels):
//  * BlockedWinograd, for many tiles: a thread takes a part of the tiles through all steps; V and M stay in its L2, and
//    U, packed, streams by.
//  * SharedWinograd, for few tiles or large weights: all threads make V of some parts, or each its own where it is
//    small, then each takes panels of output channels. U is packed; or made from packed taps, a quarter of its bytes,
//    piece by piece when it is needed.
#pragma once

#include "base/memory.h"
#include "ops/winograd.h"
#include "ops/winograd_plan.h"

namespace convcore {

// One matrix per point: row t of point p at data + p * step + t * pitch.
struct PointMatrices {
  float* data;
  int64_t step, pitch;
};

// Fetches a rectangle of pixels, some at each step of a computation that leaves memory idle.
struct Prefetch {
  const float* next = nullptr;
  int64_t channels = 0, pitch = 0;  // of a pixel
  int64_t columns = 0, gap = 0;     // pixels in a row; floats from behind it to the next
  int64_t pixels = 0;               // left
  int64_t column = 0, stride = 0;

  void spread(int64_t steps) { stride = (pixels + steps - 1) / steps; }
  void step() {
    for (int64_t i = 0; i < stride && pixels > 0; ++i, --pixels) {
      for (int64_t c = 0; c < channels; c += 16) __builtin_prefetch(next + c);
      next += pitch;
      if (++column == columns) column = 0, next += gap;
    }
  }
};

// What both share.
class WinogradMap : public ConvMap {
 public:
  bool finishes() const override { return true; }
  int64_t statistic_parts() const override { return parts_.whole_rows() && s_.maps() == s_.n ? parts_.count() : 0; }
  int64_t statistic_pixels(int64_t part) const override { return parts_.pixel(part + 1) - parts_.pixel(part); }

 protected:
  explicit WinogradMap(const WinogradPlan& plan);

  PointMatrices v_layout(float* data, int64_t tiles) const;
  PointMatrices m_layout(float* data, int64_t tiles) const;  // of one panel
  size_t bytes(const PointMatrices& layout) const {
    return align_up(static_cast<size_t>(s_.points() * layout.step) * 4);
  }
  int64_t panel_width(int64_t panel) const { return std::min<int64_t>(panel_.nr, s_.out_c - panel * panel_.nr); }

  // U, packed as [panel][point], u_step() floats each: [input channel][NR].
  int64_t u_step() const;
  size_t u_bytes() const { return static_cast<size_t>(panels_ * s_.points() * u_step()) * 4; }
  void pack_u(const float* weight, std::byte* packed) const;
  // The taps of input channels [first, last) of a panel, as [channel][tap][NR], zero beyond the last output channel.
  void pack_taps(const float* weight, int64_t panel, int64_t first, int64_t last, float* taps) const;
  WinogradTaps taps(const float* taps, int64_t channels) const;

  // V of tiles [first, last); v: of tile `first`.
  void transform_input(const Tensor& in, int64_t first, int64_t last, const PointMatrices& v) const;
  // M (+)= V[:, channel .. channel + length] U, u of point p at u + p * u_step.
  void multiply(int64_t tiles, const PointMatrices& v, int64_t channel, int64_t length, const float* u, int64_t u_step,
                const PointMatrices& m, Prefetch ahead, Prefetch outputs = {}) const;
  // y of tiles [first, last) and a panel.
  void transform_output(const PointMatrices& m, int64_t first, int64_t last, int64_t panel, const Epilogue& epilogue,
                        const Tensor& out) const;
  // A panel's moments of a part that was just stored.
  void gather_moments(int64_t part, int64_t panel, const Epilogue& epilogue, const Tensor& out) const;

  WinogradShape s_;
  WinogradTransforms transforms_;
  WinogradPanel panel_;
  WinogradParts parts_;
  int64_t panels_, slots_;
  bool fetch_u_;  // each point's U, or the next panel's, is fetched while the one before is multiplied
};

class BlockedWinograd final : public WinogradMap {
 public:
  explicit BlockedWinograd(const WinogradPlan& plan);
  size_t packed_bytes() const override;
  size_t workspace_bytes() const override;
  void pack(const float* weight, std::byte* packed) const override { pack_u(weight, packed); }
  void run(const Tensor& in, const std::byte* packed, const Epilogue& epilogue, const Tensor& out,
           std::byte* workspace) const override;

 private:
  Prefetch pixels_of(int64_t part, const float* data, int64_t pitch, int64_t height, int64_t width,
                     int64_t channels) const;
};

class SharedWinograd final : public WinogradMap {
 public:
  explicit SharedWinograd(const WinogradPlan& plan);
  size_t packed_bytes() const override;
  size_t workspace_bytes() const override;
  void pack(const float* weight, std::byte* packed) const override;
  void run(const Tensor& in, const std::byte* packed, const Epilogue& epilogue, const Tensor& out,
           std::byte* workspace) const override;

 private:
  size_t v_bytes() const { return bytes(v_layout(nullptr, block_tiles_)); }
  size_t own_bytes() const { return own_v_ ? kAlignment + v_bytes() : 0; }  // whether V is made, and V
  size_t slot_bytes() const;
  void run_panel(int64_t panel, int64_t first_part, int64_t last_part, const PointMatrices& v, const float* packed,
                 const Epilogue& epilogue, const Tensor& out, std::byte* scratch) const;

  bool own_v_ = false;          // each thread makes all of V for itself
  bool from_taps_;              // U is made from packed taps when it is needed, else packed
  int64_t block_parts_;         // parts that share a V
  int64_t block_tiles_ = 0;     // of the largest such block
  int64_t chunk_, chunk_step_;  // input channels whose U is made at once; floats between its points
};

}  // namespace convcore
