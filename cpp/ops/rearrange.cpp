// SPDX-License-Identifier: BSD-3-Clause
#include "ops/rearrange.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "ops/checks.h"
#include "ops/strided.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "rearrange";

using Fine = Rearrangement::Fine;
using Fines = std::vector<Fine>;
using Sizes = Rearrangement::Sizes;

Sizes sizes_of(const Shape& shape) { return {shape.begin(), shape.end()}; }
Sizes in_order(size_t rank) {
  Sizes axes(rank);
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

// Cuts the dimensions so that runs of them make up `target`, and returns the runs; nothing if they cannot be cut so.
std::optional<std::vector<Fines>> grouped(Fines fines, const Sizes& target) {
  std::vector<Fines> groups(target.size());
  for (size_t d = target.size(); d-- > 0;) {
    for (int64_t left = target[d]; left > 1;) {
      if (fines.empty()) return std::nullopt;
      Fine& last = fines.back();
      if (left % last.size == 0) {
        left /= last.size;
        groups[d].insert(groups[d].begin(), last);
        fines.pop_back();
      } else if (last.size % left == 0) {
        Fine part = last;
        part.size = left;
        groups[d].insert(groups[d].begin(), part);
        last.size /= left, last.x.step *= left;
        left = 1;
      } else {
        return std::nullopt;
      }
    }
  }
  return groups;
}

// Places in y of the dimensions that make up each of y's; neighbours that stay neighbours become one.
Fines placed(const std::vector<Fines>& groups) {
  Fines all;
  for (size_t d = 0; d < groups.size(); ++d) {
    int64_t step = 1;
    for (const Fine& f : groups[d]) step *= f.size;
    for (size_t i = 0; i < groups[d].size(); ++i) {
      Fine f = groups[d][i];
      step /= f.size;
      f.y = {static_cast<int>(d), step};
      if (i > 0 && all.back().x.dim == f.x.dim && all.back().x.step == f.size * f.x.step) {
        f.size *= all.back().size;
        all.back() = f;
      } else {
        all.push_back(f);
      }
    }
  }
  return all;
}

}  // namespace

Rearrangement::Rearrangement(const Shape& x) : x_(x), y_(x) {
  for (int d = 0; d < x.rank(); ++d)
    if (x[d] > 1) fines_.push_back({x[d], {d, 1}, {d, 1}});
}

std::optional<Rearrangement> Rearrangement::then(const Sizes& view, const Sizes& perm, const Shape& shape) const {
  const auto groups = grouped(fines_, view);
  if (!groups) return std::nullopt;
  Fines turned;
  for (int64_t d : perm) {
    const Fines& group = (*groups)[static_cast<size_t>(d)];
    turned.insert(turned.end(), group.begin(), group.end());
  }
  const auto in_y = grouped(std::move(turned), sizes_of(shape));
  if (!in_y) return std::nullopt;
  Rearrangement both(x_);
  both.y_ = shape;
  both.fines_ = placed(*in_y);
  return both;
}

std::optional<Rearrangement> Rearrangement::then(const Rearrangement& next) const {
  return then(next.view(), next.perm(), next.y_);
}

std::optional<Rearrangement> Rearrangement::reshaped(const Shape& shape) const {
  const Sizes view = sizes_of(y_);
  return then(view, in_order(view.size()), shape);
}

Rearrangement Rearrangement::inverse() const {
  Rearrangement back(y_);
  back.y_ = x_;
  back.fines_.clear();
  for (const Fine& f : fines_) back.fines_.push_back({f.size, f.y, f.x});
  std::sort(back.fines_.begin(), back.fines_.end(),
            [](const Fine& a, const Fine& b) { return a.y.dim != b.y.dim ? a.y.dim < b.y.dim : a.y.step > b.y.step; });
  return back;
}

bool Rearrangement::same_memory() const {
  const Strides x = strides_of({nullptr, x_, DType::f32, channels_of(x_)});
  const Strides y = strides_of({nullptr, y_, DType::f32, channels_of(y_)});
  return std::all_of(fines_.begin(), fines_.end(),
                     [&](const Fine& f) { return f.x.step * x[f.x.dim] == f.y.step * y[f.y.dim]; });
}

Sizes Rearrangement::view() const {
  Sizes view;
  for (const Fine& f : inverse().fines_) view.push_back(f.size);
  return view;
}

Sizes Rearrangement::perm() const {
  const Fines in_x = inverse().fines_;
  Sizes perm;
  for (const Fine& f : fines_)
    perm.push_back(std::find(in_x.begin(), in_x.end(), Fine{f.size, f.y, f.x}) - in_x.begin());
  return perm;
}

Attributes Rearrangement::attributes() const {
  Attributes a;
  a.set("shape", sizes_of(y_));
  if (perm() != in_order(fines_.size())) a.set("view", view()), a.set("perm", perm());
  return a;
}

namespace {

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
    const Sizes axes = in_order(static_cast<size_t>(view_.rank()));
    perm_ = attributes_.integers(kind(), "perm", axes);
    require(perm_.size() == axes.size() && std::is_permutation(perm_.begin(), perm_.end(), axes.begin()), kind(),
            "perm must hold each of the view's ", axes.size(), " axes once, got ", listed(perm_));
  }

  void split() {
    fines_.clear();
    exact_ = false, same_memory_ = false;
    if (x_.size() == 0) return;
    const auto moves = Rearrangement(x_).then(sizes_of(view_), perm_, y_);
    if (!moves) return;
    fines_ = moves->fines();
    exact_ = fines_.size() <= Walk<2>::kMaxDims;
    same_memory_ = exact_ && moves->same_memory();
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
  Sizes perm_;
  Fines fines_;
  bool exact_ = false, same_memory_ = false;
};

}  // namespace

std::unique_ptr<Op> make_rearrange(const Attributes& attributes) {
  attributes.check_known(kKind, {"view", "perm", "shape"});
  return std::make_unique<RearrangeOp>(attributes);
}

}  // namespace convcore
