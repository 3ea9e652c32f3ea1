// SPDX-License-Identifier: BSD-3-Clause
// One time step of an LSTM, behind its matrix products. Pointers and sizes only; see table.h.
#pragma once

#include <cstdint>

namespace convcore {

// The four gates of one sequence, each of `hidden` floats. Which of them stands where in a row is the caller's.
struct LstmGates {
  const float *input, *output, *forget, *cell;
};

struct LstmArgs {
  int64_t hidden;
  LstmGates bias, peephole;  // null pointers: zeros; the cell gate has no peephole
  float clip;                // of what the gates' activations are given; infinity for none
  bool input_forget;         // forget = 1 - input
};

struct RecurrentKernels {
  // With z = x + h + bias:  i = sigmoid(z_i + P_i c), f = sigmoid(z_f + P_f c), g = tanh(z_c); c = f c + i g;
  // o = sigmoid(z_o + P_o c); h = o tanh(c). c is updated, h written.
  void (*lstm_step)(const LstmArgs& args, const LstmGates& x, const LstmGates& recurrent, float* c, float* h);
};

}  // namespace convcore
