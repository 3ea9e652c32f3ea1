// SPDX-License-Identifier: BSD-3-Clause
#include "ops/tile.h"

#include "ops/boxes.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "tile";

class TileOp : public BoxesOp {
 public:
  explicit TileOp(const Attributes& attributes) : attributes_(attributes) {}
  std::string_view kind() const override { return kKind; }

 protected:
  Shape cut(const Shape& x, Axes& axes) const override {
    const std::vector<int64_t> repeats = integers_of_axes(kKind, attributes_, "repeats", x.rank());
    Shape y;
    for (size_t d = 0; d < repeats.size(); ++d) {
      const int64_t n = x[static_cast<int>(d)];
      int64_t size = 0;
      require(repeats[d] >= 0, kKind, "repeats must not be negative, got ", listed(repeats));
      require<ShapeError>(!__builtin_mul_overflow(n, repeats[d], &size), kKind, "axis ", d, " of size ", n,
                          " cannot be repeated ", repeats[d], " times");
      if (size > 0) axes[d].push_back({0, n, 0, 1, repeats[d]});
      y.push_back(size);
    }
    return y;
  }

 private:
  Attributes attributes_;
};

}  // namespace

std::unique_ptr<Op> make_tile(const Attributes& attributes) {
  attributes.check_known(kKind, {"repeats"});
  return std::make_unique<TileOp>(attributes);
}

}  // namespace convcore
