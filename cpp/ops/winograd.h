// SPDX-License-Identifier: BSD-3-Clause
// The algorithm "winograd": forward and backward-input of 3x3 convolutions of stride 1, group by group, through
// F(4x4, 3x3) or F(2x2, 3x3) of kernels/winograd.h. A tile of m x m outputs costs alpha^2 instead of 9 m^2 products per
// channel pair.
//
// Accuracy: the transforms round more than a direct sum does. The error stays within 2e-5 of the largest |output|: the
// tests hold every case to it, and the largest seen is 4e-6, at 512 channels. A NaN or an infinity in the input reaches
// every output of the tiles that read it.
#pragma once

#include <memory>

#include "ops/convolution.h"

namespace convcore {

// One pass, as a forward convolution of `in` to `out`: backward-input of stride 1 is one with the kernel turned by 180
// degrees, the weights transposed, and padding 2 - pad.
struct WinogradShape {
  WinogradShape(const Conv2dGeometry& g, Pass pass, int m);

  int64_t n, in_h, in_w, in_c, out_h, out_w, out_c;
  int64_t pad_top, pad_left;  // may be negative
  int64_t w_in, w_out;        // floats between input channels and output channels in the weights
  bool turned, cold;
  int m, alpha;              // 4, 6 or 2, 4
  int64_t tiles_h, tiles_w;  // per image

  int64_t points() const { return alpha * alpha; }
  int64_t tiles() const { return n * tiles_h * tiles_w; }
};

bool winograd_accepts(const Conv2dGeometry& g, Pass pass);
bool winograd_pays(const Conv2dGeometry& g, Pass pass);
std::unique_ptr<ConvMap> winograd_map(const Conv2dGeometry& g, Pass pass);
// Of the only group, for so many threads.
std::unique_ptr<ConvMap> winograd_group_map(const Conv2dGeometry& g, Pass pass, int64_t threads);

}  // namespace convcore
