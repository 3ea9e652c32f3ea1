// SPDX-License-Identifier: BSD-3-Clause
// lstm: ONNX's LSTM with its default activations, for inference (Hochreiter and Schmidhuber, 1997). Step by step, with
// z = W x + R h + bias:
//   i = sigmoid(z_i + P_i c)    f = sigmoid(z_f + P_f c)    c = f c + i tanh(z_c)
//   o = sigmoid(z_o + P_o c)    h = o tanh(c)
// lstm(x, W, R, bias?, sequence_lens?, initial_h?, initial_c?, P?, recurrent_bias?) -> y, y_h, y_c
//   x          (time, batch, inputs)             y          (time, directions, batch, hidden)
//   W          (directions, 4 hidden, inputs)    y_h, y_c   (directions, batch, hidden)
//   R          (directions, 4 hidden, hidden)    initial_h, initial_c: likewise
//   bias       (directions, 8 hidden), for W and for R, or (directions, 4 hidden), as recurrent_bias is
//   P          (directions, 3 hidden): i, o, f
//   sequence_lens  (batch), integers as float32: the steps of each sequence; y is 0 behind them
// Sizes of 1 in front of parameters may be missing, and more may stand there.
//   direction = "forward" | "reverse" | "bidirectional", clip = 0 (none): a bound for z, input_forget = false: f = 1 -
//   i layout = 0; 1: x is (batch, time, inputs), y (batch, time, directions, hidden), states (batch, directions,
//   hidden) gates = "iofc"; "ifco", PyTorch's order of the rows of W, R and the biases (P is as above) first_state = 0:
//   the first of initial_h's and initial_c's that is meant, where they hold those of other layers, too
// The products with W are one for all steps. A plan for training throws: there is no gradient.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_lstm(const Attributes& attributes);

}  // namespace convcore
