// SPDX-License-Identifier: BSD-3-Clause
// What the ops ask of their inputs before anything else.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "ops/op.h"

namespace convcore {

// Throws ValueError unless least <= inputs.size() <= most.
inline void check_count(std::string_view kind, std::span<const TensorSpec> inputs, size_t least, size_t most) {
  require(inputs.size() >= least && inputs.size() <= most, kind, "takes ", least == most ? "" : "from ", least,
          least == most ? "" : " to ", least == most ? std::string() : std::to_string(most),
          most == 1 ? " input" : " inputs", ", got ", inputs.size());
}

inline void check_dtype(std::string_view kind, std::string_view name, const TensorSpec& spec, DType wanted) {
  require<TypeError>(spec.dtype == wanted, kind, name, " must be ", name_of(wanted), ", got ", name_of(spec.dtype));
}

// An activation: float32 and (N, F), (N, C, L) or (N, C, H, W).
inline void check_activation(std::string_view kind, std::string_view name, const TensorSpec& spec) {
  check_dtype(kind, name, spec, DType::f32);
  require<ShapeError>(spec.shape.rank() >= 2 && spec.shape.rank() <= 4, kind, name,
                      " must have shape (N, F), (N, C, L) or (N, C, H, W), got ", spec.shape);
  spec.shape.size(kind);  // throws when it overflows
}

// Any float32 tensor; a scalar is (1,).
inline void check_tensor(std::string_view kind, std::string_view name, const TensorSpec& spec) {
  check_dtype(kind, name, spec, DType::f32);
  require<ShapeError>(spec.shape.rank() >= 1, kind, name, " must have at least 1 dimension");
  spec.shape.size(kind);  // throws when it overflows
}

// Optional inputs are absent when they are left out or have rank 0.
inline bool is_present(std::span<const TensorSpec> inputs, size_t i) {
  return i < inputs.size() && inputs[i].shape.rank() > 0;
}

// The tensor at `i`, or an absent one.
inline Tensor tensor_at(std::span<const Tensor> tensors, size_t i) {
  return i < tensors.size() ? tensors[i] : Tensor{};
}

}  // namespace convcore
