// SPDX-License-Identifier: BSD-3-Clause
// A Layout made runnable: the ops' calls with all their tensors, built once. A run only sets the pointers of the
// caller's inputs and outputs.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "graph/layout.h"

namespace convcore {

// y += x (gradients) or y = x (outputs), pixel by pixel; indices into Steps::tensors.
struct Move {
  int x, y;
};

struct ForwardStep {
  const Op* op;
  OpCall call;
  bool packs = false;         // packs when the parameters changed
  bool always_packs = false;  // what it packs is computed or given anew at every run
  bool given_labels = false;  // all its integer inputs are the caller's, and can be checked before anything runs
  bool once = false;          // runs only when the parameters changed
  bool skip = false;
};

struct BackwardCall {
  int node;
  const Op* op;
  OpCall call;
  bool skip = false;
  std::vector<Move> additions;
};

struct Steps {
  // The calls hold spans of `tensors`, which must therefore stay where it is.
  Steps(const Graph& graph, std::span<const std::unique_ptr<Op>> ops, std::span<const BackwardStep> backward_plan,
        const Layout& layout);
  Steps(const Steps&) = delete;

  // Gives a region its memory; `pitch` > 0 replaces that of its views (an input's).
  void set_region(int region, void* memory, int64_t pitch = 0);

  std::vector<Tensor> tensors;
  std::vector<ForwardStep> forward;
  std::vector<BackwardCall> backward;
  std::vector<Move> copies;

 private:
  struct Use {
    int tensor;
    int64_t bytes;  // from the region's start
  };
  int add(const TensorSpec& spec, const View& view);
  int add_value(const Graph& graph, const std::vector<View>& views, int value);

  std::vector<std::vector<Use>> uses_;  // by region
};

void add_pixels(const Tensor& x, const Tensor& y);   // y += x
void copy_pixels(const Tensor& x, const Tensor& y);  // y = x

}  // namespace convcore
