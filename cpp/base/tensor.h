// SPDX-License-Identifier: BSD-3-Clause
// Shapes and tensors: what every op takes and gives.
//
// Shapes are PyTorch's: (N, C, H, W), (N, C, L), (N, F). Memory comes in two kinds:
//  * an *activation* is channels-last: N, H, W, C with C fastest, `pitch` floats from one pixel to the next
//    (pitch == C unless the tensor is a channel slice of a wider one). Rank 3 has H = 1; rank 2 has H = W = 1. Rank 1 is
//    pixels of one channel. Ranks 5 and 6 are row-major: their last dimension is C, a pixel is all others.
//  * a *dense* tensor (parameters, labels, statistics) is row-major in its shape.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <string>
#include <string_view>

#include "base/error.h"

namespace convcore {

inline constexpr int kMaxRank = 6;

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) { for (int64_t d : dims) push_back(d); }

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i]; }
  int64_t& operator[](int i) { return dims_[i]; }
  void push_back(int64_t d) {
    require<ShapeError>(rank_ < kMaxRank, "shape", "at most ", kMaxRank, " dimensions are supported");
    dims_[rank_++] = d;
  }
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  // Number of elements; 1 for a scalar. Throws ShapeError, beginning with `who`, for a negative dimension or when the
  // size in bytes overflows 64 bits.
  int64_t size(std::string_view who = "shape") const;
  bool operator==(const Shape& other) const;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);  // (1, 3, 32, 32)

// Channels and pixels of a shape seen as an activation; a scalar is one pixel of one channel.
int64_t channels_of(const Shape& shape);
int64_t pixels_of(const Shape& shape);

enum class DType : uint8_t { f32, u8, i64 };

constexpr int64_t size_of(DType t) { return t == DType::f32 ? 4 : t == DType::u8 ? 1 : 8; }
const char* name_of(DType t);

struct TensorSpec {
  Shape shape;
  DType dtype = DType::f32;
  bool operator==(const TensorSpec&) const = default;
};

// A view; owns nothing. data == nullptr means absent (an optional input, a gradient that is not wanted).
struct Tensor {
  void* data = nullptr;
  Shape shape;
  DType dtype = DType::f32;
  int64_t pitch = 0;  // activations only: elements from one pixel to the next

  // As an image batch, whatever the rank: (N, C, L) has h = 1; (N, F), and ranks 5 and 6, have h = w = 1.
  int64_t n() const { return shape.rank() > 4 ? pixels_of(shape) : shape[0]; }
  int64_t c() const { return channels_of(shape); }
  int64_t h() const { return shape.rank() == 4 ? shape[2] : 1; }
  int64_t w() const { return shape.rank() == 4 ? shape[3] : shape.rank() == 3 ? shape[2] : 1; }
  int64_t pixels() const { return n() * h() * w(); }
  bool packed() const { return pitch == c(); }  // no gaps between pixels: n*h*w*c elements in a row

  float* f32() const { return static_cast<float*>(data); }
  uint8_t* u8() const { return static_cast<uint8_t*>(data); }
  int64_t* i64() const { return static_cast<int64_t*>(data); }
  explicit operator bool() const { return data != nullptr; }
};

using Strides = std::array<int64_t, kMaxRank>;

// Elements from one index to the next in each dimension of an activation.
Strides strides_of(const Tensor& activation);
// The same of a dense tensor.
Strides row_major(const Shape& shape);

}  // namespace convcore
