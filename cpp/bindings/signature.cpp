// SPDX-License-Identifier: BSD-3-Clause
#include "bindings/signature.h"

#include <algorithm>
#include <array>

namespace convcore::bindings {
namespace {

struct Entry {
  std::string_view name;
  Role role = Role::tensor;
};

struct Signature {
  std::string_view kind;
  std::array<Entry, 9> inputs;
};

constexpr Entry kX{"x"}, kWeight{"weight"}, kBias{"bias"}, kTarget{"target"};
constexpr Entry kLabels{"labels", Role::labels}, kClassWeight{"weight", Role::constant};

constexpr Signature kSignatures[] = {
    {"conv2d", {kX, kWeight, kBias}},
    {"conv_transpose2d", {kX, kWeight, kBias}},
    {"linear", {kX, kWeight, kBias}},
    {"col2im", {Entry{"cols"}}},
    {"batch_norm",
     {kX, kWeight, kBias, Entry{"running_mean", Role::state}, Entry{"running_var", Role::state}, Entry{"residual"},
      Entry{"statistics", Role::constant}}},
    {"layer_norm", {kX, kWeight, kBias}},
    {"group_norm", {kX, kWeight, kBias}},
    {"instance_norm", {kX, kWeight, kBias}},
    {"lstm",
     {kX, Entry{"W"}, Entry{"R"}, kBias, Entry{"sequence_lens"}, Entry{"initial_h"}, Entry{"initial_c"}, Entry{"P"},
      Entry{"recurrent_bias"}}},
    {"normalize", {Entry{"x", Role::image}}},
    {"cross_entropy", {Entry{"logits"}, kLabels, kClassWeight}},
    {"nll_loss", {kX, kLabels, kClassWeight}},
    {"gather", {kX, Entry{"indices", Role::labels}}},
    {"max_unpool2d", {kX, Entry{"indices", Role::labels}}},
    {"correct_count", {Entry{"logits"}, kLabels}},
    {"hinge_loss", {Entry{"scores"}, kLabels}},
    {"multi_margin_loss", {Entry{"scores"}, kLabels, kClassWeight}},
    {"mse_loss", {kX, kTarget}},
    {"l1_loss", {kX, kTarget}},
    {"huber_loss", {kX, kTarget}},
    {"bce_with_logits", {kX, kTarget, Entry{"pos_weight", Role::constant}}},
    {"where", {Entry{"condition"}, Entry{"a"}, Entry{"b"}}},
};

// Functions of a and b.
constexpr std::string_view kPairs[] = {"add",         "subtract",   "multiply",    "divide",  "power",
                                       "minimum",     "maximum",    "remainder",   "fmod",    "prelu",
                                       "equal",       "less",       "less_equal",  "greater", "greater_equal",
                                       "logical_and", "logical_or", "logical_xor", "matmul"};

}  // namespace

InputRole role_of(std::string_view kind, size_t input) {
  if (input < 2 && std::find(std::begin(kPairs), std::end(kPairs), kind) != std::end(kPairs))
    return {input == 0 ? "a" : "b", Role::tensor};
  const auto* found =
      std::find_if(std::begin(kSignatures), std::end(kSignatures), [&](const Signature& s) { return s.kind == kind; });
  if (found != std::end(kSignatures) && input < found->inputs.size() && !found->inputs[input].name.empty())
    return {std::string(found->inputs[input].name), found->inputs[input].role};
  return {input == 0 && kind != "concat" ? "x" : "input " + std::to_string(input), Role::tensor};
}

}  // namespace convcore::bindings
