// SPDX-License-Identifier: BSD-3-Clause
#include "ops/winograd_groups.h"

#include "base/memory.h"
#include "base/parallel.h"
#include "ops/winograd.h"
#include "ops/winograd_weight.h"

namespace convcore {
namespace {

constexpr int64_t kManyGroups = 4;  // for each thread: enough to be even

// How the groups are shared out: `outer` at a time, by `inner` threads each.
struct Shares {
  explicit Shares(const Conv2dGeometry& g)
      : groups(g.groups), cost(g.flops() / groups), weights(g.o_per_group() * g.c_per_group() * g.taps()) {
    const int64_t threads = num_threads();
    const bool even = groups % threads == 0 || groups >= kManyGroups * threads;
    outer = even ? threads : 1, inner = even ? 1 : threads;
  }

  int64_t groups, cost, weights;  // cost, weights: of a group
  int64_t outer, inner;
};

Tensor slice(const Tensor& t, int64_t channel) {
  Tensor part = t;
  if (part) part.data = t.f32() + channel;
  return part;
}

class WinogradGroupsMap final : public ConvMap {
 public:
  WinogradGroupsMap(const Conv2dGeometry& g, Pass pass)
      : shares_(g),
        in_c_(pass == Pass::forward ? g.c_per_group() : g.o_per_group()),
        out_c_(pass == Pass::forward ? g.o_per_group() : g.c_per_group()),
        group_(winograd_group_map(one_group(g), pass, shares_.inner)) {}

  bool finishes() const override { return true; }
  size_t packed_bytes() const override { return static_cast<size_t>(shares_.groups) * stride(); }
  size_t workspace_bytes() const override { return static_cast<size_t>(shares_.outer) * own_bytes(); }

  void pack(const float* weight, std::byte* packed) const override {
    for_groups(shares_.weights, [&](int64_t, int64_t i) {
      group_->pack(weight + i * shares_.weights, packed + static_cast<size_t>(i) * stride());
    });
  }

  void run(const Tensor& in, const std::byte* packed, const Epilogue& epilogue, const Tensor& out,
           std::byte* workspace) const override {
    for_groups(shares_.cost, [&](int64_t slot, int64_t i) {
      Epilogue own = epilogue;
      if (own.bias) own.bias += i * out_c_;
      if (own.residual) own.residual += i * out_c_;
      group_->run(slice(in, i * in_c_), packed + static_cast<size_t>(i) * stride(), own, slice(out, i * out_c_),
                  workspace + static_cast<size_t>(slot) * own_bytes());
    });
  }

 private:
  size_t stride() const { return align_up(group_->packed_bytes()); }
  size_t own_bytes() const { return align_up(group_->workspace_bytes()); }
  template <class Body>
  void for_groups(int64_t cost, Body&& body) const {
    parallel_tasks(shares_.groups, shares_.outer, cost, body);
  }

  Shares shares_;
  int64_t in_c_, out_c_;  // of a group
  std::unique_ptr<ConvMap> group_;
};

class WinogradGroupsReduce final : public ConvReduce {
 public:
  explicit WinogradGroupsReduce(const Conv2dGeometry& g)
      : shares_(g), c_(g.c_per_group()), o_(g.o_per_group()), group_(one_group(g), shares_.inner) {}

  size_t workspace_bytes() const override { return static_cast<size_t>(shares_.outer) * own_bytes(); }
  void run(const Tensor& x, const Tensor& dy, float* dw, std::byte* workspace) const override {
    parallel_tasks(shares_.groups, shares_.outer, shares_.cost, [&](int64_t slot, int64_t i) {
      group_.run(slice(x, i * c_), slice(dy, i * o_), dw + i * shares_.weights,
                 workspace + static_cast<size_t>(slot) * own_bytes());
    });
  }

 private:
  size_t own_bytes() const { return align_up(group_.workspace_bytes()); }

  Shares shares_;
  int64_t c_, o_;  // of a group
  WinogradWeight group_;
};

}  // namespace

Conv2dGeometry one_group(const Conv2dGeometry& g) {
  Conv2dGeometry one = g;
  one.c = g.c_per_group(), one.o = g.o_per_group(), one.groups = 1;
  return one;
}

std::unique_ptr<ConvMap> winograd_groups_map(const Conv2dGeometry& g, Pass pass) {
  return std::make_unique<WinogradGroupsMap>(g, pass);
}
std::unique_ptr<ConvReduce> winograd_groups_reduce(const Conv2dGeometry& g) {
  return std::make_unique<WinogradGroupsReduce>(g);
}

}  // namespace convcore
