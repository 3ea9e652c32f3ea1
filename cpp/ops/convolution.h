// SPDX-License-Identifier: BSD-3-Clause
// Plan, then run: the algorithms of each pass of a convolution stand in a list, best first, always-correct last.
#pragma once

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "kernels/elementwise.h"
#include "kernels/norm.h"
#include "ops/conv_geometry.h"

namespace convcore {

enum class Pass { forward, backward_input, backward_weight };

// A function of what was stored, applied while that is in the cache.
struct Finish {
  void (*function)(int64_t rows, int64_t columns, ConstRows x, Rows y, Coefficients coefficients) = nullptr;
  Coefficients coefficients{};

  explicit operator bool() const { return function != nullptr; }
  void operator()(float* y, int64_t pitch, int64_t rows, int64_t columns) const {
    function(rows, columns, {y, pitch}, {y, pitch}, coefficients);
  }
};

// What happens to an output before it is stored: clamp(sum + bias + residual, lower, upper). (0, inf) is ReLU, (0, 6)
// ReLU6.
struct Epilogue {
  const float* bias = nullptr;      // one per output channel, or null
  const float* residual = nullptr;  // of out's shape, `residual_pitch` floats from pixel to pixel, or null. It may be
  int64_t residual_pitch = 0;       // out's own memory (results are then added to it), and overlaps it no other way
  float lower = -std::numeric_limits<float>::infinity(), upper = std::numeric_limits<float>::infinity();
  // Where a map with statistic_parts() > 0 leaves the moments of what it stored: of part i, each channel's mean at
  // statistics + 2 * i * channels, and behind these each channel's sum of (y - mean)^2. Or null.
  float* statistics = nullptr;
  Finish finish{};  // inference only, and for maps with finishes()

  bool clamps() const {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    return lower > -kInfinity || upper < kInfinity;
  }
  const float* residual_at(int64_t pixel) const { return residual ? residual + pixel * residual_pitch : nullptr; }
};

// A NaN stays a NaN.
inline float clamp(float value, const Epilogue& e) {
  return value < e.lower ? e.lower : value > e.upper ? e.upper : value;
}
// Channel c of a pixel; residual: that pixel's, or null.
inline float finished(float sum, int64_t c, const float* residual, const Epilogue& e) {
  return clamp(sum + (e.bias ? e.bias[c] : 0.0f) + (residual ? residual[c] : 0.0f), e);
}

// What happens to an input before it is convolved, for maps with prepares(): activation((x - mean) * scale + shift).
struct Prologue {
  NormCoefficients k{};     // one per input channel; scale null: nothing happens
  int64_t image_pitch = 0;  // floats of `scale` from image to image
  NormActivation activation = NormActivation::none;
};

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
  // pack() and run() for weights that are used once; it may pack a part at a time, where the part is used.
  virtual size_t once_bytes() const;
  virtual void run_once(const Tensor& in, const float* weight, const Epilogue& epilogue, const Tensor& out,
                        std::byte* workspace) const;
  // Parts of the output, cut by the shape alone, whose moments run() can gather while they are in cache; 0: it cannot.
  virtual int64_t statistic_parts() const { return 0; }
  virtual int64_t statistic_pixels(int64_t /*part*/) const { return 0; }  // pixels of a part
  virtual bool finishes() const { return false; }                         // run() knows Epilogue::finish
  virtual bool prepares() const { return false; }  // run_prepared() is there, for geometries that say `prepared`
  virtual void run_prepared(const Prologue& prologue, const Tensor& in, const std::byte* packed,
                            const Epilogue& epilogue, const Tensor& out, std::byte* workspace) const;
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
  bool (*accepts)(const Conv2dGeometry& g, Pass pass);  // it can
  bool (*pays)(const Conv2dGeometry& g, Pass pass);     // ... and a model says that it is faster than those below
  std::unique_ptr<ConvMap> (*map)(const Conv2dGeometry& g, Pass pass);
  std::unique_ptr<ConvReduce> (*reduce)(const Conv2dGeometry& g);
};

const std::vector<ConvAlgorithm>& conv_algorithms();  // best first
// The first that accepts and pays ("auto"), the same without Winograd ("exact"), or the one that is named. Throws
// ValueError if there is none.
const ConvAlgorithm& choose_algorithm(std::string_view op, const Conv2dGeometry& g, Pass pass,
                                      const std::string& wanted);

// Of the whole process: false makes "auto" mean "exact" for whatever is planned from now on.
void set_winograd(bool enabled);
bool get_winograd();

// db[o] = sum over n, oh, ow of dy[n][o][oh][ow], in a fixed order. workspace: bias_gradient_bytes(dy's channels).
size_t bias_gradient_bytes(int64_t channels);
void bias_gradient(const Tensor& dy, float* db, std::byte* workspace);
// The same where y = f(...), f relu or relu6: first, and in the same pass, dy = dy f'. db may be null.
void activation_gradient(Activation f, const Tensor& y, const Tensor& dy, float* db, std::byte* workspace);

}  // namespace convcore
