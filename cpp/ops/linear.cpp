// SPDX-License-Identifier: BSD-3-Clause
#include "ops/linear.h"

#include "ops/convolution_op.h"

namespace convcore {
namespace {

class Linear final : public ConvolutionOp {
 public:
  explicit Linear(const Attributes& a) : ConvolutionOp("linear", Pass::forward, a, "direct") {
    a.check_known("linear", {"activation", "batch_norm_eps", "statistics", "cold_weights"});
  }

 private:
  Conv2dGeometry geometry(const Shape& x, const Shape& weight, const Shape& bias, Shape* output) const override {
    require<ShapeError>(x.rank() == 2, "linear", "x must be (N, features), got ", x);
    require<ShapeError>(weight.rank() == 2 && weight[0] > 0 && weight[1] > 0, "linear",
                        "weight must be (out features, in features), got ", weight);
    require<ShapeError>(x[1] == weight[1], "linear", "weight expects ", weight[1], " input features, got x with ", x[1],
                        " (x: ", x, ", weight: ", weight, ")");
    require<ShapeError>(bias.rank() == 0 || bias == Shape{weight[0]}, "linear", "bias must be (", weight[0], ",), got ",
                        bias);
    *output = {x[0], weight[0]};
    x.size("linear"), weight.size("linear"), output->size("linear");
    Conv2dGeometry g;
    g.n = x[0], g.c = x[1], g.o = weight[0];
    return g;
  }
};

}  // namespace

std::unique_ptr<Op> make_linear(const Attributes& attributes) { return std::make_unique<Linear>(attributes); }

}  // namespace convcore
