// SPDX-License-Identifier: BSD-3-Clause
#include "ops/expand.h"

#include "ops/boxes.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "expand";

class ExpandOp : public BoxesOp {
 public:
  explicit ExpandOp(std::vector<int64_t> shape) : shape_(std::move(shape)) {}
  std::string_view kind() const override { return kKind; }

 protected:
  Shape cut(const Shape& x, Axes& axes) const override {
    const int rank = static_cast<int>(shape_.size()), added = rank - x.rank();
    require<ShapeError>(added >= 0 && rank <= kMaxRank, kKind, "shape must have from ", x.rank(), " to ", kMaxRank,
                        " dimensions, got ", listed(shape_), " (x: ", x, ")");
    Shape y;
    for (int d = 0; d < rank; ++d) {
      const int64_t size = d < added ? 1 : x[d - added], wanted = shape_[static_cast<size_t>(d)];
      require<ShapeError>(wanted == size || wanted == 1 || (size == 1 && wanted >= 0), kKind, "x of shape ", x,
                          " cannot be expanded to ", listed(shape_));
      y.push_back(size == 1 ? wanted : size);
      if (y[d] > 0) axes[static_cast<size_t>(d)].push_back({0, size, 0, 1, y[d] / size});
    }
    return y;
  }

 private:
  std::vector<int64_t> shape_;
};

}  // namespace

std::unique_ptr<Op> make_expand(const Attributes& attributes) {
  attributes.check_known(kKind, {"shape"});
  return std::make_unique<ExpandOp>(attributes.integers(kKind, "shape", {}));
}

}  // namespace convcore
