// SPDX-License-Identifier: BSD-3-Clause
#include "ops/resize_taps.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace convcore {
namespace {

// The value of the attribute `key`, whose names, in order, are the values of E.
template <class E, size_t N>
E choice(std::string_view kind, const Attributes& attributes, std::string_view key, const char* const (&names)[N]) {
  const std::string given = attributes.text(kind, key, names[0]);
  const auto* found = std::find(std::begin(names), std::end(names), given);
  std::string all;
  for (const char* name : names) all += (all.empty() ? "'" : ", '") + std::string(name) + "'";
  require(found != std::end(names), kind, key, " must be one of ", all, ", got '", given, "'");
  return static_cast<E>(found - names);
}

constexpr double kNothing = 1e-9;  // weights of places that were rounded

constexpr const char* kFilters[] = {"nearest", "linear", "cubic"};
constexpr const char* kCoordinates[] = {"half_pixel",    "half_pixel_symmetric", "pytorch_half_pixel",
                                        "align_corners", "asymmetric",           "tf_crop_and_resize"};
constexpr const char* kNearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};

// Where output j lies among the inputs. length: of the output, as the scale has it, which may be no integer.
double place_of(ResizeMode::Coordinates coordinates, int64_t j, int64_t in, int64_t out, double scale, double begin,
                double end) {
  using C = ResizeMode::Coordinates;
  const double x = static_cast<double>(j), last = static_cast<double>(in - 1), size = static_cast<double>(in);
  const double length = scale * size, centred = (x + 0.5) / scale - 0.5;
  switch (coordinates) {
    case C::half_pixel:
      return centred;
    case C::half_pixel_symmetric:
      return size / 2 * (1 - static_cast<double>(out) / length) + centred;
    case C::pytorch_half_pixel:
      return length == 1 ? -0.5 : centred;
    case C::align_corners:
      return length == 1 ? 0 : x * last / (length - 1);
    case C::asymmetric:
      return x / scale;
    case C::crop:
      return begin * last + (end - begin) * last * (length == 1 ? 0.5 : x / (length - 1));
  }
  return 0;
}

double nearest_to(ResizeMode::Nearest rule, double x) {
  using N = ResizeMode::Nearest;
  switch (rule) {
    case N::round_prefer_floor:
      return std::ceil(x - 0.5);
    case N::round_prefer_ceil:
      return std::floor(x + 0.5);
    case N::floor:
      return std::floor(x);
    case N::ceil:
      return std::ceil(x);
  }
  return x;
}

// The triangle, and Keys' cubic ("Cubic Convolution Interpolation for Digital Image Processing", 1981), at distance t.
double filter_at(const ResizeMode& mode, double t) {
  const double a = mode.cubic;
  t = std::fabs(t);
  if (mode.filter == ResizeMode::Filter::linear) return std::max(0.0, 1 - t);
  if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  return t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
}

}  // namespace

ResizeMode::ResizeMode(std::string_view kind, const Attributes& attributes)
    : filter(choice<Filter>(kind, attributes, "mode", kFilters)),
      coordinates(choice<Coordinates>(kind, attributes, "coordinate_transformation_mode", kCoordinates)),
      nearest(choice<Nearest>(kind, attributes, "nearest_mode", kNearest)),
      cubic(attributes.number(kind, "cubic_coeff_a", -0.75)),
      exclude_outside(attributes.flag(kind, "exclude_outside", false)),
      antialias(attributes.flag(kind, "antialias", false)) {
  require(std::isfinite(cubic), kind, "cubic_coeff_a must be finite, got ", cubic);
}

AxisTaps::AxisTaps(const ResizeMode& mode, int64_t in, int64_t out, double scale, double begin, double end)
    : in_(in), out_(out), first_{0} {
  for (int64_t j = 0; j < out && in > 0; ++j) {
    const double at = place_of(mode.coordinates, j, in, out, scale, begin, end);
    const bool inside = at >= 0 && at <= static_cast<double>(in - 1);
    if (mode.coordinates == ResizeMode::Coordinates::crop && !inside)
      outside_.push_back(j);
    else
      add(mode, at, scale);
    first_.push_back(static_cast<int32_t>(index_.size()));
  }
}

// The taps of the output that lies at `at`. Inputs beyond the ends are the end's, or left out.
void AxisTaps::add(const ResizeMode& mode, double at, double scale) {
  const double last = static_cast<double>(in_ - 1);
  const auto clamped = [&](double x) { return static_cast<int32_t>(std::clamp(x, 0.0, last)); };
  if (mode.filter == ResizeMode::Filter::nearest) {
    index_.push_back(clamped(nearest_to(mode.nearest, at)));
    weight_.push_back(1);
    return;
  }
  // Shrinking, an antialiased filter is as wide in outputs as it is in inputs otherwise.
  const double narrow = mode.antialias ? std::min(scale, 1.0) : 1;
  const double reach = (mode.filter == ResizeMode::Filter::linear ? 1 : 2) / narrow;
  at = std::clamp(at, -reach - 1, last + reach + 1);
  std::vector<std::pair<int32_t, double>> taps;
  double total = 0;
  for (double x = std::floor(at - reach); x <= std::ceil(at + reach); ++x) {
    const double w = filter_at(mode, (x - at) * narrow);
    if (std::fabs(w) < kNothing || (mode.exclude_outside && (x < 0 || x > last))) continue;
    total += w;
    if (!taps.empty() && taps.back().first == clamped(x))
      taps.back().second += w;
    else
      taps.emplace_back(clamped(x), w);
  }
  if (total == 0) taps = {{clamped(std::round(at)), 1}}, total = 1;
  for (const auto& [index, weight] : taps) {
    index_.push_back(index);
    weight_.push_back(static_cast<float>(weight / total));
  }
}

bool AxisTaps::is_identity() const {
  bool same = in_ == out_;
  for (int64_t j = 0; same && j < out_ && in_ > 0; ++j) same = copy_of(j) == j;
  return same;
}

int64_t AxisTaps::most() const {
  int64_t most = 0;
  for (size_t j = 0; j + 1 < first_.size(); ++j) most = std::max<int64_t>(most, first_[j + 1] - first_[j]);
  return most;
}

AxisTaps AxisTaps::transposed() const {
  AxisTaps t;
  t.in_ = out_, t.out_ = in_;
  t.first_.assign(static_cast<size_t>(in_) + 1, 0);
  for (int32_t i : index_) ++t.first_[static_cast<size_t>(i) + 1];
  for (size_t i = 1; i < t.first_.size(); ++i) t.first_[i] += t.first_[i - 1];
  t.index_.resize(index_.size()), t.weight_.resize(index_.size());
  std::vector<int32_t> next(t.first_.begin(), t.first_.end() - 1);
  for (size_t j = 0; j + 1 < first_.size(); ++j)
    for (int32_t k = first_[j]; k < first_[j + 1]; ++k) {
      const auto at = static_cast<size_t>(next[static_cast<size_t>(index_[static_cast<size_t>(k)])]++);
      t.index_[at] = static_cast<int32_t>(j);
      t.weight_[at] = weight_[static_cast<size_t>(k)];
    }
  return t;
}

}  // namespace convcore
