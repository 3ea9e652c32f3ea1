// SPDX-License-Identifier: BSD-3-Clause
// The known answers of philox4x32-10 that the Random123 library ships (kat_vectors).
#include "base/random.h"

#include <doctest/doctest.h>

namespace convcore {

TEST_CASE("philox gives Random123's known answers") {
  using Words = std::array<uint32_t, 4>;
  CHECK(philox(0, 0, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox(~0ull, ~0ull, ~0ull) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  // counter 243f6a88 85a308d3 13198a2e 03707344 (index, then stream; low word first), key a4093822 299f31d0
  CHECK(philox(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

}  // namespace convcore
