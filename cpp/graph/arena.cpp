// SPDX-License-Identifier: BSD-3-Clause
#include "graph/arena.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/memory.h"

namespace convcore {

size_t place(std::vector<Block>& blocks) {
  for (Block& b : blocks) b.bytes = align_up(std::max<size_t>(b.bytes, 1));
  std::vector<size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return blocks[a].bytes > blocks[b].bytes; });

  std::vector<const Block*> placed;  // by offset
  size_t total = 0;
  for (size_t i : order) {
    Block& b = blocks[i];
    size_t end = 0;  // of the neighbours so far
    size_t smallest = std::numeric_limits<size_t>::max();
    bool found = false;
    for (const Block* p : placed) {
      if (p->last < b.first || b.last < p->first) continue;
      if (p->offset >= end + b.bytes && p->offset - end < smallest) {
        smallest = p->offset - end;
        b.offset = end;
        found = true;
      }
      end = std::max(end, p->offset + p->bytes);
    }
    if (!found) b.offset = end;
    total = std::max(total, b.offset + b.bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), &b,
                                   [](const Block* x, const Block* y) { return x->offset < y->offset; }),
                  &b);
  }
  return total;
}

}  // namespace convcore
