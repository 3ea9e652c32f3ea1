// SPDX-License-Identifier: BSD-3-Clause
// An op's settings by name, as Python, ONNX and model files give them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"

namespace convcore {

using Attribute = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>>;

std::string listed(const std::vector<int64_t>& values);  // "[1, 2]", for errors

// Getters take the op's name for their errors; a missing key gives the fallback, a wrong type throws TypeError.
class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<const std::string, Attribute>> items) : items_(items) {}

  void set(const std::string& key, Attribute value) { items_[key] = std::move(value); }
  const std::map<std::string, Attribute, std::less<>>& items() const { return items_; }
  bool has(std::string_view key) const { return items_.find(key) != items_.end(); }

  bool flag(std::string_view op, std::string_view key, bool fallback) const;
  int64_t integer(std::string_view op, std::string_view key, int64_t fallback) const;
  double number(std::string_view op, std::string_view key, double fallback) const;  // an integer will do
  std::string text(std::string_view op, std::string_view key, std::string_view fallback) const;
  std::vector<int64_t> integers(std::string_view op, std::string_view key, std::vector<int64_t> fallback) const;
  std::vector<double> numbers(std::string_view op, std::string_view key, std::vector<double> fallback) const;
  // Throws ValueError when a key is not in `known`: a misspelt setting is an error, never ignored. A key with a dot
  // belongs to the one before it: "activation.alpha" to "activation".
  void check_known(std::string_view op, std::initializer_list<std::string_view> known) const;

 private:
  std::map<std::string, Attribute, std::less<>> items_;
};

}  // namespace convcore
