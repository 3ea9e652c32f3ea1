// SPDX-License-Identifier: BSD-3-Clause
// Memory whose last byte lies just before a page that may not be touched, and whose first page follows another such
// page: reading or writing past the end is a crash at that very instruction, with any compiler.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <new>

namespace convcore::testing {

template <class T>
class Guarded {
 public:
  explicit Guarded(size_t count) : size_(count) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), bytes = count * sizeof(T);
    const size_t body = (bytes + page - 1) / page * page;
    mapped_ = body + 2 * page;
    void* all = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) throw std::bad_alloc();
    start_ = static_cast<std::byte*>(all);
    if (body > 0 && mprotect(start_ + page, body, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    data_ = reinterpret_cast<T*>(start_ + page + body - bytes);
  }
  ~Guarded() { munmap(start_, mapped_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* data() const { return data_; }
  T* end() const { return data_ + size_; }
  size_t size() const { return size_; }
  T& operator[](size_t i) const { return data_[i]; }

 private:
  std::byte* start_ = nullptr;
  size_t mapped_ = 0, size_ = 0;
  T* data_ = nullptr;
};

}  // namespace convcore::testing
