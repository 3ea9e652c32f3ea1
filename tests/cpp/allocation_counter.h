// SPDX-License-Identifier: BSD-3-Clause
// Counts every operator new of the test program.
#pragma once

#include <cstdint>

namespace convcore::testing {

uint64_t operator_new_count();

}  // namespace convcore::testing
