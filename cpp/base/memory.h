// SPDX-License-Identifier: BSD-3-Clause
// 64-byte aligned memory. Fresh pages are dear on virtual machines, so buffers are kept and grown, never freed per call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace convcore {

inline constexpr size_t kAlignment = 64;

constexpr size_t align_up(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Owns one aligned block. Throws std::bad_alloc.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t bytes);
  ~AlignedBuffer();
  AlignedBuffer(AlignedBuffer&& other) noexcept { swap(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept { swap(other); return *this; }

  std::byte* data() const { return data_; }
  float* floats() const { return reinterpret_cast<float*>(data_); }
  size_t size() const { return size_; }
  // At least `bytes`; the contents are lost when it grows.
  void reserve(size_t bytes) { if (bytes > size_) *this = AlignedBuffer(bytes); }
  void swap(AlignedBuffer& other) noexcept { std::swap(data_, other.data_); std::swap(size_, other.size_); }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// How many AlignedBuffers were allocated since the process started (a test asserts that running a Program adds none).
uint64_t allocation_count();

// Gives what was freed back to the system, where the C library keeps it.
void return_freed_memory();

// Scratch of the calling thread, kept between calls; valid until the next call from the same thread.
std::byte* thread_workspace(size_t bytes);

}  // namespace convcore
