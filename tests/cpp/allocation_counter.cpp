// SPDX-License-Identifier: BSD-3-Clause
#include "allocation_counter.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

constexpr size_t kMostBytes = size_t{1} << 30;
std::atomic<uint64_t> count{0};

// The array and nothrow forms of the standard library call these.
void* allocate(size_t size, size_t alignment) {
  count.fetch_add(1, std::memory_order_relaxed);
  if (size > kMostBytes) throw std::bad_alloc();
  const size_t rounded = (size + alignment - 1) / alignment * alignment;
  if (void* p = std::aligned_alloc(alignment, rounded ? rounded : alignment)) return p;
  throw std::bad_alloc();
}

}  // namespace

uint64_t convcore::testing::operator_new_count() { return count.load(std::memory_order_relaxed); }

void* operator new(size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new(size_t size, std::align_val_t alignment) { return allocate(size, static_cast<size_t>(alignment)); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }
