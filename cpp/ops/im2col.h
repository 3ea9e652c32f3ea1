// SPDX-License-Identifier: BSD-3-Clause
// im2col: every receptive field stretched out into a column; a convolution is then one matrix product.
//   im2col(x)(N, C*kH*kW, L) as torch.nn.functional.unfold: column l = (oh, ow) holds, for each (c, kh, kw), the input
//     at (oh*stride + kh*dilation - pad), zero outside. col2im is its transpose: it adds columns back into an image.
// As everywhere, memory is channels-last: the C*kH*kW values of a column lie together.
#pragma once

#include <memory>

#include "ops/convolution.h"
#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_im2col(const Attributes& attributes);
std::unique_ptr<Op> make_col2im(const Attributes& attributes);

// Output rows [begin, end) of one image's group of channels: columns [rows * OW][C/groups * kH * kW] of them, and adding
// such columns back into the image. x points at the group's first channel.
struct RowBand {
  int64_t begin, end;
};
void image_to_columns(const Conv2dGeometry& g, const float* x, int64_t pitch, RowBand band, float* columns,
                      int64_t columns_pitch);
void add_columns(const Conv2dGeometry& g, const float* columns, int64_t columns_pitch, RowBand band, float* x,
                 int64_t pitch);

// Convolution by im2col: it serves every geometry.
std::unique_ptr<ConvMap> im2col_map(const Conv2dGeometry& g, Pass pass);
std::unique_ptr<ConvReduce> im2col_reduce(const Conv2dGeometry& g);

}  // namespace convcore
