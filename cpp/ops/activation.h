// SPDX-License-Identifier: BSD-3-Clause
// Functions of one variable: one input x of any rank, one output of its shape. Formulas of both passes:
// kernels/activation.cpp and unary.cpp. Backward of relu, relu6, sigmoid, tanh, exp, sqrt, reciprocal, of leaky_relu
// with a slope >= 0, of neg and of steps reads the output alone.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "kernels/elementwise.h"
#include "kernels/norm.h"
#include "ops/op.h"

namespace convcore {

// One of these ops as a part of another's work.
struct ActivationFunction {
  Activation function;
  Coefficients coefficients;

  const ActivationKernels& kernels() const;
};
// Nothing if the op is no function of one variable. Throws ValueError for a wrong setting.
std::optional<ActivationFunction> activation_function(std::string_view kind, const Attributes& attributes);
// That of the attribute "activation" of the op `who`, with its settings as "activation.alpha" and so on; nothing for
// "none". Throws ValueError for what is no function.
std::optional<ActivationFunction> activation_of(std::string_view who, const Attributes& attributes);
// The attribute `key` as what a normalisation ends in: "none", the default, "relu" or "relu6". Throws ValueError.
NormActivation norm_activation(std::string_view who, const std::string& key, const Attributes& attributes);

std::unique_ptr<Op> make_relu(const Attributes&);        // max(0, x)
std::unique_ptr<Op> make_relu6(const Attributes&);       // min(6, max(0, x))
std::unique_ptr<Op> make_leaky_relu(const Attributes&);  // x where x > 0, else negative_slope x; negative_slope = 0.01
std::unique_ptr<Op> make_sigmoid(const Attributes&);     // 1 / (1 + e^-x)
std::unique_ptr<Op> make_tanh(const Attributes&);
std::unique_ptr<Op> make_silu(const Attributes&);         // x sigmoid(x)
std::unique_ptr<Op> make_gelu(const Attributes&);         // x Phi(x); approximate = "none" | "tanh"
std::unique_ptr<Op> make_hardswish(const Attributes&);    // x relu6(x + 3) / 6
std::unique_ptr<Op> make_hardsigmoid(const Attributes&);  // min(1, max(0, alpha x + beta)); alpha = 1/6, beta = 1/2
std::unique_ptr<Op> make_elu(const Attributes&);          // x where x > 0, else alpha (e^x - 1); alpha = 1
std::unique_ptr<Op> make_selu(const Attributes&);         // gamma elu(x), with the paper's alpha and gamma
std::unique_ptr<Op> make_celu(const Attributes&);         // x where x > 0, else alpha (e^(x / alpha) - 1); alpha = 1
std::unique_ptr<Op> make_mish(const Attributes&);         // x tanh ln(1 + e^x)
std::unique_ptr<Op> make_softplus(const Attributes&);     // ln(1 + e^(beta x)) / beta; x where beta x > threshold
std::unique_ptr<Op> make_softsign(const Attributes&);     // x / (1 + |x|)
std::unique_ptr<Op> make_threshold(const Attributes&);    // x where x > threshold, else value; both 0

std::unique_ptr<Op> make_erf(const Attributes&);
std::unique_ptr<Op> make_exp(const Attributes&);
std::unique_ptr<Op> make_log(const Attributes&);
std::unique_ptr<Op> make_sqrt(const Attributes&);
std::unique_ptr<Op> make_abs(const Attributes&);
std::unique_ptr<Op> make_neg(const Attributes&);
std::unique_ptr<Op> make_reciprocal(const Attributes&);
std::unique_ptr<Op> make_floor(const Attributes&);  // steps: their gradient is 0
std::unique_ptr<Op> make_ceil(const Attributes&);
std::unique_ptr<Op> make_round(const Attributes&);  // half to even
std::unique_ptr<Op> make_sign(const Attributes&);
std::unique_ptr<Op> make_clamp(const Attributes&);        // min(max, max(min, x)); either may be left out
std::unique_ptr<Op> make_logical_not(const Attributes&);  // 1 where x is 0, else 0; no gradient

}  // namespace convcore
