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

#include "kernels/winograd.h"
#include "ops/convolution.h"

namespace convcore {

// The tiles of m x m outputs, numbered by (map, row, column). Outputs of one residue class modulo the dilation are a
// map of their own, that a dense kernel makes: without dilation, an image. Tiles may reach beyond their map, or lie
// outside.
struct WinogradGrid {
  WinogradGrid(const Conv2dGeometry& g, int64_t out_h, int64_t out_w, int m);

  int64_t n;
  int64_t step_h, step_w;    // dilation: pixels from one row, or column, of a map to the next
  int m, alpha;              // 4, 6 or 2, 4
  int64_t tiles_h, tiles_w;  // per map

  int64_t points() const { return alpha * alpha; }
  int64_t maps() const { return n * step_h * step_w; }
  int64_t tiles() const { return maps() * tiles_h * tiles_w; }
};

// One tile, and those that follow.
class WinogradTile {
 public:
  WinogradTile(const WinogradGrid& grid, int64_t number)
      : g_(grid),
        col_(number % g_.tiles_w),
        row_(number / g_.tiles_w % g_.tiles_h),
        map_(number / g_.tiles_w / g_.tiles_h) {
    enter();
  }
  void next() {
    if (++col_ < g_.tiles_w) return;
    col_ = 0;
    if (++row_ < g_.tiles_h) return;
    row_ = 0, ++map_;
    enter();
  }
  int64_t image() const { return image_; }
  int64_t y() const { return y0_ + row_ * g_.m * g_.step_h; }  // of its first output
  int64_t x() const { return x0_ + col_ * g_.m * g_.step_w; }

  // size x size pixels of the tile's map in a tensor, `size` at most alpha, from where the first output is, less the
  // padding.
  WinogradPatch patch(const Tensor& t, int64_t pad_top, int64_t pad_left, int size, int64_t channel) const;
  int rows(int64_t height) const;  // of its m, those that lie in an output of that size
  int columns(int64_t width) const;

 private:
  void enter() {
    const int64_t phase = map_ % (g_.step_h * g_.step_w);
    image_ = map_ / (g_.step_h * g_.step_w), y0_ = phase / g_.step_w, x0_ = phase % g_.step_w;
  }

  const WinogradGrid& g_;
  int64_t col_, row_, map_;
  int64_t image_, y0_, x0_;
};

// One pass, as a forward convolution of `in` to `out`: backward-input of stride 1 is one with the kernel turned by 180
// degrees, the weights transposed, and padding 2 * dilation - pad.
struct WinogradShape : WinogradGrid {
  WinogradShape(const Conv2dGeometry& g, Pass pass, int m);

  int64_t in_h, in_w, in_c, out_h, out_w, out_c;
  int64_t pad_top, pad_left;  // may be negative
  int64_t w_in, w_out;        // floats between input channels and output channels in the weights
  bool turned, cold;
};

bool winograd_accepts(const Conv2dGeometry& g, Pass pass);
bool winograd_pays(const Conv2dGeometry& g, Pass pass);
std::unique_ptr<ConvMap> winograd_map(const Conv2dGeometry& g, Pass pass);
// Of the only group, for so many threads.
std::unique_ptr<ConvMap> winograd_group_map(const Conv2dGeometry& g, Pass pass, int64_t threads);

}  // namespace convcore
