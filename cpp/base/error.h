// SPDX-License-Identifier: BSD-3-Clause
// Errors that reach the user. Each message begins with the op or layer and states the rule and what it got:
//   conv2d: weight expects 3 input channels per group, got x with 4 (x: (1, 4, 32, 32), ...)
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace convcore {

// Bad value; becomes Python's ValueError.
class ValueError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// Bad shape; becomes convcore.ShapeError, a ValueError.
class ShapeError : public ValueError {
 public:
  using ValueError::ValueError;
};

// Bad type or dtype; becomes Python's TypeError.
class TypeError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

template <class... Parts>
std::string message(std::string_view who, const Parts&... parts) {
  std::ostringstream out;
  out << who << ": ";
  (out << ... << parts);
  return out.str();
}

// require<ShapeError>(kernel > 0, "conv2d", "kernel size must be positive, got ", kernel);
template <class E = ValueError, class... Parts>
void require(bool ok, std::string_view who, const Parts&... parts) {
  if (!ok) [[unlikely]]
    throw E(message(who, parts...));
}

}  // namespace convcore
