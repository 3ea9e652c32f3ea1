// SPDX-License-Identifier: BSD-3-Clause
#include "ops/winograd.h"

#include <algorithm>

#include "ops/tiles.h"
#include "ops/winograd_map.h"
#include "ops/winograd_plan.h"
#include "ops/winograd_weight.h"

namespace convcore {
namespace {

constexpr int64_t kLeastChannels = 9;  // with fewer the transforms outweigh the products, and are not worth a plan

}  // namespace

WinogradShape::WinogradShape(const Conv2dGeometry& g, Pass pass, int m_)
    : n(g.n), turned(pass == Pass::backward_input), m(m_), alpha(m_ + 2) {
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
         g.dilation_w == 1 && g.groups == 1 && g.c > 0 && g.o > 0;
}

bool winograd_pays(const Conv2dGeometry& g, Pass pass) {
  if (pass == Pass::backward_weight) return winograd_weight_pays(g);
  if (std::min(g.c, g.o) < kLeastChannels) return false;
  return plan_winograd(g, pass).cycles < direct_cycles(g, pass);
}

std::unique_ptr<ConvMap> winograd_map(const Conv2dGeometry& g, Pass pass) {
  const WinogradPlan plan = plan_winograd(g, pass);
  if (plan.way == WinogradWay::blocked) return std::make_unique<BlockedWinograd>(plan);
  return std::make_unique<SharedWinograd>(plan);
}

}  // namespace convcore
