// SPDX-License-Identifier: BSD-3-Clause
#include "ops/linear.h"

#include "ops/convolution_op.h"

namespace convcore {
namespace {

class Linear final : public ConvolutionOp {
 public:
  explicit Linear(const Attributes& a)
      : ConvolutionOp("linear", is_transposed(a) ? Pass::backward_input : Pass::forward, a, "direct"),
        transposed_(is_transposed(a)) {
    a.check_known("linear", {"activation", "batch_norm_eps", "statistics", "cold_weights", "transposed"});
  }

 private:
  static bool is_transposed(const Attributes& a) { return a.flag("linear", "transposed", false); }

  Conv2dGeometry geometry(const Shape& x, const Shape& weight, const Shape& bias, Shape* output) const override {
    require<ShapeError>(x.rank() == 2, "linear", "x must be (N, features), got ", x);
    require<ShapeError>(weight.rank() == 2 && weight[0] > 0 && weight[1] > 0, "linear", "weight must be ",
                        transposed_ ? "(in features, out features)" : "(out features, in features)", ", got ", weight);
    const int64_t in = weight[transposed_ ? 0 : 1], out = weight[transposed_ ? 1 : 0];
    require<ShapeError>(x[1] == in, "linear", "weight expects ", in, " input features, got x with ", x[1], " (x: ", x,
                        ", weight: ", weight, ")");
    require<ShapeError>(bias.rank() == 0 || bias == Shape{out}, "linear", "bias must be (", out, ",), got ", bias);
    *output = {x[0], out};
    x.size("linear"), weight.size("linear"), output->size("linear");
    Conv2dGeometry g;  // transposed: of the convolution whose backward-input this is
    g.n = x[0], g.c = transposed_ ? out : in, g.o = transposed_ ? in : out;
    return g;
  }

  bool transposed_;
};

}  // namespace

std::unique_ptr<Op> make_linear(const Attributes& attributes) { return std::make_unique<Linear>(attributes); }

}  // namespace convcore
