// SPDX-License-Identifier: BSD-3-Clause
// The three passes of a convolution as matrix products, for bands of output rows of each image and group. With the
// columns X [L x K] of a band, K = C/groups * kH * kW, weights W [O x K] and outputs Y [L x O]:
#include <algorithm>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "ops/gemm.h"
#include "ops/im2col.h"
#include "ops/tiles.h"

namespace convcore {
namespace {

struct Sizes {
  explicit Sizes(const Conv2dGeometry& g) : k(g.c_per_group() * g.taps()), o(g.o_per_group()) {
    // The columns of a band are written once and read once: they should not leave the last cache.
    band = std::clamp<int64_t>(cpu_info().l3 / 2 / 4 / (g.out_w * k), 1, g.out_h);
    l = band * g.out_w;
    columns = align_up(l * k * 4);
  }
  int64_t k, o, band, l;
  size_t columns;  // bytes
};

// What forward and backward-input share: W as the second operand of a product, packed once for all bands.
class Im2colMap : public ConvMap {
 public:
  Im2colMap(const Conv2dGeometry& g, const Gemm& gemm) : g_(g), s_(g), gemm_(gemm) {}
  size_t packed_bytes() const override { return g_.groups * gemm_.packed_bytes(); }
  size_t workspace_bytes() const override { return s_.columns + gemm_.workspace_bytes(); }

 protected:
  // b: the element strides of W as the product sees it.
  void pack_groups(const float* weight, int64_t row, int64_t col, std::byte* packed) const {
    for (int64_t group = 0; group < g_.groups; ++group)
      gemm_.pack({weight + group * s_.o * s_.k, row, col}, packed + group * gemm_.packed_bytes());
  }
  // visit(image, group, band)
  template <class Visit>
  void for_bands(Visit&& visit) const {
    for (int64_t n = 0; n < g_.n; ++n)
      for (int64_t group = 0; group < g_.groups; ++group)
        for (int64_t row = 0; row < g_.out_h; row += s_.band)
          visit(n, group, RowBand{row, std::min(row + s_.band, g_.out_h)});
  }
  // The epilogue of `channels` channels of some pixels.
  static void finish(const Epilogue& e, const Tensor& out, int64_t pixel0, int64_t pixels, int64_t channel0,
                     int64_t channels) {
    if (!e.bias && !e.residual && !e.clamps()) return;
    for (int64_t p = pixel0; p < pixel0 + pixels; ++p) {
      float* y = out.f32() + p * out.pitch;
      const float* residual = e.residual_at(p);
      for (int64_t c = channel0; c < channel0 + channels; ++c) y[c] = finished(y[c], c, residual, e);
    }
  }

  Conv2dGeometry g_;
  Sizes s_;
  Gemm gemm_;
};

// Y = X W^T + bias
class Im2colForward final : public Im2colMap {
 public:
  explicit Im2colForward(const Conv2dGeometry& g) : Im2colMap(g, Gemm(Sizes(g).l, Sizes(g).o, Sizes(g).k)) {}
  void pack(const float* weight, std::byte* packed) const override { pack_groups(weight, 1, s_.k, packed); }
  void run(const Tensor& x, const std::byte* packed, const Epilogue& epilogue, const Tensor& y,
           std::byte* workspace) const override {
    float* columns = reinterpret_cast<float*>(workspace);
    for_bands([&](int64_t n, int64_t group, RowBand band) {
      const int64_t rows = (band.end - band.begin) * g_.out_w;
      image_to_columns(g_, x.f32() + n * g_.h * g_.w * x.pitch + group * g_.c_per_group(), x.pitch, band, columns, s_.k);
      const int64_t pixel0 = (n * g_.out_h + band.begin) * g_.out_w;
      gemm_.run({columns, s_.k, 1}, packed + group * gemm_.packed_bytes(), y.f32() + pixel0 * y.pitch + group * s_.o,
                y.pitch, rows, false, workspace + s_.columns);
      finish(epilogue, y, pixel0, rows, group * s_.o, s_.o);
    });
  }
};

// dX = dY W, then added back into the image
class Im2colBackwardInput final : public Im2colMap {
 public:
  explicit Im2colBackwardInput(const Conv2dGeometry& g) : Im2colMap(g, Gemm(Sizes(g).l, Sizes(g).k, Sizes(g).o)) {}
  void pack(const float* weight, std::byte* packed) const override { pack_groups(weight, s_.k, 1, packed); }
  void run(const Tensor& dy, const std::byte* packed, const Epilogue& epilogue, const Tensor& dx,
           std::byte* workspace) const override {
    float* columns = reinterpret_cast<float*>(workspace);
    for_bands([&](int64_t n, int64_t group, RowBand band) {
      const int64_t rows = (band.end - band.begin) * g_.out_w, pixels = g_.h * g_.w, channels = g_.c_per_group();
      gemm_.run({dy.f32() + (n * g_.out_h + band.begin) * g_.out_w * dy.pitch + group * s_.o, dy.pitch, 1},
                packed + group * gemm_.packed_bytes(), columns, s_.k, rows, false, workspace + s_.columns);
      float* image = dx.f32() + n * pixels * dx.pitch + group * channels;
      if (band.begin == 0)
        for (int64_t p = 0; p < pixels; ++p) std::fill_n(image + p * dx.pitch, channels, 0.0f);
      add_columns(g_, columns, s_.k, band, image, dx.pitch);
      if (band.end == g_.out_h) finish(epilogue, dx, n * pixels, pixels, group * channels, channels);
    });
  }
};

// dW = dY^T X, added up over bands and images
class Im2colBackwardWeight final : public ConvReduce {
 public:
  explicit Im2colBackwardWeight(const Conv2dGeometry& g) : g_(g), s_(g), gemm_(s_.o, s_.k, s_.l), last_(s_.o, s_.k, g.out_h % s_.band * g.out_w) {}
  size_t workspace_bytes() const override {
    return s_.columns + std::max(gemm_.packed_bytes() + gemm_.workspace_bytes(),
                                 last_.packed_bytes() + last_.workspace_bytes());
  }
  void run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const override {
    float* columns = reinterpret_cast<float*>(workspace);
    std::byte* packed = workspace + s_.columns;
    if (g_.n == 0) std::fill_n(dw, g_.o * s_.k, 0.0f);
    for (int64_t n = 0; n < g_.n; ++n)
      for (int64_t group = 0; group < g_.groups; ++group)
        for (int64_t row = 0; row < g_.out_h; row += s_.band) {
          const RowBand band{row, std::min(row + s_.band, g_.out_h)};
          const Gemm& gemm = band.end - row == s_.band ? gemm_ : last_;
          image_to_columns(g_, x.f32() + n * g_.h * g_.w * x.pitch + group * g_.c_per_group(), x.pitch, band, columns,
                           s_.k);
          gemm.pack({columns, s_.k, 1}, packed);
          gemm.run({dy.f32() + (n * g_.out_h + row) * g_.out_w * dy.pitch + group * s_.o, 1, dy.pitch}, packed,
                   dw + group * s_.o * s_.k, s_.k, s_.o, n > 0 || row > 0, packed + gemm.packed_bytes());
        }
  }

 private:
  Conv2dGeometry g_;
  Sizes s_;
  Gemm gemm_, last_;  // whole bands; the shorter last one
};

}  // namespace

std::unique_ptr<ConvMap> im2col_map(const Conv2dGeometry& g, Pass pass) {
  if (pass == Pass::forward) return std::make_unique<Im2colForward>(g);
  return std::make_unique<Im2colBackwardInput>(g);
}
std::unique_ptr<ConvReduce> im2col_reduce(const Conv2dGeometry& g) { return std::make_unique<Im2colBackwardWeight>(g); }

}  // namespace convcore
