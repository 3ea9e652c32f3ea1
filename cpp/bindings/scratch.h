// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>

#include "base/memory.h"

namespace convcore::bindings {

// One block of scratch memory for one call: reserve the parts, allocate once, use them. The block is the thread's own
// and kept for its next call, unless it is very big.
class Scratch {
 public:
  size_t reserve(size_t bytes) {
    const size_t offset = total_;
    total_ += align_up(bytes > 0 ? bytes : 1);  // every part has an address: null means absent to an op
    return offset;
  }
  void allocate() {
    if (total_ > kKeptBytes) own_ = AlignedBuffer(total_);
    base_ = own_.data() != nullptr ? own_.data() : thread_workspace(total_);
  }
  std::byte* at(size_t offset) const { return base_ + offset; }

 private:
  static constexpr size_t kKeptBytes = 256 << 20;
  AlignedBuffer own_;
  std::byte* base_ = nullptr;
  size_t total_ = 0;
};

}  // namespace convcore::bindings
