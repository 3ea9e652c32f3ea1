// SPDX-License-Identifier: BSD-3-Clause
#include "ops/winograd.h"

#include <algorithm>

#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/table.h"
#include "ops/tiles.h"
#include "ops/winograd_groups.h"
#include "ops/winograd_map.h"
#include "ops/winograd_plan.h"
#include "ops/winograd_weight.h"

namespace convcore {
namespace {

constexpr int64_t kLeastChannels = 9;  // with fewer the transforms outweigh the products, and are not worth a plan
constexpr int64_t kLeastGroup = 16;    // of a group: for few channels there are full tiles of other kinds
// A group that is no wider than a vector takes a line of each pixel: it pays on wide maps that stay in the caches.
constexpr int64_t kNarrowPixels = 640, kNarrowCacheShare = 4;

// Whether it can pay at all.
bool has_channels(const Conv2dGeometry& g) {
  const int64_t channels = std::min(g.c_per_group(), g.o_per_group()), pixels = g.out_h * g.out_w;
  if (g.groups == 1) return channels >= kLeastChannels;
  if (channels < kLeastGroup) return false;
  return channels > table().tile.lanes ||
         (pixels >= kNarrowPixels && 4 * g.n * pixels * (g.c + g.o) <= cpu_info().l3 / kNarrowCacheShare);
}

// How many of `most` pixels, `step` apart, lie in front of `end`, which is so far from the first.
int before(int64_t end, int64_t step, int64_t most) {
  return static_cast<int>(std::clamp<int64_t>(step == 1 ? end : ceil_div(end, step), 0, most));
}

}  // namespace

WinogradGrid::WinogradGrid(const Conv2dGeometry& g, int64_t out_h, int64_t out_w, int m_)
    : n(g.n),
      step_h(g.dilation_h),
      step_w(g.dilation_w),
      m(m_),
      alpha(m_ + 2),
      tiles_h(ceil_div(ceil_div(out_h, step_h), m)),
      tiles_w(ceil_div(ceil_div(out_w, step_w), m)) {}

WinogradPatch WinogradTile::patch(const Tensor& t, int64_t pad_top, int64_t pad_left, int size, int64_t channel) const {
  const int64_t row = y() - pad_top, col = x() - pad_left;
  return {t.f32() + ((image_ * t.h() + row) * t.w() + col) * t.pitch + channel,
          g_.step_h * t.w() * t.pitch,
          g_.step_w * t.pitch,
          before(-row, g_.step_h, size),
          before(t.h() - row, g_.step_h, size),
          before(-col, g_.step_w, size),
          before(t.w() - col, g_.step_w, size)};
}
int WinogradTile::rows(int64_t height) const { return before(height - y(), g_.step_h, g_.m); }
int WinogradTile::columns(int64_t width) const { return before(width - x(), g_.step_w, g_.m); }

WinogradShape::WinogradShape(const Conv2dGeometry& g, Pass pass, int m_)
    : WinogradGrid(g, pass == Pass::forward ? g.out_h : g.h, pass == Pass::forward ? g.out_w : g.w, m_),
      turned(pass == Pass::backward_input),
      cold(g.cold) {
  if (turned) {
    in_h = g.out_h, in_w = g.out_w, in_c = g.o, out_h = g.h, out_w = g.w, out_c = g.c;
    pad_top = 2 * step_h - g.pad_top, pad_left = 2 * step_w - g.pad_left;
    w_in = g.c * 9, w_out = 9;
  } else {
    in_h = g.h, in_w = g.w, in_c = g.c, out_h = g.out_h, out_w = g.out_w, out_c = g.o;
    pad_top = g.pad_top, pad_left = g.pad_left;
    w_in = 9, w_out = g.c * 9;
  }
}

bool winograd_accepts(const Conv2dGeometry& g, Pass) {
  return g.kernel_h == 3 && g.kernel_w == 3 && g.stride_h == 1 && g.stride_w == 1 &&
         g.c_per_group() > (g.groups > 1 ? 1 : 0) && g.o_per_group() > 0;
}

bool winograd_pays(const Conv2dGeometry& g, Pass pass) {
  if (!has_channels(g)) return false;
  const Conv2dGeometry one = one_group(g);
  if (pass == Pass::backward_weight) return winograd_weight_pays(one);
  return plan_winograd(one, pass).cycles < direct_cycles(one, pass);
}

std::unique_ptr<ConvMap> winograd_map(const Conv2dGeometry& g, Pass pass) {
  return g.groups > 1 ? winograd_groups_map(g, pass) : winograd_group_map(g, pass, num_threads());
}

std::unique_ptr<ConvMap> winograd_group_map(const Conv2dGeometry& g, Pass pass, int64_t threads) {
  WinogradPlan plan = plan_winograd(g, pass);
  plan.threads = threads;
  if (plan.way == WinogradWay::blocked) return std::make_unique<BlockedWinograd>(plan);
  return std::make_unique<SharedWinograd>(plan);
}

}  // namespace convcore
