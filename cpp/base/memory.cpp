// SPDX-License-Identifier: BSD-3-Clause
#include "base/memory.h"

#include <atomic>
#include <cstdlib>
#include <new>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace convcore {
namespace {
std::atomic<uint64_t> allocations{0};
}

AlignedBuffer::AlignedBuffer(size_t bytes) : size_(align_up(bytes)) {
  if (size_ == 0) return;
  data_ = static_cast<std::byte*>(::operator new(size_, std::align_val_t{kAlignment}));
  allocations.fetch_add(1, std::memory_order_relaxed);
}

AlignedBuffer::~AlignedBuffer() { ::operator delete(data_, std::align_val_t{kAlignment}); }

void return_freed_memory() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

uint64_t allocation_count() { return allocations.load(std::memory_order_relaxed); }

std::byte* thread_workspace(size_t bytes) {
  thread_local AlignedBuffer buffer;
  buffer.reserve(bytes);
  return buffer.data();
}

}  // namespace convcore
