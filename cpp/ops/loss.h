// SPDX-License-Identifier: BSD-3-Clause
// What the losses share: how they reduce, and their labels. A loss is a scalar of shape (), unless it is not reduced; sums are kept in double.
#pragma once

#include <string_view>

#include "base/tensor.h"
#include "ops/op.h"

namespace convcore {

// Attribute "reduction": true for "mean" (the default), false for "sum"; ValueError for anything else.
bool parse_mean(std::string_view kind, const Attributes& attributes);

// The same, and "none": each label's own loss, in the labels' shape.
enum class Reduction { mean, sum, none };
Reduction parse_reduction(std::string_view kind, const Attributes& attributes);

// One int64 label per row of logits (N, C), or per pixel of (N, C, L) and (N, C, H, W): shape (N), (N, L), (N, H, W).
// Throws TypeError and ShapeError; C must be at least 1.
void check_labels_shape(std::string_view kind, std::string_view logits_name, const TensorSpec& logits,
                        const TensorSpec& labels);

// The same for logits that are known to be a tensor (N, C, ...) of any rank.
void check_label_places(std::string_view kind, std::string_view logits_name, const TensorSpec& logits,
                        const TensorSpec& labels);

// Class weights: float32, shape (C).
void check_class_weights(std::string_view kind, const TensorSpec& weight, int64_t classes);

// Throws ValueError for a label outside [0, classes). Labels equal to *ignored, if given, are allowed.
void check_labels(std::string_view kind, const Tensor& labels, int64_t classes, const int64_t* ignored = nullptr);

// Throws ValueError if the gradient of any input from `first` on is wanted.
void refuse_gradients(std::string_view kind, const OpCall& call, size_t first);

}  // namespace convcore
