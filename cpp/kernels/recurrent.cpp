// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/recurrent.h"

#include "simd/loop.h"
#include "simd/math.h"

namespace convcore::CONVCORE_ISA {
namespace {

void lstm_step(const LstmArgs& args, const LstmGates& x, const LstmGates& recurrent, float* c, float* h) {
  const Vec high = set1(args.clip), low = negate(high), one = set1(1.0f);
  for_row(args.hidden, [&](int64_t j, auto part) CC_LAMBDA {
    // The sum for one gate, with the cell's share if it has a peephole.
    const auto gate = [&](const float* LstmGates::*name, Vec cell) CC_LAMBDA {
      Vec z = add(load(x.*name + j, part), load(recurrent.*name + j, part));
      if (args.bias.*name) z = add(z, load(args.bias.*name + j, part));
      if (args.peephole.*name) z = fma(load(args.peephole.*name + j, part), cell, z);
      return min(high, max(low, z));  // NaN, as second operand, passes
    };
    const Vec before = load(c + j, part);
    const Vec i = sigmoid(gate(&LstmGates::input, before));
    const Vec f = args.input_forget ? sub(one, i) : sigmoid(gate(&LstmGates::forget, before));
    const Vec now = fma(f, before, mul(i, tanh(gate(&LstmGates::cell, zero()))));
    const Vec o = sigmoid(gate(&LstmGates::output, now));
    store(c + j, now, part);
    store(h + j, mul(o, tanh(now)), part);
  });
}

}  // namespace

RecurrentKernels recurrent_kernels() { return {lstm_step}; }

}  // namespace convcore::CONVCORE_ISA
