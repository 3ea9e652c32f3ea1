// SPDX-License-Identifier: BSD-3-Clause
#include "ops/attributes.h"

#include <algorithm>
#include <sstream>

namespace convcore {
namespace {

constexpr const char* kTypeNames[] = {"a bool",   "an integer",         "a number",
                                      "a string", "a list of integers", "a list of numbers"};

[[noreturn]] void wrong_type(std::string_view op, std::string_view key, const char* wanted, const Attribute& got) {
  throw TypeError(message(op, key, " must be ", wanted, ", got ", kTypeNames[got.index()]));
}

const Attribute* find(const std::map<std::string, Attribute, std::less<>>& items, std::string_view key) {
  const auto it = items.find(key);
  return it == items.end() ? nullptr : &it->second;
}

template <class T>
T get(const std::map<std::string, Attribute, std::less<>>& items, std::string_view op, std::string_view key, T fallback,
      const char* wanted) {
  const Attribute* value = find(items, key);
  if (!value) return fallback;
  const T* held = std::get_if<T>(value);
  if (!held) wrong_type(op, key, wanted, *value);
  return *held;
}

}  // namespace

bool Attributes::flag(std::string_view op, std::string_view key, bool fallback) const {
  return get<bool>(items_, op, key, fallback, "a bool");
}

int64_t Attributes::integer(std::string_view op, std::string_view key, int64_t fallback) const {
  return get<int64_t>(items_, op, key, fallback, "an integer");
}

double Attributes::number(std::string_view op, std::string_view key, double fallback) const {
  const Attribute* value = find(items_, key);
  if (value && std::holds_alternative<int64_t>(*value)) return static_cast<double>(std::get<int64_t>(*value));
  return get<double>(items_, op, key, fallback, "a number");
}

std::string Attributes::text(std::string_view op, std::string_view key, std::string_view fallback) const {
  return get<std::string>(items_, op, key, std::string(fallback), "a string");
}

// An empty list has no element type of its own, so either kind of list will do where it is empty.
std::vector<int64_t> Attributes::integers(std::string_view op, std::string_view key,
                                          std::vector<int64_t> fallback) const {
  const Attribute* value = find(items_, key);
  if (value)
    if (const auto* list = std::get_if<std::vector<double>>(value); list && list->empty()) return {};
  return get<std::vector<int64_t>>(items_, op, key, std::move(fallback), "a list of integers");
}

std::vector<double> Attributes::numbers(std::string_view op, std::string_view key,
                                        std::vector<double> fallback) const {
  const Attribute* value = find(items_, key);
  if (value)
    if (const auto* list = std::get_if<std::vector<int64_t>>(value)) return {list->begin(), list->end()};
  return get<std::vector<double>>(items_, op, key, std::move(fallback), "a list of numbers");
}

void Attributes::check_known(std::string_view op, std::initializer_list<std::string_view> known) const {
  for (const auto& [key, value] : items_) {
    if (std::find(known.begin(), known.end(), std::string_view(key).substr(0, key.find('.'))) != known.end()) continue;
    std::string names;
    for (std::string_view name : known) names.append(names.empty() ? "" : ", ").append(name);
    throw ValueError(message(op, "unknown attribute '", key, "'; it takes ", names.empty() ? "none" : names));
  }
}

std::string listed(const std::vector<int64_t>& values) {
  std::ostringstream out;
  for (size_t i = 0; i < values.size(); ++i) out << (i ? ", " : "[") << values[i];
  out << (values.empty() ? "[]" : "]");
  return out.str();
}

}  // namespace convcore
