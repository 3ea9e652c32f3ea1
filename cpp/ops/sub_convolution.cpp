// SPDX-License-Identifier: BSD-3-Clause
#include "ops/sub_convolution.h"

#include <algorithm>
#include <utility>

#include "ops/tiles.h"

namespace convcore {
namespace {

// Taps (dh, dw) in rising order from rows x columns of (offset, kernel index) pairs.
using Axis = std::vector<std::pair<int64_t, int64_t>>;

SubConvolution sub_convolution(int64_t row0, int64_t col0, int64_t rows, int64_t cols, Axis vertical, Axis horizontal,
                               int64_t kernel_w) {
  std::sort(vertical.begin(), vertical.end());
  std::sort(horizontal.begin(), horizontal.end());
  SubConvolution sub{row0, col0, rows, cols, {}, static_cast<int64_t>(horizontal.size())};
  for (auto [dh, kh] : vertical)
    for (auto [dw, kw] : horizontal) sub.taps.push_back({dh, dw, kh * kernel_w + kw});
  return sub;
}

// Taps that reach input positions of residue `phase` from outputs, one axis: o = i + (phase + pad - k * dilation) / stride.
Axis residue_taps(int64_t phase, int64_t pad, int64_t kernel, int64_t dilation, int64_t stride) {
  Axis axis;
  for (int64_t k = 0; k < kernel; ++k) {
    const int64_t distance = phase + pad - k * dilation;
    if (distance % stride == 0) axis.emplace_back(distance / stride, k);
  }
  return axis;
}

// Along one axis: positions [first, first + count) see taps [tap, tap + taps) of those in rising order, and no others.
struct Band {
  int64_t first, count, tap, taps;
};

// offset(i): of tap i, from position * step.
template <class Offset>
std::vector<Band> bands(int64_t positions, int64_t step, int64_t in, int64_t taps, Offset&& offset) {
  std::vector<Band> all;
  int64_t begin = taps, end = taps;  // move down as positions move up
  for (int64_t i = 0; i < positions; ++i) {
    while (begin > 0 && offset(begin - 1) + i * step >= 0) --begin;
    while (end > begin && offset(end - 1) + i * step >= in) --end;
    if (!all.empty() && all.back().tap == begin && all.back().taps == end - begin)
      ++all.back().count;
    else
      all.push_back({i, 1, begin, end - begin});
  }
  return all;
}

int64_t live(const std::vector<Band>& axis) {
  int64_t all = 0;
  for (const Band& b : axis) all += b.count * b.taps;
  return all;
}

constexpr int64_t kLeastPixels = 16;  // of a part that is cut, over the batch: fewer wait for their weights
constexpr double kLiveShare = 0.6;    // of the products: with more, cutting costs more than it saves

}  // namespace

// y[oh][ow] reads x[oh*stride + kh*dilation - pad]: one part, whose inputs step by the stride.
DirectShape direct_forward(const Conv2dGeometry& g) {
  Axis vertical, horizontal;
  for (int64_t k = 0; k < g.kernel_h; ++k) vertical.emplace_back(k * g.dilation_h - g.pad_top, k);
  for (int64_t k = 0; k < g.kernel_w; ++k) horizontal.emplace_back(k * g.dilation_w - g.pad_left, k);
  const int64_t taps = g.taps(), per_group = g.c_per_group();
  DirectShape s{.n = g.n, .groups = g.groups,
                .in_h = g.h, .in_w = g.w, .in_c = per_group, .out_h = g.out_h, .out_w = g.out_w, .out_c = g.o_per_group(),
                .in_step_h = g.stride_h, .in_step_w = g.stride_w, .out_step_h = 1, .out_step_w = 1,
                .w_in = taps, .w_out = per_group * taps, .w_group = g.o_per_group() * per_group * taps,
                .taps = taps, .parts = {}, .cold = g.cold, .prepared = g.prepared};
  if (g.is_pointwise() && !g.prepared) {  // all pixels of the batch are rows of one matrix
    s.n = 1, s.in_h = s.out_h = g.n * g.h * g.w, s.in_w = s.out_w = 1;
  }
  s.parts.push_back(sub_convolution(0, 0, s.out_h, s.out_w, vertical, horizontal, g.kernel_w));
  return s;
}

// dx[ih][iw] = sum over taps with ih = oh*stride + kh*dilation - pad of dy[oh][ow] * w[kh][kw]: one part per residue of
// (ih, iw) modulo the stride.
DirectShape direct_backward_input(const Conv2dGeometry& g) {
  const int64_t taps = g.taps(), per_group = g.c_per_group();
  DirectShape s{.n = g.n, .groups = g.groups,
                .in_h = g.out_h, .in_w = g.out_w, .in_c = g.o_per_group(), .out_h = g.h, .out_w = g.w, .out_c = per_group,
                .in_step_h = 1, .in_step_w = 1, .out_step_h = g.stride_h, .out_step_w = g.stride_w,
                .w_in = per_group * taps, .w_out = taps, .w_group = g.o_per_group() * per_group * taps,
                .taps = taps, .parts = {}, .cold = g.cold};
  if (g.is_pointwise()) {
    s.n = 1, s.in_h = s.out_h = g.n * g.h * g.w, s.in_w = s.out_w = 1;
  }
  for (int64_t ph = 0; ph < std::min(g.stride_h, s.out_h); ++ph)
    for (int64_t pw = 0; pw < std::min(g.stride_w, s.out_w); ++pw)
      s.parts.push_back(sub_convolution(ph, pw, ceil_div(s.out_h - ph, g.stride_h), ceil_div(s.out_w - pw, g.stride_w),
                                        residue_taps(ph, g.pad_top, g.kernel_h, g.dilation_h, g.stride_h),
                                        residue_taps(pw, g.pad_left, g.kernel_w, g.dilation_w, g.stride_w),
                                        g.kernel_w));
  return s;
}

int64_t DirectShape::products() const {
  int64_t pairs = 0;  // of outputs and taps
  for (const SubConvolution& sub : parts) pairs += sub.rows * sub.cols * static_cast<int64_t>(sub.taps.size());
  return n * groups * in_c * out_c * pairs;
}

bool DirectShape::leaves_input(const SubConvolution& part) const {
  if (part.taps.empty()) return false;
  const SubConvolution::Tap &first = part.taps.front(), &last = part.taps.back();
  return first.dh < 0 || first.dw < 0 || (part.rows - 1) * in_step_h + last.dh >= in_h ||
         (part.cols - 1) * in_step_w + last.dw >= in_w;
}

DirectShape without_zeros(DirectShape s) {
  if (std::none_of(s.parts.begin(), s.parts.end(), [&](const SubConvolution& sub) { return s.leaves_input(sub); }))
    return s;
  struct Cut {
    int64_t across;  // taps in a row
    std::vector<Band> rows, cols;
  };
  std::vector<Cut> cuts;
  double products = 0, left = 0;
  size_t parts = 0;
  for (const SubConvolution& sub : s.parts) {
    const auto taps = static_cast<int64_t>(sub.taps.size());
    const int64_t across = taps ? sub.taps_per_row : 0, down = taps ? taps / across : 0;
    cuts.push_back({across,
                    bands(sub.rows, s.in_step_h, s.in_h, down, [&](int64_t i) { return sub.taps[i * across].dh; }),
                    bands(sub.cols, s.in_step_w, s.in_w, across, [&](int64_t i) { return sub.taps[i].dw; })});
    const Cut& cut = cuts.back();
    products += static_cast<double>(sub.rows * down) * static_cast<double>(sub.cols * across);
    left += static_cast<double>(live(cut.rows)) * static_cast<double>(live(cut.cols));
    parts += cut.rows.size() * cut.cols.size();
  }
  const bool fine = parts > s.parts.size() && s.n * s.out_h * s.out_w < kLeastPixels * static_cast<int64_t>(parts);
  if (fine || left >= kLiveShare * products) return s;
  std::vector<SubConvolution> rectangles;
  for (size_t p = 0; p < cuts.size(); ++p) {
    const SubConvolution& sub = s.parts[p];
    for (const Band& v : cuts[p].rows)
      for (const Band& h : cuts[p].cols) {
        SubConvolution part{sub.row0 + v.first * s.out_step_h,
                            sub.col0 + h.first * s.out_step_w,
                            v.count,
                            h.count,
                            {},
                            v.taps ? h.taps : 0};
        for (int64_t i = v.tap; i < v.tap + v.taps; ++i)
          for (int64_t j = h.tap; j < h.tap + h.taps; ++j) {
            const SubConvolution::Tap& tap = sub.taps[i * cuts[p].across + j];
            part.taps.push_back({tap.dh + v.first * s.in_step_h, tap.dw + h.first * s.in_step_w, tap.weight});
          }
        rectangles.push_back(std::move(part));
      }
  }
  s.parts = std::move(rectangles);
  return s;
}

}  // namespace convcore
