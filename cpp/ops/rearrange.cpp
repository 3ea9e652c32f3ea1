// SPDX-License-Identifier: BSD-3-Clause
#include "ops/rearrange.h"

#include <numeric>
#include <optional>
#include <utility>

#include "ops/checks.h"
#include "ops/strided.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "rearrange";

// A dimension of the finest split of x's, the view's and y's shapes: `size` steps of `step` within dimension `dim`.
struct Fine {
  int64_t size;
  struct {
    int dim;
    int64_t step;
  } x, y;
};
using Fines = std::vector<Fine>;

// Cuts the dimensions so that runs of them make up `target`, and returns the runs; nothing if they cannot be cut so.
std::optional<std::vector<Fines>> grouped(Fines fines, const Shape& target) {
  std::vector<Fines> groups(static_cast<size_t>(target.rank()));
  for (int d = target.rank() - 1; d >= 0; --d) {
    Fines& group = groups[static_cast<size_t>(d)];
    for (int64_t left = target[d]; left > 1;) {
      Fine& last = fines.back();
      if (left % last.size == 0) {
        left /= last.size;
        group.insert(group.begin(), last);
        fines.pop_back();
      } else if (last.size % left == 0) {
        Fine part = last;
        part.size = left;
        group.insert(group.begin(), part);
        last.size /= left, last.x.step *= left;
        left = 1;
      } else {
        return std::nullopt;
      }
    }
  }
  return groups;
}

Fines joined(const std::vector<Fines>& groups) {
  Fines all;
  for (const Fines& group : groups) all.insert(all.end(), group.begin(), group.end());
  return all;
}

class RearrangeOp : public Op {
 public:
  explicit RearrangeOp(const Attributes& a) : attributes_(a) {}

  std::string_view kind() const override { return kKind; }
  bool backward_reads_input(int) const override { return false; }
  bool can_run_in_place(int) const override { return same_memory_; }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool) override {
    check_count(kind(), inputs, 1, 1);
    check_tensor(kind(), "x", inputs[0]);
    x_ = inputs[0].shape;
    view_ = shape_of("view", x_);
    read_permutation();
    Shape turned;
    for (int64_t d : perm_) turned.push_back(view_[static_cast<int>(d)]);
    y_ = shape_of("shape", turned);
    for (const auto& [name, shape] : {std::pair{"view", view_}, std::pair{"shape", y_}})
      require<ShapeError>(shape.size(kind()) == x_.size(), kind(), name, " ", shape,
                          " must have as many elements as x, got ", x_);
    split();
    return {{y_, DType::f32}};
  }

  void forward(const OpCall& call) const override { move(call.inputs[0], call.outputs[0], false); }
  void backward(const OpCall& call) const override {
    if (call.grad_inputs[0]) move(call.grad_inputs[0], call.grad_outputs[0], true);
  }
  std::string algorithm() const override { return same_memory_ ? "as it is" : exact_ ? "strided" : "by element"; }

 private:
  Shape shape_of(std::string_view key, const Shape& fallback) const {
    if (!attributes_.has(key)) return fallback;
    const std::vector<int64_t> dims = attributes_.integers(kind(), key, {});
    require<ShapeError>(!dims.empty(), kind(), key, " must not be empty");
    Shape shape;
    for (int64_t d : dims) shape.push_back(d);
    return shape;
  }

  void read_permutation() {
    perm_.resize(static_cast<size_t>(view_.rank()));
    std::iota(perm_.begin(), perm_.end(), 0);
    const std::vector<int64_t> axes = perm_, given = attributes_.integers(kind(), "perm", perm_);
    require(given.size() == axes.size() && std::is_permutation(given.begin(), given.end(), axes.begin()), kind(),
            "perm must hold each of the view's ", axes.size(), " axes once, got ", listed(given));
    perm_ = given;
  }

  void split() {
    fines_.clear();
    exact_ = false, same_memory_ = false;
    if (x_.size() == 0) return;
    Fines fines;
    for (int d = 0; d < x_.rank(); ++d)
      if (x_[d] > 1) fines.push_back({x_[d], {d, 1}, {0, 1}});
    const auto groups = grouped(std::move(fines), view_);
    if (!groups) return;
    std::vector<Fines> turned;
    for (int64_t d : perm_) turned.push_back((*groups)[static_cast<size_t>(d)]);
    auto in_y = grouped(joined(turned), y_);
    if (!in_y) return;
    for (int d = 0; d < y_.rank(); ++d) {
      int64_t step = 1;
      Fines& group = (*in_y)[static_cast<size_t>(d)];
      for (size_t i = group.size(); i-- > 0;) {
        group[i].y = {d, step};
        step *= group[i].size;
      }
    }
    fines_ = joined(*in_y);
    exact_ = fines_.size() <= Walk<2>::kMaxDims;
    const Strides x = strides_of({nullptr, x_, DType::f32, channels_of(x_)});
    const Strides y = strides_of({nullptr, y_, DType::f32, channels_of(y_)});
    same_memory_ = exact_ && std::all_of(fines_.begin(), fines_.end(), [&](const Fine& f) {
      return f.x.step * x[f.x.dim] == f.y.step * y[f.y.dim];
    });
  }

  // y = x rearranged; or, backwards, x = y.
  void move(const Tensor& x, const Tensor& y, bool backwards) const {
    if (x_.size() == 0 || x.data == y.data) return;
    const Strides in_x = strides_of(x), in_y = strides_of(y);
    if (!exact_) return move_elements(x, in_x, y, in_y, backwards);
    Walk<2> walk;
    for (const Fine& f : fines_) {
      const int64_t x_stride = f.x.step * in_x[f.x.dim], y_stride = f.y.step * in_y[f.y.dim];
      walk.add(f.size, backwards ? std::array{x_stride, y_stride} : std::array{y_stride, x_stride});
    }
    backwards ? copy_strided(walk, y.f32(), x.f32()) : copy_strided(walk, x.f32(), y.f32());
  }

  // Shapes that share no split, as (2, 3) and (3, 2).
  void move_elements(const Tensor& x, const Strides& in_x, const Tensor& y, const Strides& in_y, bool backwards) const {
    const Strides in_view = row_major(view_);
    Shape turned;
    Strides view{};
    for (size_t d = 0; d < perm_.size(); ++d) {
      turned.push_back(view_[static_cast<int>(perm_[d])]);
      view[d] = in_view[static_cast<size_t>(perm_[d])];
    }
    parallel_for(x_.size(), 256, 64, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        float& in = x.f32()[offset_of(offset_of(i, turned, view), x_, in_x)];
        float& out = y.f32()[offset_of(i, y_, in_y)];
        (backwards ? in : out) = backwards ? out : in;
      }
    });
  }

  Attributes attributes_;
  Shape x_, view_, y_;
  std::vector<int64_t> perm_;
  Fines fines_;
  bool exact_ = false, same_memory_ = false;
};

}  // namespace

std::unique_ptr<Op> make_rearrange(const Attributes& attributes) {
  attributes.check_known(kKind, {"view", "perm", "shape"});
  return std::make_unique<RearrangeOp>(attributes);
}

}  // namespace convcore
