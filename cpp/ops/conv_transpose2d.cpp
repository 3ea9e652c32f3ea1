// SPDX-License-Identifier: BSD-3-Clause
#include "ops/conv_transpose2d.h"

#include "ops/convolution_op.h"

namespace convcore {
namespace {

constexpr const char* kKind = "conv_transpose2d";

class ConvTranspose2d final : public ConvolutionOp {
 public:
  explicit ConvTranspose2d(const Attributes& a)
      : ConvolutionOp(kKind, Pass::backward_input, a, a.text(kKind, "algorithm", "auto")),
        settings_(ConvSettings::parse(kKind, a)) {
    a.check_known(kKind, {"stride", "padding", "output_padding", "dilation", "groups", "algorithm", "activation",
                          "batch_norm_eps", "statistics", "cold_weights"});
    const std::vector<int64_t> extra = a.integers(kKind, "output_padding", {0, 0});
    require(extra.size() == 2 && extra[0] >= 0 && extra[1] >= 0, kKind, "output_padding must be two numbers >= 0, got ",
            listed(extra));
    output_padding_[0] = extra[0], output_padding_[1] = extra[1];
  }

 private:
  Conv2dGeometry geometry(const Shape& x, const Shape& weight, const Shape& bias, Shape* output) const override {
    const Conv2dGeometry g = conv_transpose2d_geometry(kKind, settings_, output_padding_, x, weight, bias);
    *output = image_shape(x, g.n, g.c, g.h, g.w);
    return g;
  }

  ConvSettings settings_;
  int64_t output_padding_[2] = {0, 0};
};

}  // namespace

std::unique_ptr<Op> make_conv_transpose2d(const Attributes& attributes) {
  return std::make_unique<ConvTranspose2d>(attributes);
}

}  // namespace convcore
