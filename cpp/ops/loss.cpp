// SPDX-License-Identifier: BSD-3-Clause
#include "ops/loss.h"

#include "ops/checks.h"

namespace convcore {

bool parse_mean(std::string_view kind, const Attributes& attributes) {
  const std::string reduction = attributes.text(kind, "reduction", "mean");
  require(reduction == "mean" || reduction == "sum", kind, "reduction must be 'mean' or 'sum', got '", reduction, "'");
  return reduction == "mean";
}

Reduction parse_reduction(std::string_view kind, const Attributes& attributes) {
  const std::string reduction = attributes.text(kind, "reduction", "mean");
  require(reduction == "mean" || reduction == "sum" || reduction == "none", kind,
          "reduction must be 'mean', 'sum' or 'none', got '", reduction, "'");
  return reduction == "mean" ? Reduction::mean : reduction == "sum" ? Reduction::sum : Reduction::none;
}

void check_labels_shape(std::string_view kind, std::string_view logits_name, const TensorSpec& logits,
                        const TensorSpec& labels) {
  check_activation(kind, logits_name, logits);
  check_label_places(kind, logits_name, logits, labels);
}

void check_label_places(std::string_view kind, std::string_view logits_name, const TensorSpec& logits,
                        const TensorSpec& labels) {
  check_dtype(kind, "labels", labels, DType::i64);
  require<ShapeError>(logits.shape[1] > 0, kind, logits_name, " must have at least one class, got ", logits.shape);
  Shape expected{logits.shape[0]};
  for (int i = 2; i < logits.shape.rank(); ++i) expected.push_back(logits.shape[i]);
  require<ShapeError>(labels.shape == expected, kind, "labels must have shape ", expected, ", got ", labels.shape, " (",
                      logits_name, ": ", logits.shape, ")");
}

void check_class_weights(std::string_view kind, const TensorSpec& weight, int64_t classes) {
  check_dtype(kind, "weight", weight, DType::f32);
  require<ShapeError>(weight.shape == Shape{classes}, kind, "weight must have one entry per class, shape ",
                      Shape{classes}, ", got ", weight.shape);
}

void check_labels(std::string_view kind, const Tensor& labels, int64_t classes, const int64_t* ignored) {
  const int64_t count = labels.shape.size();
  for (int64_t i = 0; i < count; ++i) {
    const int64_t label = labels.i64()[i];
    if ((label >= 0 && label < classes) || (ignored && label == *ignored)) [[likely]]
      continue;
    throw ValueError(message(kind, "label ", label, " at index ", i, " is outside [0, ", classes, ")"));
  }
}

void refuse_gradients(std::string_view kind, const OpCall& call, size_t first) {
  for (size_t i = first; i < call.grad_inputs.size(); ++i)
    require(!call.grad_inputs[i], kind, "input ", i, " has no gradient");
}

}  // namespace convcore
