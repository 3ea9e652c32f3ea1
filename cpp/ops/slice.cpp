// SPDX-License-Identifier: BSD-3-Clause
#include "ops/slice.h"

#include "ops/boxes.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "slice";

class SliceOp : public BoxesOp {
 public:
  explicit SliceOp(const Attributes& attributes) : attributes_(attributes) {}
  std::string_view kind() const override { return kKind; }

 protected:
  Shape cut(const Shape& x, Axes& axes) const override {
    const std::vector<int64_t> starts = integers_of_axes(kKind, attributes_, "starts", x.rank()),
                               steps = integers_of_axes(kKind, attributes_, "steps", x.rank()),
                               sizes = integers_of_axes(kKind, attributes_, "sizes", x.rank());
    Shape y;
    for (size_t d = 0; d < starts.size(); ++d) {
      const int64_t n = x[static_cast<int>(d)], start = starts[d], size = sizes[d], step = size > 1 ? steps[d] : 1;
      require(steps[d] != 0, kKind, "steps must not be 0, got ", listed(steps));
      require(size == 0 || (size > 0 && start >= 0 && start < n && step >= -n && step <= n &&
                            size - 1 <= (step > 0 ? n - 1 - start : start) / std::abs(step)),
              kKind, size, " indices from ", start, " on by ", steps[d], " do not lie in axis ", d, " of x: ", x);
      if (size > 0) axes[d].push_back({0, size, start, step});
      y.push_back(size);
    }
    return y;
  }

 private:
  Attributes attributes_;
};

}  // namespace

std::unique_ptr<Op> make_slice(const Attributes& attributes) {
  attributes.check_known(kKind, {"starts", "steps", "sizes"});
  return std::make_unique<SliceOp>(attributes);
}

}  // namespace convcore
