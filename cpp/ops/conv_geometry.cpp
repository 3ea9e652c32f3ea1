// SPDX-License-Identifier: BSD-3-Clause
#include "ops/conv_geometry.h"

#include <algorithm>
#include <string>
#include <vector>

namespace convcore {
namespace {

// No size of a real network comes near; products of four such numbers are still checked by Shape::size().
constexpr int64_t kMaxExtent = int64_t{1} << 31;
constexpr int64_t kMaxElements = int64_t{1} << 46;

void read_list(std::string_view op, const Attributes& attributes, const char* key, int64_t* out, size_t count,
               int64_t least) {
  std::vector<int64_t> values = attributes.integers(op, key, std::vector<int64_t>(out, out + count));
  require(values.size() == count, op, key, " needs ", count, " numbers, got ", values.size());
  for (int64_t v : values)
    require(v >= least && v < kMaxExtent, op, key, " must be at least ", least, " and below 2^31, got ", v);
  std::copy(values.begin(), values.end(), out);
}

// Pads one axis for a mode; begin gets the smaller half.
void mode_padding(const std::string& mode, int64_t in, int64_t extent, int64_t stride, int64_t* begin, int64_t* end) {
  int64_t total = 0;
  if (mode == "same") total = std::max<int64_t>(((in + stride - 1) / stride - 1) * stride + extent - in, 0);
  if (mode == "full") total = 2 * (extent - 1);
  *begin = total / 2;
  *end = total - total / 2;
}

int64_t output_extent(std::string_view op, const char* axis, int64_t in, int64_t begin, int64_t end, int64_t extent,
                      int64_t stride) {
  const int64_t padded = in + begin + end;
  require<ShapeError>(extent <= padded, op, "kernel (with dilation) covers ", extent, " in ", axis,
                      " but the padded input has only ", padded);
  return (padded - extent) / stride + 1;
}

void check_ranks(std::string_view op, const Shape& x, const Shape& weight) {
  require<ShapeError>(x.rank() == 3 || x.rank() == 4, op, "x must be (N, C, H, W) or (N, C, L), got ", x);
  require<ShapeError>(weight.rank() == x.rank(), op, "weight must have the rank of x, got weight ", weight, " and x ",
                      x);
  for (int64_t d : weight) require<ShapeError>(d > 0, op, "weight must not have zero sizes, got ", weight);
  for (int i = 1; i < x.rank(); ++i)
    require<ShapeError>(x[i] > 0 && x[i] < kMaxExtent, op, "x must have positive channels and sizes, got ", x);
  x.size(op);
  weight.size(op);
}

void check_bias(std::string_view op, const Shape& bias, int64_t o) {
  if (bias.rank() == 0) return;
  require<ShapeError>(bias.rank() == 1 && bias[0] == o, op, "bias must be (", o, ",), got ", bias);
}

// Padded input, output and columns must be addressable, with room for the arithmetic of plans.
void check_volumes(std::string_view op, const Conv2dGeometry& g) {
  const auto check = [&](const char* what, std::initializer_list<int64_t> sizes) {
    int64_t total = 1;
    for (int64_t s : sizes)
      require<ShapeError>(!__builtin_mul_overflow(total, s, &total) && total <= kMaxElements, op, what,
                          " would have more than 2^46 elements");
  };
  const int64_t n = std::max<int64_t>(g.n, 1);
  check("the padded input", {n, g.c, g.h + g.pad_top + g.pad_bottom, g.w + g.pad_left + g.pad_right});
  check("the output", {n, g.o, g.out_h, g.out_w});
  check("the columns of an image", {g.out_h, g.out_w, g.c_per_group(), g.kernel_h, g.kernel_w});
}

// (N, C, L) has H = 1, and must keep it: height settings of rank-3 inputs do nothing.
void check_one_row(std::string_view op, const Shape& x, int64_t out_h) {
  require<ShapeError>(x.rank() == 4 || out_h == 1, op, "of (N, C, L) must leave the height at 1, got ", out_h,
                      " (x: ", x, "): padding, stride and output_padding of the height must be 0, 1 and 0");
}

int64_t height(const Shape& s) { return s.rank() == 4 ? s[2] : 1; }
int64_t width(const Shape& s) { return s[s.rank() - 1]; }

}  // namespace

bool Conv2dGeometry::is_pointwise() const {
  return kernel_h == 1 && kernel_w == 1 && stride_h == 1 && stride_w == 1 && !pad_top && !pad_left && !pad_bottom &&
         !pad_right;
}

bool halo_is_moderate(const Conv2dGeometry& g) {
  const auto area = [](int64_t h, int64_t w) { return static_cast<double>(h) * static_cast<double>(w); };
  const double c = static_cast<double>(g.c), o = static_cast<double>(g.o);
  const double padded = area(g.h + g.pad_top + g.pad_bottom, g.w + g.pad_left + g.pad_right) * c;
  const double data = area(g.h, g.w) * c + area(g.out_h, g.out_w) * o;  // of one image
  return padded <= 4 * data + (1 << 18);
}

ConvSettings ConvSettings::parse(std::string_view op, const Attributes& attributes) {
  ConvSettings s;
  read_list(op, attributes, "stride", s.stride, 2, 1);
  read_list(op, attributes, "dilation", s.dilation, 2, 1);
  s.groups = attributes.integer(op, "groups", 1);
  require(s.groups >= 1, op, "groups must be at least 1, got ", s.groups);
  const auto padding = attributes.items().find("padding");
  if (padding != attributes.items().end() && std::holds_alternative<std::string>(padding->second)) {
    s.padding_mode = std::get<std::string>(padding->second);
    require(s.padding_mode == "valid" || s.padding_mode == "same" || s.padding_mode == "full", op,
            "padding must be numbers, 'valid', 'same' or 'full', got '", s.padding_mode, "'");
  } else {
    read_list(op, attributes, "padding", s.padding, 4, 0);
  }
  return s;
}

int64_t window_extent(std::string_view op, int64_t kernel, int64_t dilation) {
  int64_t extent = 0;
  require<ShapeError>(!__builtin_mul_overflow(kernel - 1, dilation, &extent) && extent < kMaxExtent, op,
                      "kernel ", kernel, " with dilation ", dilation, " is too large");
  return extent + 1;
}

Shape image_shape(const Shape& like, int64_t n, int64_t c, int64_t h, int64_t w) {
  return like.rank() == 4 ? Shape{n, c, h, w} : Shape{n, c, w};
}

Conv2dGeometry conv2d_geometry(std::string_view op, const ConvSettings& s, const Shape& x, const Shape& weight,
                               const Shape& bias) {
  check_ranks(op, x, weight);
  Conv2dGeometry g;
  g.n = x[0], g.c = x[1], g.h = height(x), g.w = width(x);
  g.o = weight[0], g.kernel_h = height(weight), g.kernel_w = width(weight);
  g.stride_h = s.stride[0], g.stride_w = s.stride[1];
  g.dilation_h = s.dilation[0], g.dilation_w = s.dilation[1];
  g.groups = s.groups;
  require<ShapeError>(g.c % g.groups == 0 && g.o % g.groups == 0, op, "groups (", g.groups,
                      ") must divide input channels (", g.c, ") and output channels (", g.o, ")");
  require<ShapeError>(weight[1] == g.c_per_group(), op, "weight expects ", weight[1],
                      " input channels per group, got x with ", g.c_per_group(), " (x: ", x, ", weight: ", weight,
                      ", groups=", g.groups, ")");
  check_bias(op, bias, g.o);
  const int64_t extent_h = window_extent(op, g.kernel_h, g.dilation_h);
  const int64_t extent_w = window_extent(op, g.kernel_w, g.dilation_w);
  if (s.padding_mode.empty()) {
    g.pad_top = s.padding[0], g.pad_bottom = s.padding[1], g.pad_left = s.padding[2], g.pad_right = s.padding[3];
  } else {
    mode_padding(s.padding_mode, g.h, extent_h, g.stride_h, &g.pad_top, &g.pad_bottom);
    mode_padding(s.padding_mode, g.w, extent_w, g.stride_w, &g.pad_left, &g.pad_right);
  }
  g.out_h = output_extent(op, "height", g.h, g.pad_top, g.pad_bottom, extent_h, g.stride_h);
  g.out_w = output_extent(op, "width", g.w, g.pad_left, g.pad_right, extent_w, g.stride_w);
  check_one_row(op, x, g.out_h);
  check_volumes(op, g);
  return g;
}

Conv2dGeometry conv_transpose2d_geometry(std::string_view op, const ConvSettings& s, const int64_t (&output_padding)[2],
                                         const Shape& x, const Shape& weight, const Shape& bias) {
  check_ranks(op, x, weight);
  require(s.padding_mode.empty(), op, "padding must be numbers, got '", s.padding_mode, "'");
  Conv2dGeometry g;
  g.n = x[0], g.o = x[1], g.out_h = height(x), g.out_w = width(x);
  g.kernel_h = height(weight), g.kernel_w = width(weight);
  g.stride_h = s.stride[0], g.stride_w = s.stride[1];
  g.dilation_h = s.dilation[0], g.dilation_w = s.dilation[1];
  g.groups = s.groups;
  g.pad_top = s.padding[0], g.pad_bottom = s.padding[1], g.pad_left = s.padding[2], g.pad_right = s.padding[3];
  require<ShapeError>(weight[0] == g.o, op, "weight expects ", weight[0], " input channels, got x with ", g.o, " (x: ",
                      x, ", weight: ", weight, ")");
  require<ShapeError>(g.o % g.groups == 0, op, "groups (", g.groups, ") must divide input channels (", g.o, ")");
  require<ShapeError>(!__builtin_mul_overflow(weight[1], g.groups, &g.c), op, "too many output channels");
  check_bias(op, bias, g.c);
  const auto extent = [&](int axis, int64_t in, int64_t kernel, int64_t begin, int64_t end) {
    require(output_padding[axis] < std::max(s.stride[axis], s.dilation[axis]), op, "output_padding (",
            output_padding[axis], ") must be smaller than stride (", s.stride[axis], ") or dilation (",
            s.dilation[axis], ")");
    const int64_t window = window_extent(op, kernel, s.dilation[axis]);
    int64_t out = 0;
    require<ShapeError>(!__builtin_mul_overflow(in - 1, s.stride[axis], &out), op, "output size overflows");
    out += window + output_padding[axis] - begin - end;
    require<ShapeError>(out > 0 && out < kMaxExtent, op, "output size would be ", out, " (x: ", x, ", padding ", begin,
                        " + ", end, ")");
    return out;
  };
  g.h = extent(0, g.out_h, g.kernel_h, g.pad_top, g.pad_bottom);
  g.w = extent(1, g.out_w, g.kernel_w, g.pad_left, g.pad_right);
  check_one_row(op, x, g.h);
  check_volumes(op, g);
  return g;
}

}  // namespace convcore
