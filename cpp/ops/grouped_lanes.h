// SPDX-License-Identifier: BSD-3-Clause
// Which output channels a vector holds, and where its lanes find their inputs, for the kernels of kernels/grouped.h.
#pragma once

#include <deque>
#include <vector>

#include "kernels/grouped.h"

namespace convcore {

struct GroupedShape {
  int64_t groups, in_c, out_c;  // channels per group
};

class GroupedChannels {
 public:
  // Pixels have a vector of channels on both sides, and a vector's lanes find their inputs in two vectors, or, with in
  // and out exchanged, some lanes do.
  static bool accepts(const GroupedShape& s);
  // Share of the FMA peak to expect. sliding: an input is permuted for several taps.
  static double efficiency(const GroupedShape& s, bool sliding);

  // whole: the last vector begins early enough to be whole, and shares channels with the one before.
  GroupedChannels(const GroupedShape& s, bool whole);
  GroupedChannels(const GroupedChannels&) = delete;

  const std::vector<GroupedLanes>& vectors() const { return vectors_; }

  struct Range {
    int64_t begin, end;
  };
  // Input channels that the kernels read for vectors [first, last), from a multiple of the lanes on.
  Range inputs(int64_t first, int64_t last) const;
  // Floats that hold any such range of a share of the vectors: share i of n is [count * i / n, count * (i + 1) / n).
  int64_t most_inputs(int64_t shares) const;

 private:
  // The tables of a vector; most vectors share one.
  struct Table {
    int64_t position, columns, room;  // position: of the first lane in its group; room: in the pixel from `input` on
    std::vector<int64_t> start;
    std::vector<int> index;
  };
  const Table& table_of(const GroupedShape& s, const GroupedLanes& l);

  std::vector<GroupedLanes> vectors_;
  std::deque<Table> tables_;
};

}  // namespace convcore
