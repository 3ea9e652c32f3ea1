// SPDX-License-Identifier: BSD-3-Clause
// Dropout's random numbers are Philox4x32-10's: a plain Philox gives the known answers that the Random123 library ships
// (kat_vectors), and every kernel draws what it gives.
#include <doctest/doctest.h>

#include <array>
#include <cstdint>

#include "kernels/table.h"

namespace convcore {
namespace {

using Words = std::array<uint32_t, 4>;

Words philox(uint64_t seed, uint64_t stream, uint64_t index) {
  const auto low = [](uint64_t v) { return static_cast<uint32_t>(v); };
  const auto high = [](uint64_t v) { return static_cast<uint32_t>(v >> 32); };
  Words c{low(index), high(index), low(stream), high(stream)};
  uint32_t key0 = low(seed), key1 = high(seed);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0], p1 = uint64_t{0xCD9E8D57u} * c[2];
    c = {high(p1) ^ c[1] ^ key0, low(p1), high(p0) ^ c[3] ^ key1, low(p0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return c;
}

bool kept(const KernelTable& table, int64_t element, const DropoutNumbers& numbers) {
  const float x = 1;
  float y = -1;
  table.elementwise.dropout(1, 1, {&x, 1}, {&y, 1}, element, numbers);
  return y == numbers.scale;
}

}  // namespace

TEST_CASE("philox gives Random123's known answers") {
  CHECK(philox(0, 0, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox(~0ull, ~0ull, ~0ull) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  // counter 243f6a88 85a308d3 13198a2e 03707344 (index, then stream; low word first), key a4093822 299f31d0
  CHECK(philox(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("dropout draws philox's words") {
  const Isa before = table().isa;
  for (const Isa isa : available_isas()) {
    CAPTURE(name_of(isa));
    force_isa(isa);
    for (const uint64_t seed : {0ull, ~0ull, 0x299f31d0a4093822ull})
      for (const uint64_t stream : {0ull, ~0ull, 0x0370734413198a2eull})
        for (const int64_t element : {int64_t{0}, int64_t{16}, int64_t{47}, int64_t{1} << 40, INT64_MAX}) {
          CAPTURE(element);
          const uint64_t i = static_cast<uint64_t>(element);
          const uint32_t word = philox(seed, stream, i / 64 * 16 + i % 16)[i / 16 % 4];
          CHECK(kept(table(), element, {seed, stream, word, 3}));  // an element is kept where word >= threshold
          CHECK_FALSE(kept(table(), element, {seed, stream, word + 1, 3}));
        }
  }
  force_isa(before);
}

}  // namespace convcore
