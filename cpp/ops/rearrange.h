// SPDX-License-Identifier: BSD-3-Clause
// One op for all that changes nothing but places: reshape, transpose, squeeze, depth-to-space, channel shuffle.
//
//   y = x.reshape(view).transpose(perm).reshape(shape)
//
// Attributes: view (default: x's shape), perm (default: as they are), shape (default: the transposed view's), all lists.
// No -1 or 0 with a meaning: whoever makes the op knows x's shape.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_rearrange(const Attributes& attributes);

// Where such ops, one after the other, bring x's elements, of which there are some: dimensions of the finest split of
// x's and y's shapes.
class Rearrangement {
 public:
  // `size` steps of `step` within dimension `dim`.
  struct Fine {
    int64_t size;
    struct Place {
      int dim;
      int64_t step;
      bool operator==(const Place&) const = default;
    } x, y;
    bool operator==(const Fine&) const = default;
  };
  using Sizes = std::vector<int64_t>;

  explicit Rearrangement(const Shape& x);  // nothing moves
  // This one, and then y.reshape(view).transpose(perm).reshape(shape); nothing if shapes share no split, as (2, 3) and
  // (3, 2). Their sizes must be the same.
  std::optional<Rearrangement> then(const Sizes& view, const Sizes& perm, const Shape& shape) const;
  std::optional<Rearrangement> then(const Rearrangement& next) const;
  std::optional<Rearrangement> reshaped(const Shape& shape) const;
  Rearrangement inverse() const;

  const Shape& x() const { return x_; }
  const Shape& y() const { return y_; }
  const std::vector<Fine>& fines() const { return fines_; }  // in y's order, none of size 1
  bool is_identity() const { return *this == Rearrangement(x_); }
  bool same_memory() const;  // of activations without gaps between their pixels
  bool fits_op() const { return fines_.size() <= kMaxRank; }
  Attributes attributes() const;  // of the op that does it
  bool operator==(const Rearrangement& other) const {
    return x_ == other.x_ && y_ == other.y_ && fines_ == other.fines_;
  }

 private:
  Sizes view() const;  // the fines' sizes in x's order
  Sizes perm() const;

  Shape x_, y_;
  std::vector<Fine> fines_;
};

}  // namespace convcore
