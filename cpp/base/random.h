// SPDX-License-Identifier: BSD-3-Clause
// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC11).
// The value depends on (seed, stream, index) alone, so any thread may draw any element.
#pragma once

#include <array>
#include <cstdint>

namespace convcore {

// Four uniform 32-bit words for counter `index` of `stream` under `seed`.
std::array<uint32_t, 4> philox(uint64_t seed, uint64_t stream, uint64_t index);

}  // namespace convcore
