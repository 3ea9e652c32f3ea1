// SPDX-License-Identifier: BSD-3-Clause
// What the inputs of each op are called and used for, where Python's arrays alone do not tell.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace convcore::bindings {

enum class Role {
  tensor,    // float32, differentiable where the op is
  constant,  // float32, without gradient
  labels,    // int64
  image,     // uint8 is kept, all else becomes float32
  state,     // float32, updated in place by training
};

struct InputRole {
  std::string name;
  Role role;
};

InputRole role_of(std::string_view kind, size_t input);

}  // namespace convcore::bindings
