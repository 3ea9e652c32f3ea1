// SPDX-License-Identifier: BSD-3-Clause
// Forward and backward-input as dense sub-convolutions. Forward is one. Backward-input of a strided convolution is
// stride x stride of them: input positions of one residue class see the same taps, so each class is a dense convolution
// over dy (no zeros inserted).
#pragma once

#include <vector>

#include "ops/conv_geometry.h"

namespace convcore {

// Outputs (row0 + i*step, col0 + j*step) for i < rows, j < cols, each from the inputs (i*in_step + dh, j*in_step + dw).
struct SubConvolution {
  struct Tap {
    int64_t dh, dw;  // may be negative or beyond the input: zero there
    int64_t weight;  // kh * kW + kw
  };
  int64_t row0, col0, rows, cols;
  std::vector<Tap> taps;  // ordered by (dh, dw); a full product of rows and columns
  int64_t taps_per_row;
};

struct DirectShape {
  int64_t n, groups;
  int64_t in_h, in_w, in_c, out_h, out_w, out_c;  // channels per group
  int64_t in_step_h, in_step_w, out_step_h, out_step_w;
  int64_t w_in, w_out, w_group;  // floats between input channels, output channels and groups in the weights
  int64_t taps;                  // kH * kW: a run of floats in the weights, and the shorter one of w_in and w_out
  std::vector<SubConvolution> parts;  // of different taps; or such, cut by without_zeros()
  bool cold = false;             // the packed weights come from memory
  bool prepared = false;         // all blocks of the input are copied

  int64_t products() const;                             // multiply-adds
  bool leaves_input(const SubConvolution& part) const;  // some tap, at some output
};

DirectShape direct_forward(const Conv2dGeometry& g);
DirectShape direct_backward_input(const Conv2dGeometry& g);

// The same with its parts cut into rectangles of outputs whose taps all reach the input, if that saves many of the
// products (wide dilations, small maps): then no input needs a halo. Else as it is.
DirectShape without_zeros(DirectShape s);

}  // namespace convcore
