// SPDX-License-Identifier: BSD-3-Clause
// Activations: one input x of rank 2 to 4, one output of its shape. Formulas of both passes: kernels/activation.cpp.
// relu, relu6, sigmoid, tanh, and leaky_relu with a slope >= 0, compute backward from their output alone.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_relu(const Attributes&);        // max(0, x)
std::unique_ptr<Op> make_relu6(const Attributes&);       // min(6, max(0, x))
std::unique_ptr<Op> make_leaky_relu(const Attributes&);  // x where x > 0, else negative_slope x; negative_slope = 0.01
std::unique_ptr<Op> make_sigmoid(const Attributes&);     // 1 / (1 + e^-x)
std::unique_ptr<Op> make_tanh(const Attributes&);
std::unique_ptr<Op> make_silu(const Attributes&);        // x sigmoid(x)
std::unique_ptr<Op> make_gelu(const Attributes&);        // x Phi(x); approximate = "none" | "tanh"
std::unique_ptr<Op> make_hardswish(const Attributes&);   // x relu6(x + 3) / 6

}  // namespace convcore
