// SPDX-License-Identifier: BSD-3-Clause
#include "ops/pad.h"

#include <algorithm>

#include "ops/boxes.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "pad";
constexpr int64_t kMost = int64_t{1} << 46;  // keeps sums of pads and sizes within 64 bits
constexpr int64_t kMostMirrors = 1024;       // by which one axis may be longer

class PadOp : public BoxesOp {
 public:
  PadOp(const Attributes& attributes, std::string mode, float value)
      : BoxesOp(value), attributes_(attributes), mode_(std::move(mode)) {}
  std::string_view kind() const override { return kKind; }

 protected:
  Shape cut(const Shape& x, Axes& axes) const override {
    const std::vector<int64_t> pads = integers_of_axes(kKind, attributes_, "pads", x.rank(), 2);
    Shape y;
    for (size_t d = 0; d < pads.size() / 2; ++d) {
      const int64_t n = x[static_cast<int>(d)], before = pads[d], behind = pads[pads.size() / 2 + d];
      const bool sane = std::max({n, before, behind}) <= kMost && std::min(before, behind) >= -kMost;
      require<ShapeError>(sane && before + n + behind >= 0, kKind, "axis ", d, " of size ", n, " cannot be padded by ",
                          before, " and ", behind);
      const int64_t begin = -before, end = n + behind;  // in x's coordinates
      const bool inside = begin == end || (begin >= 0 && end <= n);
      require<ShapeError>(n > 0 || inside || mode_ == "constant", kKind, "axis ", d,
                          " of size 0 can only be padded by a constant");
      if (mode_ == "reflect" && n > 1 && !inside)
        mirror(axes[d], begin, end, n, d);
      else if (mode_ == "wrap" && !inside)
        wrap(axes[d], begin, end, n);
      else
        surround(axes[d], begin, end, n);
      y.push_back(end - begin);
    }
    return y;
  }

 private:
  static int64_t modulo(int64_t a, int64_t n) { return (a % n + n) % n; }

  void surround(std::vector<Segment>& axis, int64_t begin, int64_t end, int64_t n) const {
    const bool constant = mode_ == "constant";
    const auto outside = [&](int64_t from, int64_t to, int64_t nearest) {
      if (from >= to) return;
      axis.push_back(constant ? Segment{from - begin, to - from, 0, 1, 1, true}
                              : Segment{from - begin, 1, nearest, 1, to - from});
    };
    outside(begin, std::min<int64_t>(end, 0), 0);
    const int64_t first = std::max<int64_t>(begin, 0), last = std::min(end, n);
    if (first < last) axis.push_back({first - begin, last - first, first});
    outside(std::max(begin, n), end, n - 1);
  }

  static void wrap(std::vector<Segment>& axis, int64_t begin, int64_t end, int64_t n) {
    for (int64_t at = begin; at < end;) {
      const int64_t first = modulo(at, n), size = std::min(n - first, end - at);
      const int64_t repeats = size == n ? (end - at) / n : 1;
      axis.push_back({at - begin, size, first, 1, repeats});
      at += repeats * size;
    }
  }

  static void mirror(std::vector<Segment>& axis, int64_t begin, int64_t end, int64_t n, size_t d) {
    const int64_t period = 2 * (n - 1);
    require<ShapeError>((end - begin) / period < kMostMirrors, kKind, "axis ", d, " of size ", n,
                        " cannot be mirrored to size ", end - begin);
    for (int64_t at = begin; at < end;) {
      const int64_t place = modulo(at, period);
      const bool forward = place < n;
      const int64_t size = std::min((forward ? n : period) - place, end - at);
      axis.push_back({at - begin, size, forward ? place : period - place, forward ? 1 : -1});
      at += size;
    }
  }

  Attributes attributes_;
  std::string mode_;
};

}  // namespace

std::unique_ptr<Op> make_pad(const Attributes& attributes) {
  attributes.check_known(kKind, {"pads", "mode", "value"});
  const std::string mode = attributes.text(kKind, "mode", "constant");
  require(mode == "constant" || mode == "edge" || mode == "reflect" || mode == "wrap", kKind,
          "mode must be 'constant', 'edge', 'reflect' or 'wrap', got '", mode, "'");
  return std::make_unique<PadOp>(attributes, mode, static_cast<float>(attributes.number(kKind, "value", 0.0)));
}

}  // namespace convcore
