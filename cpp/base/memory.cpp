// SPDX-License-Identifier: BSD-3-Clause
#include "base/memory.h"

#include <atomic>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace convcore {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

std::atomic<uint64_t> allocations{0};

// Weights that stream from memory run into fewer page walks, and new memory into fewer faults.
bool wants_huge_pages(size_t bytes) { return bytes >= 2 * kHugePage; }
std::align_val_t alignment(size_t bytes) { return std::align_val_t{wants_huge_pages(bytes) ? kHugePage : kAlignment}; }

}  // namespace

AlignedBuffer::AlignedBuffer(size_t bytes) : size_(align_up(bytes)) {
  if (size_ == 0) return;
  data_ = static_cast<std::byte*>(::operator new(size_, alignment(size_)));
#if defined(MADV_HUGEPAGE)
  if (wants_huge_pages(size_)) madvise(data_, size_, MADV_HUGEPAGE);  // a wish: a kernel that cannot may refuse
#endif
  allocations.fetch_add(1, std::memory_order_relaxed);
}

AlignedBuffer::~AlignedBuffer() { ::operator delete(data_, alignment(size_)); }

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
