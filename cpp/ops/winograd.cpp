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

}  // namespace

WinogradShape::WinogradShape(const Conv2dGeometry& g, Pass pass, int m_)
    : n(g.n), turned(pass == Pass::backward_input), cold(g.cold), m(m_), alpha(m_ + 2) {
  if (turned) {
    in_h = g.out_h, in_w = g.out_w, in_c = g.o, out_h = g.h, out_w = g.w, out_c = g.c;
    pad_top = 2 - g.pad_top, pad_left = 2 - g.pad_left;
    w_in = g.c * 9, w_out = 9;
  } else {
    in_h = g.h, in_w = g.w, in_c = g.c, out_h = g.out_h, out_w = g.out_w, out_c = g.o;
    pad_top = g.pad_top, pad_left = g.pad_left;
    w_in = 9, w_out = g.c * 9;
  }
  tiles_h = ceil_div(out_h, m), tiles_w = ceil_div(out_w, m);
}

bool winograd_accepts(const Conv2dGeometry& g, Pass) {
  return g.kernel_h == 3 && g.kernel_w == 3 && g.stride_h == 1 && g.stride_w == 1 && g.dilation_h == 1 &&
         g.dilation_w == 1 && g.c_per_group() > (g.groups > 1 ? 1 : 0) && g.o_per_group() > 0;
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
