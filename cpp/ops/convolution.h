// SPDX-License-Identifier: BSD-3-Clause
// Plan, then run: the algorithms of each pass of a convolution stand in a list, best first, always-correct last.
#pragma once

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "ops/conv_geometry.h"

namespace convcore {

enum class Pass { forward, backward_input, backward_weight };

// What happens to an output before it is stored: clamp(sum + bias, lower, upper). (0, inf) is ReLU, (0, 6) ReLU6.
struct Epilogue {
  const float* bias = nullptr;  // one per output channel, or null
  float lower = -std::numeric_limits<float>::infinity(), upper = std::numeric_limits<float>::infinity();

  bool clamps() const { return lower > -std::numeric_limits<float>::infinity() || upper < std::numeric_limits<float>::infinity(); }
};

// A NaN stays a NaN.
inline float clamp(float value, const Epilogue& e) {
  return value < e.lower ? e.lower : value > e.upper ? e.upper : value;
}

// Forward (in = x, out = y) or backward-input (in = dy, out = dx), planned: run() allocates nothing.
class ConvMap {
 public:
  virtual ~ConvMap() = default;
  virtual size_t packed_bytes() const = 0;     // rearranged weights
  virtual size_t workspace_bytes() const = 0;
  virtual void pack(const float* weight, std::byte* packed) const = 0;  // weight: (O, C/groups, kH, kW), dense
  // in and out may have any pitch and must not overlap.
  virtual void run(const Tensor& in, const std::byte* packed, const Epilogue& epilogue, const Tensor& out,
                   std::byte* workspace) const = 0;
};

// Backward-weight, planned. dw: (O, C/groups, kH, kW) dense, overwritten.
class ConvReduce {
 public:
  virtual ~ConvReduce() = default;
  virtual size_t workspace_bytes() const = 0;
  virtual void run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const = 0;
};

struct ConvAlgorithm {
  const char* name;
  bool (*accepts)(const Conv2dGeometry& g, Pass pass);
  std::unique_ptr<ConvMap> (*map)(const Conv2dGeometry& g, Pass pass);
  std::unique_ptr<ConvReduce> (*reduce)(const Conv2dGeometry& g);
};

const std::vector<ConvAlgorithm>& conv_algorithms();  // best first
// The first that accepts, or the one that is named ("auto": any). Throws ValueError if there is none.
const ConvAlgorithm& choose_algorithm(std::string_view op, const Conv2dGeometry& g, Pass pass,
                                      const std::string& wanted);

// db[o] = sum over n, oh, ow of dy[n][o][oh][ow], in a fixed order. workspace: bias_gradient_bytes(dy's channels).
size_t bias_gradient_bytes(int64_t channels);
void bias_gradient(const Tensor& dy, float* db, std::byte* workspace);

}  // namespace convcore
