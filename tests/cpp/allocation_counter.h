// SPDX-License-Identifier: BSD-3-Clause
// Counts every operator new of the test program, and refuses those above 1 GiB, so that an op asked for something absurd
// throws std::bad_alloc here as it would on a small machine.
#pragma once

#include <cstdint>

namespace convcore::testing {

uint64_t operator_new_count();

}  // namespace convcore::testing
