// SPDX-License-Identifier: BSD-3-Clause
#include "bindings/planned_op.h"

#include <algorithm>
#include <utility>

#include "base/threads.h"
#include "ops/convolution.h"

namespace convcore::bindings {
namespace {

constexpr size_t kKept = 8;  // plans

}  // namespace

PlannedOp::PlannedOp(std::string kind, Attributes attributes)
    : kind_(std::move(kind)), attributes_(std::move(attributes)), fresh_(make_op(kind_, attributes_)) {}

const Plan& PlannedOp::plan(const std::vector<TensorSpec>& inputs, bool training) {
  Key key{inputs, training, get_winograd(), num_threads(), table().isa};
  const auto found = std::find_if(entries_.rbegin(), entries_.rend(), [&](const Entry& e) { return e.key == key; });
  if (found != entries_.rend()) {
    std::rotate(found.base() - 1, found.base(), entries_.end());
    return entries_.back().plan;
  }
  std::unique_ptr<Op> op = fresh_ ? std::move(fresh_) : make_op(kind_, attributes_);
  std::vector<TensorSpec> outputs = op->plan(inputs, training);
  if (entries_.size() == kKept) entries_.erase(entries_.begin());
  entries_.push_back({std::move(key), {std::move(op), std::move(outputs)}});
  return entries_.back().plan;
}

}  // namespace convcore::bindings
