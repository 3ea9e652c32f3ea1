// SPDX-License-Identifier: BSD-3-Clause
// The three passes of a convolution as matrix products, image by image and group by group. With the columns X [L x K],
// K = C/groups * kH * kW, weights W [O x K] and outputs Y [L x O]:
#include <algorithm>

#include "base/memory.h"
#include "base/parallel.h"
#include "ops/gemm.h"
#include "ops/im2col.h"

namespace convcore {
namespace {

struct Sizes {
  explicit Sizes(const Conv2dGeometry& g)
      : l(g.out_h * g.out_w), k(g.c_per_group() * g.taps()), o(g.o_per_group()), columns(align_up(l * k * 4)) {}
  int64_t l, k, o;
  size_t columns;  // bytes
};

// Y = X W^T + bias
class Im2colForward final : public ConvMap {
 public:
  explicit Im2colForward(const Conv2dGeometry& g) : g_(g), s_(g), gemm_(s_.l, s_.o, s_.k) {}
  size_t packed_bytes() const override { return g_.o * s_.k * 4; }
  size_t workspace_bytes() const override { return s_.columns + gemm_.workspace_bytes(); }
  void pack(const float* weight, std::byte* packed) const override {
    std::copy_n(weight, g_.o * s_.k, reinterpret_cast<float*>(packed));
  }
  void run(const Tensor& x, const std::byte* packed, const float* bias, const Tensor& y,
           std::byte* workspace) const override {
    float* columns = reinterpret_cast<float*>(workspace);
    const float* w = reinterpret_cast<const float*>(packed);
    for (int64_t n = 0; n < g_.n; ++n)
      for (int64_t group = 0; group < g_.groups; ++group) {
        image_to_columns(g_, x.f32() + n * g_.h * g_.w * x.pitch + group * g_.c_per_group(), x.pitch, columns, s_.k);
        float* out = y.f32() + n * s_.l * y.pitch + group * s_.o;
        if (bias)
          for (int64_t l = 0; l < s_.l; ++l) std::copy_n(bias + group * s_.o, s_.o, out + l * y.pitch);
        gemm_.run({columns, s_.k, 1}, {w + group * s_.o * s_.k, 1, s_.k}, out, y.pitch, bias != nullptr,
                  workspace + s_.columns);
      }
  }

 private:
  Conv2dGeometry g_;
  Sizes s_;
  Gemm gemm_;
};

// dX = dY W, then added back into the image
class Im2colBackwardInput final : public ConvMap {
 public:
  explicit Im2colBackwardInput(const Conv2dGeometry& g) : g_(g), s_(g), gemm_(s_.l, s_.k, s_.o) {}
  size_t packed_bytes() const override { return g_.o * s_.k * 4; }
  size_t workspace_bytes() const override { return s_.columns + gemm_.workspace_bytes(); }
  void pack(const float* weight, std::byte* packed) const override {
    std::copy_n(weight, g_.o * s_.k, reinterpret_cast<float*>(packed));
  }
  void run(const Tensor& dy, const std::byte* packed, const float* bias, const Tensor& dx,
           std::byte* workspace) const override {
    float* columns = reinterpret_cast<float*>(workspace);
    const float* w = reinterpret_cast<const float*>(packed);
    for (int64_t n = 0; n < g_.n; ++n)
      for (int64_t group = 0; group < g_.groups; ++group) {
        gemm_.run({dy.f32() + n * s_.l * dy.pitch + group * s_.o, dy.pitch, 1}, {w + group * s_.o * s_.k, s_.k, 1},
                  columns, s_.k, false, workspace + s_.columns);
        float* out = dx.f32() + n * g_.h * g_.w * dx.pitch + group * g_.c_per_group();
        columns_to_image(g_, columns, s_.k, out, dx.pitch);
        if (!bias) continue;
        for (int64_t pixel = 0; pixel < g_.h * g_.w; ++pixel)
          for (int64_t c = 0; c < g_.c_per_group(); ++c)
            out[pixel * dx.pitch + c] += bias[group * g_.c_per_group() + c];
      }
  }

 private:
  Conv2dGeometry g_;
  Sizes s_;
  Gemm gemm_;
};

// dW = dY^T X, added up over the images
class Im2colBackwardWeight final : public ConvReduce {
 public:
  explicit Im2colBackwardWeight(const Conv2dGeometry& g) : g_(g), s_(g), gemm_(s_.o, s_.k, s_.l) {}
  size_t workspace_bytes() const override { return s_.columns + gemm_.workspace_bytes(); }
  void run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const override {
    float* columns = reinterpret_cast<float*>(workspace);
    if (g_.n == 0) std::fill_n(dw, g_.o * s_.k, 0.0f);
    for (int64_t n = 0; n < g_.n; ++n)
      for (int64_t group = 0; group < g_.groups; ++group) {
        image_to_columns(g_, x.f32() + n * g_.h * g_.w * x.pitch + group * g_.c_per_group(), x.pitch, columns, s_.k);
        gemm_.run({dy.f32() + n * s_.l * dy.pitch + group * s_.o, 1, dy.pitch}, {columns, s_.k, 1},
                  dw + group * s_.o * s_.k, s_.k, n > 0, workspace + s_.columns);
      }
  }

 private:
  Conv2dGeometry g_;
  Sizes s_;
  Gemm gemm_;
};

}  // namespace

std::unique_ptr<ConvMap> im2col_map(const Conv2dGeometry& g, Pass pass) {
  if (pass == Pass::forward) return std::make_unique<Im2colForward>(g);
  return std::make_unique<Im2colBackwardInput>(g);
}
std::unique_ptr<ConvReduce> im2col_reduce(const Conv2dGeometry& g) { return std::make_unique<Im2colBackwardWeight>(g); }

}  // namespace convcore
