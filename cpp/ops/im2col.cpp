// SPDX-License-Identifier: BSD-3-Clause
#include "ops/im2col.h"

#include <algorithm>

#include "base/parallel.h"

namespace convcore {
namespace {

// The first and last (exclusive) output positions whose tap k falls inside the input.
std::pair<int64_t, int64_t> inside(int64_t k, int64_t in, int64_t out, int64_t stride, int64_t dilation, int64_t pad) {
  const int64_t offset = k * dilation - pad;
  const int64_t first = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  const int64_t last = in - 1 - offset < 0 ? 0 : (in - 1 - offset) / stride + 1;
  return {std::min(first, out), std::clamp(last, std::min(first, out), out)};
}

// Calls visit(row of the band, value index in the row, input pixel) for every tap inside the image of output rows
// [begin, end), in a fixed order for each input pixel.
template <class Visit>
void visit_taps(const Conv2dGeometry& g, int64_t begin, int64_t end, Visit&& visit) {
  for (int64_t kh = 0; kh < g.kernel_h; ++kh)
    for (int64_t kw = 0; kw < g.kernel_w; ++kw) {
      const auto [h0, h1] = inside(kh, g.h, g.out_h, g.stride_h, g.dilation_h, g.pad_top);
      const auto [w0, w1] = inside(kw, g.w, g.out_w, g.stride_w, g.dilation_w, g.pad_left);
      for (int64_t oh = std::max(h0, begin); oh < std::min(h1, end); ++oh)
        for (int64_t ow = w0; ow < w1; ++ow) {
          const int64_t ih = oh * g.stride_h + kh * g.dilation_h - g.pad_top;
          const int64_t iw = ow * g.stride_w + kw * g.dilation_w - g.pad_left;
          visit((oh - begin) * g.out_w + ow, kh * g.kernel_w + kw, ih * g.w + iw);
        }
    }
}

class Im2colOp : public Op {
 public:
  Im2colOp(std::string_view kind, const Attributes& a) : kind_(kind), settings_(ConvSettings::parse(kind, a)) {
    kernel_ = a.integers(kind, "kernel_size", {});
    require(kernel_.size() == 2 && kernel_[0] > 0 && kernel_[1] > 0, kind,
            "kernel_size must be two positive numbers, got ", listed(kernel_));
  }

 protected:
  Conv2dGeometry geometry(const Shape& x) const {
    require<ShapeError>(x.rank() == 4 || (x.rank() == 3 && kernel_[0] == 1), kind_,
                        "x must be (N, C, H, W), or (N, C, L) with kernel (1, k), got ", x);
    require<ShapeError>(x[1] > 0, kind_, "x must have at least one channel, got ", x);
    const Shape weight = x.rank() == 3 ? Shape{1, x[1], kernel_[1]} : Shape{1, x[1], kernel_[0], kernel_[1]};
    return conv2d_geometry(kind_, settings_, x, weight, {});
  }
  void check(std::span<const TensorSpec> inputs) const {
    require(inputs.size() == 1, kind_, "takes 1 input, got ", inputs.size());
    require<TypeError>(inputs[0].dtype == DType::f32, kind_, "x must be float32, got ", name_of(inputs[0].dtype));
  }
  void to_columns(const Tensor& x, const Tensor& columns) const {
    const int64_t pixels = g_.h * g_.w, rows = g_.out_h * g_.out_w;
    parallel_for(g_.n, 1, rows * columns.c(), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n)
        image_to_columns(g_, x.f32() + n * pixels * x.pitch, x.pitch, {0, g_.out_h},
                         columns.f32() + n * rows * columns.pitch, columns.pitch);
    });
  }
  void to_image(const Tensor& columns, const Tensor& x) const {
    const int64_t pixels = g_.h * g_.w, rows = g_.out_h * g_.out_w;
    parallel_for(g_.n, 1, rows * columns.c(), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        float* image = x.f32() + n * pixels * x.pitch;
        for (int64_t pixel = 0; pixel < pixels; ++pixel) std::fill_n(image + pixel * x.pitch, g_.c, 0.0f);
        add_columns(g_, columns.f32() + n * rows * columns.pitch, columns.pitch, {0, g_.out_h}, image, x.pitch);
      }
    });
  }

  std::string_view kind_;
  ConvSettings settings_;
  std::vector<int64_t> kernel_;
  Conv2dGeometry g_;
};

class Im2col final : public Im2colOp {
 public:
  explicit Im2col(const Attributes& a) : Im2colOp("im2col", a) {
    a.check_known("im2col", {"kernel_size", "stride", "padding", "dilation"});
  }
  std::string_view kind() const override { return "im2col"; }
  bool backward_reads_input(int) const override { return false; }
  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check(inputs);
    g_ = geometry(inputs[0].shape);
    return {{Shape{g_.n, g_.c * g_.taps(), g_.out_h * g_.out_w}}};
  }
  void forward(const OpCall& call) const override { to_columns(call.inputs[0], call.outputs[0]); }
  void backward(const OpCall& call) const override {
    if (call.grad_inputs[0]) to_image(call.grad_outputs[0], call.grad_inputs[0]);
  }
};

class Col2im final : public Im2colOp {
 public:
  explicit Col2im(const Attributes& a) : Im2colOp("col2im", a) {
    a.check_known("col2im", {"output_size", "kernel_size", "stride", "padding", "dilation"});
    size_ = a.integers("col2im", "output_size", {});
    require(size_.size() == 2 && size_[0] > 0 && size_[1] > 0, "col2im", "output_size must be two positive numbers, got ",
            listed(size_));
  }
  std::string_view kind() const override { return "col2im"; }
  bool backward_reads_input(int) const override { return false; }
  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check(inputs);
    const Shape& cols = inputs[0].shape;
    int64_t taps = 0;
    require<ShapeError>(!__builtin_mul_overflow(kernel_[0], kernel_[1], &taps), kind_, "kernel_size is too large");
    require<ShapeError>(cols.rank() == 3 && cols[1] > 0 && cols[1] % taps == 0, kind_, "columns must be (N, C*", kernel_[0],
                        "*", kernel_[1], ", L), got ", cols);
    const Shape image{cols[0], cols[1] / taps, size_[0], size_[1]};
    g_ = geometry(image);
    require<ShapeError>(g_.out_h * g_.out_w == cols[2], kind_, "output_size ", size_[0], " x ", size_[1], " gives ",
                        g_.out_h * g_.out_w, " columns, got ", cols);
    return {{image}};
  }
  void forward(const OpCall& call) const override { to_image(call.inputs[0], call.outputs[0]); }
  void backward(const OpCall& call) const override {
    if (call.grad_inputs[0]) to_columns(call.grad_outputs[0], call.grad_inputs[0]);
  }

 private:
  std::vector<int64_t> size_;
};

}  // namespace

std::unique_ptr<Op> make_im2col(const Attributes& attributes) { return std::make_unique<Im2col>(attributes); }
std::unique_ptr<Op> make_col2im(const Attributes& attributes) { return std::make_unique<Col2im>(attributes); }

void image_to_columns(const Conv2dGeometry& g, const float* x, int64_t pitch, RowBand band, float* columns,
                      int64_t columns_pitch) {
  const int64_t channels = g.c_per_group(), taps = g.taps(), row_floats = g.out_w * columns_pitch;
  parallel_for(band.end - band.begin, 1, g.out_w * channels * taps, [&](int64_t first, int64_t last) {
    float* part = columns + first * row_floats;
    for (int64_t i = 0; i < (last - first) * g.out_w; ++i) std::fill_n(part + i * columns_pitch, channels * taps, 0.0f);
    visit_taps(g, band.begin + first, band.begin + last, [&](int64_t row, int64_t tap, int64_t pixel) {
      float* out = part + row * columns_pitch + tap;
      const float* in = x + pixel * pitch;
      for (int64_t c = 0; c < channels; ++c) out[c * taps] = in[c];
    });
  });
}

void add_columns(const Conv2dGeometry& g, const float* columns, int64_t columns_pitch, RowBand band, float* x,
                 int64_t pitch) {
  const int64_t taps = g.taps();
  // Rows of columns overlap in the image, channels do not.
  parallel_for(g.c_per_group(), 1, (band.end - band.begin) * g.out_w * taps, [&](int64_t first, int64_t last) {
    visit_taps(g, band.begin, band.end, [&](int64_t row, int64_t tap, int64_t pixel) {
      const float* in = columns + row * columns_pitch + tap;
      float* out = x + pixel * pitch;
      for (int64_t c = first; c < last; ++c) out[c] += in[c * taps];
    });
  });
}

}  // namespace convcore
