// SPDX-License-Identifier: BSD-3-Clause
// Memory for big results, used again when the array that held it is gone.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>

namespace convcore::bindings {

struct PooledMemory {
  void* data;
  pybind11::capsule owner;  // gives the memory back when it dies
};

// At least `bytes`, contents undefined. Keeps at most 256 MiB of unused memory.
PooledMemory take_pooled(size_t bytes);

}  // namespace convcore::bindings
