// SPDX-License-Identifier: BSD-3-Clause
// The Optimizer as Python holds it.
#pragma once

#include <mutex>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "base/lock.h"
#include "graph/optimizer.h"
#include "graph/step_info.h"

namespace convcore::bindings {

// One Optimizer may serve several Programs (one per batch size); their updates wait for each other.
class SharedOptimizer {
 public:
  SharedOptimizer(const std::string& kind, const Attributes& attributes, std::vector<int64_t> sizes)
      : optimizer_(kind, attributes, sizes), sizes_(std::move(sizes)) {}

  const std::vector<int64_t>& sizes() const { return sizes_; }
  // A step of a profile, without its time. Bytes: parameters and state are read and written, gradients read.
  StepInfo describe() const {
    const int64_t elements = std::accumulate(sizes_.begin(), sizes_.end(), int64_t{0});
    const auto slots = static_cast<int64_t>(optimizer_.slot_names().size());
    StepInfo info{"update", optimizer_.kind(), "update", "", Shape{elements}};
    info.bytes = elements * 4 * (3 + 2 * slots);
    return info;
  }
  Optimizer& unlocked() { return optimizer_; }
  void update(std::span<float* const> parameters, const float* gradients, std::span<const size_t> offsets, float lr) {
    const std::lock_guard lock(mutex_);
    optimizer_.update(parameters, gradients, offsets, lr);
  }

 private:
  Optimizer optimizer_;
  std::vector<int64_t> sizes_;
  ForkMutex mutex_{"optimizer: was updating when the process forked; make a new one"};
};

}  // namespace convcore::bindings
