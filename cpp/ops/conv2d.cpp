// SPDX-License-Identifier: BSD-3-Clause
#include "ops/conv2d.h"

#include "ops/convolution_op.h"

namespace convcore {
namespace {

class Conv2d final : public ConvolutionOp {
 public:
  explicit Conv2d(const Attributes& a)
      : ConvolutionOp("conv2d", Pass::forward, a, a.text("conv2d", "algorithm", "auto")),
        settings_(ConvSettings::parse("conv2d", a)) {
    a.check_known("conv2d", {"stride", "padding", "dilation", "groups", "algorithm", "activation", "batch_norm_eps",
                             "statistics", "cold_weights", "input_activation"});
  }

 private:
  Conv2dGeometry geometry(const Shape& x, const Shape& weight, const Shape& bias, Shape* output) const override {
    const Conv2dGeometry g = conv2d_geometry("conv2d", settings_, x, weight, bias);
    *output = image_shape(x, g.n, g.o, g.out_h, g.out_w);
    return g;
  }

  ConvSettings settings_;
};

}  // namespace

std::unique_ptr<Op> make_conv2d(const Attributes& attributes) { return std::make_unique<Conv2d>(attributes); }

std::map<std::string, std::vector<std::string>> conv_algorithms(const Attributes& attributes, const Shape& x,
                                                                const Shape& weight) {
  const Conv2dGeometry g = conv2d_geometry("conv2d", ConvSettings::parse("conv2d", attributes), x, weight, {});
  const std::pair<const char*, Pass> passes[] = {
      {"forward", Pass::forward}, {"backward_input", Pass::backward_input}, {"backward_weight", Pass::backward_weight}};
  std::map<std::string, std::vector<std::string>> names;
  for (auto [name, pass] : passes)
    for (const ConvAlgorithm& a : conv_algorithms())
      if (a.accepts(g, pass)) names[name].push_back(a.name);
  return names;
}

}  // namespace convcore
