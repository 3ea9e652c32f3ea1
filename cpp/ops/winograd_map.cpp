// SPDX-License-Identifier: BSD-3-Clause
#include "ops/winograd_map.h"

#include <algorithm>
#include <utility>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/tiles.h"

namespace convcore {
namespace {

constexpr int64_t kLine = 16;         // floats in a cache line
constexpr int64_t kPackChannels = 8;  // input channels whose taps lie in L1 while pack() transforms them
constexpr int64_t kMaxWidth = 64;     // of a panel
constexpr double kOwnShare = 0.5;     // of L2: a V as small is made by each thread, sooner than others' is fetched
constexpr int64_t kNarrow = 32;       // output channels: a tile is little work, and waits for what it overwrites

// An odd number of lines: the points, written one after the other, then fall into different sets of the caches.
int64_t spread(int64_t floats) { return (ceil_div(floats, kLine) | 1) * kLine; }

// Weights are packed in short runs, far from each other, that the processor does not foresee.
void fetch(const float* p, int64_t floats) {
  for (int64_t i = 0; i < floats; i += kLine) __builtin_prefetch(p + i);
}

}  // namespace

WinogradMap::WinogradMap(const WinogradPlan& plan)
    : s_(plan.shape),
      transforms_(s_.m == 4 ? table().winograd.f4 : table().winograd.f2),
      panel_(plan.panel),
      parts_(s_, plan.part_tiles),
      panels_(ceil_div(s_.out_c, panel_.nr)),
      slots_(plan.threads),
      fetch_u_(plan.way != WinogradWay::shared_taps && u_bytes() > static_cast<size_t>(cpu_info().l2 / 2)) {}

PointMatrices WinogradMap::v_layout(float* data, int64_t tiles) const {
  const int64_t lines = ceil_div(s_.in_c, kLine);
  const int64_t pitch = (lines % 32 == 0 ? lines + 1 : lines) * kLine;  // rows of a product in different sets, too
  return {data, spread(tiles * pitch), pitch};
}
PointMatrices WinogradMap::m_layout(float* data, int64_t tiles) const {
  return {data, spread(tiles * panel_.nr), panel_.nr};
}

// Weights as seen from an output channel: 9 taps of each input channel in a row (forward), or 9 taps (turned).
void WinogradMap::pack_taps(const float* weight, int64_t panel, int64_t first, int64_t last, float* taps) const {
  const int64_t nr = panel_.nr, width = panel_width(panel);
  const float* from = weight + panel * nr * s_.w_out;
  if (width < nr) std::fill_n(taps, (last - first) * 9 * nr, 0.0f);
  if (!s_.turned) {
    const int64_t following = std::min(kPackChannels, s_.in_c - last);
    for (int64_t k = 0; k < width; ++k) fetch(from + k * s_.w_out + last * 9, following * 9);
    return table().elementwise.transpose(width, (last - first) * 9, {from + first * 9, s_.w_out}, {taps, nr});
  }
  for (int64_t c = first; c < last; ++c) {
    if (c + 2 < s_.in_c) fetch(from + (c + 2) * s_.w_in, width * 9);
    table().elementwise.transpose(width, 9, {from + c * s_.w_in, s_.w_out}, {taps + (c - first) * 9 * nr, nr});
  }
}

WinogradTaps WinogradMap::taps(const float* taps, int64_t channels) const {
  const int64_t nr = panel_.nr;
  return {s_.turned ? taps + 8 * nr : taps, 9 * nr, s_.turned ? -nr : nr, channels, nr};
}

void WinogradMap::transform_input(const Tensor& in, int64_t first, int64_t last, const PointMatrices& v) const {
  WinogradTile tile(s_, first);
  float* to = v.data;
  for (int64_t t = first; t < last; ++t, to += v.pitch, tile.next())
    transforms_.input(tile.patch(in, s_.pad_top, s_.pad_left, s_.alpha, 0), s_.in_c, to, v.step);
}

void WinogradMap::multiply(int64_t tiles, const PointMatrices& v, int64_t channel, int64_t length, const float* u,
                           int64_t u_step, const PointMatrices& m, Prefetch ahead, Prefetch outputs) const {
  ahead.spread(s_.points());
  outputs.spread(s_.points());
  for (int64_t p = 0; p < s_.points(); ++p) {
    ahead.step();
    outputs.step();
    const float* point = u + p * u_step;
    panel_.multiply({tiles, length, v.data + p * v.step + channel, v.pitch, point, m.data + p * m.step, channel > 0,
                     fetch_u_ ? point + u_step : nullptr});
  }
}

void WinogradMap::transform_output(const PointMatrices& m, int64_t first, int64_t last, int64_t panel,
                                   const Epilogue& epilogue, const Tensor& out) const {
  const int64_t channel = panel * panel_.nr, width = panel_width(panel);
  WinogradTile tile(s_, first);
  const float* from = m.data;
  WinogradStore to{};
  to.row_pitch = s_.step_h * s_.out_w * out.pitch, to.pixel_pitch = s_.step_w * out.pitch;
  to.residual_row_pitch = s_.step_h * s_.out_w * epilogue.residual_pitch;
  to.residual_pixel_pitch = s_.step_w * epilogue.residual_pitch;
  to.bias = epilogue.bias ? epilogue.bias + channel : nullptr;
  to.lower = epilogue.lower, to.upper = epilogue.upper;
  for (int64_t t = first; t < last; ++t, from += m.pitch, tile.next()) {
    const int64_t pixel = (tile.image() * s_.out_h + tile.y()) * s_.out_w + tile.x();
    to.rows = tile.rows(s_.out_h), to.columns = tile.columns(s_.out_w);
    if (to.rows == 0 || to.columns == 0) continue;
    to.y = out.f32() + pixel * out.pitch + channel;
    if (epilogue.residual) to.residual = epilogue.residual_at(pixel) + channel;
    transforms_.output(from, m.step, width, to);
    for (int r = 0; r < to.rows && epilogue.finish; ++r)
      epilogue.finish(to.y + r * to.row_pitch, to.pixel_pitch, to.columns, width);
  }
}

void WinogradMap::gather_moments(int64_t part, int64_t panel, const Epilogue& epilogue, const Tensor& out) const {
  if (!epilogue.statistics || !parts_.whole_rows()) return;
  const int64_t pixel = parts_.pixel(part), channel = panel * panel_.nr;
  float* mean = epilogue.statistics + 2 * part * s_.out_c + channel;
  table().norm.moments({parts_.pixel(part + 1) - pixel, panel_width(panel), out.pitch, 0},
                       out.f32() + pixel * out.pitch + channel, mean, mean + s_.out_c);
}

int64_t WinogradMap::u_step() const { return spread(s_.in_c * panel_.nr); }

void WinogradMap::pack_u(const float* weight, std::byte* packed) const {
  const int64_t nr = panel_.nr, chunks = ceil_div(s_.in_c, kPackChannels), step = u_step();
  parallel_for(panels_ * chunks, 1, s_.points() * kPackChannels * nr, [&](int64_t begin, int64_t end) {
    float room[kPackChannels * 9 * kMaxWidth];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t panel = i / chunks, c = i % chunks * kPackChannels, last = std::min(c + kPackChannels, s_.in_c);
      pack_taps(weight, panel, c, last, room);
      transforms_.filter(taps(room, last - c), reinterpret_cast<float*>(packed) + panel * s_.points() * step + c * nr,
                         step);
    }
  });
}

// ---- Blocked ----

BlockedWinograd::BlockedWinograd(const WinogradPlan& plan) : WinogradMap(plan) {
  slots_ = std::clamp<int64_t>(parts_.count(), 1, slots_);
}

size_t BlockedWinograd::packed_bytes() const { return u_bytes(); }
size_t BlockedWinograd::workspace_bytes() const {
  const int64_t most = parts_.most();
  return static_cast<size_t>(slots_) * (bytes(v_layout(nullptr, most)) + bytes(m_layout(nullptr, most)));
}

void BlockedWinograd::run(const Tensor& in, const std::byte* packed, const Epilogue& epilogue, const Tensor& out,
                          std::byte* workspace) const {
  const float* u = reinterpret_cast<const float*>(packed);
  const int64_t most = parts_.most(), count = parts_.count();
  const int64_t cost = 2 * s_.points() * s_.tiles() * s_.in_c * s_.out_c / std::max<int64_t>(count, 1);
  const size_t v_bytes = bytes(v_layout(nullptr, most)), slot_bytes = v_bytes + bytes(m_layout(nullptr, most));
  parallel_tasks(count, slots_, cost, [&](int64_t slot, int64_t part) {
    std::byte* scratch = workspace + static_cast<size_t>(slot) * slot_bytes;
    const PointMatrices v = v_layout(reinterpret_cast<float*>(scratch), most);
    const PointMatrices m = m_layout(reinterpret_cast<float*>(scratch + v_bytes), most);
    const int64_t first = parts_.first(part), last = parts_.first(part + 1);
    transform_input(in, first, last, v);
    for (int64_t panel = 0; panel < panels_; ++panel) {
      Prefetch next, outputs;
      if (panel == 0) next = pixels_of(part + 1, in.f32(), in.pitch, s_.in_h, s_.in_w, s_.in_c);
      const int64_t channel = panel * panel_.nr, width = panel_width(panel);
      if (epilogue.residual)
        outputs = pixels_of(part, epilogue.residual + channel, epilogue.residual_pitch, s_.out_h, s_.out_w, width);
      else if (s_.out_c <= kNarrow)
        outputs = pixels_of(part, out.f32() + channel, out.pitch, s_.out_h, s_.out_w, width);
      multiply(last - first, v, 0, s_.in_c, u + panel * s_.points() * u_step(), u_step(), m, next, outputs);
      transform_output(m, first, last, panel, epilogue, out);
      gather_moments(part, panel, epilogue, out);
    }
  });
}

// The pixels of an image, from `data` on, that its tiles begin with; those that they share with other tiles, and those
// of maps of every second pixel, are left to chance.
Prefetch BlockedWinograd::pixels_of(int64_t part, const float* data, int64_t pitch, int64_t height, int64_t width,
                                    int64_t channels) const {
  if (part >= parts_.count() || s_.maps() > s_.n) return {};
  const int64_t first = parts_.first(part), tiles = parts_.first(part + 1) - first, col = first % s_.tiles_w;
  const int64_t row = first / s_.tiles_w, image = row / s_.tiles_h, y = std::min(row % s_.tiles_h * s_.m, height);
  const int64_t x = std::min(col * s_.m, width);
  const int64_t columns = std::min((parts_.whole_rows() ? s_.tiles_w : tiles) * s_.m, width - x);
  const int64_t rows = std::min(ceil_div(tiles, s_.tiles_w) * s_.m, (s_.n - image) * height - y);
  return {data + ((image * height + y) * width + x) * pitch, channels, pitch, columns, (width - columns) * pitch,
          rows * columns};
}

// ---- Shared ----

SharedWinograd::SharedWinograd(const WinogradPlan& plan)
    : WinogradMap(plan),
      from_taps_(plan.way == WinogradWay::shared_taps),
      block_parts_(std::max<int64_t>(1, plan.block_tiles / std::max<int64_t>(parts_.most(), 1))),
      chunk_(plan.chunk),
      chunk_step_(from_taps_ ? spread(chunk_ * panel_.nr) : 0) {
  for (int64_t part = 0; part < parts_.count(); part += block_parts_) {
    const int64_t last = std::min(part + block_parts_, parts_.count());
    block_tiles_ = std::max(block_tiles_, parts_.first(last) - parts_.first(part));
  }
  slots_ = std::clamp<int64_t>(panels_, 1, slots_);
  own_v_ = slots_ > 1 && v_bytes() <= static_cast<size_t>(kOwnShare * static_cast<double>(cpu_info().l2));
}

size_t SharedWinograd::packed_bytes() const {
  return from_taps_ ? static_cast<size_t>(panels_ * s_.in_c * 9 * panel_.nr) * 4 : u_bytes();
}
size_t SharedWinograd::slot_bytes() const {
  return own_bytes() + bytes({nullptr, chunk_step_, 0}) + bytes(m_layout(nullptr, block_tiles_));
}
size_t SharedWinograd::workspace_bytes() const {
  return (own_v_ ? 0 : v_bytes()) + static_cast<size_t>(slots_) * slot_bytes();
}

void SharedWinograd::pack(const float* weight, std::byte* packed) const {
  if (!from_taps_) return pack_u(weight, packed);
  const int64_t chunks = ceil_div(s_.in_c, kPackChannels), channel = 9 * panel_.nr;
  parallel_for(panels_ * chunks, 1, kPackChannels * channel, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t panel = i / chunks, c = i % chunks * kPackChannels;
      pack_taps(weight, panel, c, std::min(c + kPackChannels, s_.in_c),
                reinterpret_cast<float*>(packed) + (panel * s_.in_c + c) * channel);
    }
  });
}

void SharedWinograd::run(const Tensor& in, const std::byte* packed, const Epilogue& epilogue, const Tensor& out,
                         std::byte* workspace) const {
  const float* weights = reinterpret_cast<const float*>(packed);
  std::byte* slots = workspace + (own_v_ ? 0 : v_bytes());
  const auto slot_at = [&](int64_t slot) { return slots + static_cast<size_t>(slot) * slot_bytes(); };
  const auto made = [&](int64_t slot) -> bool& { return *reinterpret_cast<bool*>(slot_at(slot)); };
  const auto v_at = [&](int64_t slot) {
    return v_layout(reinterpret_cast<float*>(own_v_ ? slot_at(slot) + kAlignment : workspace), block_tiles_);
  };
  for (int64_t part = 0; part < parts_.count(); part += block_parts_) {
    const int64_t last_part = std::min(part + block_parts_, parts_.count());
    const int64_t first = parts_.first(part), tiles = parts_.first(last_part) - first;
    if (own_v_) {
      for (int64_t slot = 0; slot < slots_; ++slot) made(slot) = false;
    } else {
      const PointMatrices v = v_at(0);
      parallel_for(tiles, 1, 4 * s_.points() * s_.in_c, [&](int64_t begin, int64_t end) {
        transform_input(in, first + begin, first + end, {v.data + begin * v.pitch, v.step, v.pitch});
      });
    }
    parallel_tasks(panels_, slots_, 2 * s_.points() * tiles * s_.in_c * panel_.nr, [&](int64_t slot, int64_t panel) {
      const PointMatrices v = v_at(slot);
      if (own_v_ && !std::exchange(made(slot), true)) transform_input(in, first, first + tiles, v);
      run_panel(panel, part, last_part, v, weights, epilogue, out, slot_at(slot) + own_bytes());
    });
  }
}

void SharedWinograd::run_panel(int64_t panel, int64_t first_part, int64_t last_part, const PointMatrices& v,
                               const float* packed, const Epilogue& epilogue, const Tensor& out,
                               std::byte* scratch) const {
  const int64_t channel = 9 * panel_.nr, first = parts_.first(first_part), tiles = parts_.first(last_part) - first;
  float* u = reinterpret_cast<float*>(scratch);
  const PointMatrices m = m_layout(reinterpret_cast<float*>(scratch + bytes({nullptr, chunk_step_, 0})), block_tiles_);
  if (!from_taps_) multiply(tiles, v, 0, s_.in_c, packed + panel * s_.points() * u_step(), u_step(), m, {});
  for (int64_t c = 0; from_taps_ && c < s_.in_c; c += chunk_) {
    const int64_t length = std::min(chunk_, s_.in_c - c), left = (panels_ - panel) * s_.in_c - c - length;
    const int64_t following = std::min(chunk_, left);
    const float* from = packed + (panel * s_.in_c + c) * channel;
    transforms_.filter(taps(from, length), u, chunk_step_);
    multiply(tiles, v, c, length, u, chunk_step_, m,
             {from + length * channel, channel, channel, following, 0, following});
  }
  for (int64_t part = first_part; part < last_part; ++part) {
    const int64_t begin = parts_.first(part), end = parts_.first(part + 1);
    transform_output({m.data + (begin - first) * m.pitch, m.step, m.pitch}, begin, end, panel, epilogue, out);
    gather_moments(part, panel, epilogue, out);
  }
}

}  // namespace convcore
