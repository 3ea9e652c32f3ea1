// SPDX-License-Identifier: BSD-3-Clause
// An activation of random numbers as ops are given it: channels-last, its pixels `slack` floats further apart than
// needed, its last channel next to a guard page.
#pragma once

#include <random>

#include "base/tensor.h"
#include "guard.h"

namespace convcore::testing {

struct Image {
  Image(const Shape& shape, int64_t slack, std::mt19937& random)
      : memory(static_cast<size_t>(Tensor{nullptr, shape, DType::f32, 0}.pixels() * (shape[1] + slack) - slack)),
        tensor{memory.data(), shape, DType::f32, shape[1] + slack} {
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (size_t i = 0; i < memory.size(); ++i) memory[i] = uniform(random);
  }
  float& at(int64_t n, int64_t h, int64_t w, int64_t c) const {
    return tensor.f32()[((n * tensor.h() + h) * tensor.w() + w) * tensor.pitch + c];
  }
  // 0 outside.
  float padded(int64_t n, int64_t h, int64_t w, int64_t c) const {
    return h >= 0 && h < tensor.h() && w >= 0 && w < tensor.w() ? at(n, h, w, c) : 0.0f;
  }
  Guarded<float> memory;
  Tensor tensor;
};

}  // namespace convcore::testing
