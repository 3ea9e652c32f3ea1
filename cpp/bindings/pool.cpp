// SPDX-License-Identifier: BSD-3-Clause
#include "bindings/pool.h"

#include <list>
#include <memory>

#include "base/lock.h"
#include "base/memory.h"

namespace convcore::bindings {
namespace {

constexpr size_t kKeptBytes = 256 << 20;

class Pool {
 public:
  AlignedBuffer take(size_t bytes) {
    {
      const Turn turn(*this);
      auto best = free_->end();
      for (auto it = free_->begin(); it != free_->end(); ++it) {
        const bool fits = it->size() >= bytes && it->size() <= bytes + bytes / 4;  // wastes a quarter at most
        if (fits && (best == free_->end() || it->size() < best->size())) best = it;
      }
      if (best != free_->end()) {
        AlignedBuffer found = std::move(*best);
        free_->erase(best);
        kept_ -= found.size();
        return found;
      }
    }
    return AlignedBuffer(bytes);
  }

  void give(AlignedBuffer buffer) {
    if (buffer.size() > kKeptBytes) return;
    const Turn turn(*this);
    kept_ += buffer.size();
    free_->push_back(std::move(buffer));
    while (kept_ > kKeptBytes) {  // the longest unused goes
      kept_ -= free_->front().size();
      free_->pop_front();
    }
  }

 private:
  // In a forked child the list may be half written: it is left alone, and a new one begun.
  struct Turn {
    explicit Turn(Pool& pool) : mutex(pool.mutex_) {
      if (!mutex.take_over()) return;
      pool.free_ = new std::list<AlignedBuffer>;
      pool.kept_ = 0;
    }
    ~Turn() { mutex.unlock(); }
    ForkMutex& mutex;
  };

  ForkMutex mutex_{"pool"};
  std::list<AlignedBuffer>* free_ = new std::list<AlignedBuffer>;
  size_t kept_ = 0;
};

// Never destroyed: arrays may outlive static objects at exit.
Pool& pool() {
  static Pool& instance = *new Pool;
  return instance;
}

}  // namespace

PooledMemory take_pooled(size_t bytes) {
  auto buffer = std::make_unique<AlignedBuffer>(pool().take(bytes));
  void* data = buffer->data();
  pybind11::capsule owner(buffer.get(), [](void* pointer) {
    const std::unique_ptr<AlignedBuffer> dead(static_cast<AlignedBuffer*>(pointer));
    pool().give(std::move(*dead));
  });
  buffer.release();
  return {data, std::move(owner)};
}

}  // namespace convcore::bindings
