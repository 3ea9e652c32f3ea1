// SPDX-License-Identifier: BSD-3-Clause
// The Optimizer as Python holds it.
#pragma once

#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/lock.h"
#include "graph/optimizer.h"

namespace convcore::bindings {

// One Optimizer may serve several Programs (one per batch size); their updates wait for each other.
class SharedOptimizer {
 public:
  SharedOptimizer(const std::string& kind, const Attributes& attributes, std::vector<int64_t> sizes)
      : optimizer_(kind, attributes, sizes), sizes_(std::move(sizes)) {}

  const std::vector<int64_t>& sizes() const { return sizes_; }
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
