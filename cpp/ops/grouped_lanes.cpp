// SPDX-License-Identifier: BSD-3-Clause
#include "ops/grouped_lanes.h"

#include <algorithm>

#include "kernels/table.h"
#include "ops/tiles.h"

namespace convcore {
namespace {

// Input channel 0 of the groups of output channels [first, last]; input channel k is k further.
struct Span {
  int64_t low, high;
};
Span span_of(const GroupedShape& s, int64_t first, int64_t last) {
  return {first / s.out_c * s.in_c, last / s.out_c * s.in_c};
}

// How many output channels from `first` on make a vector.
int64_t columns_from(const GroupedShape& s, int64_t first) {
  const int64_t lanes = table().grouped.lanes;
  int64_t columns = std::min(lanes, s.groups * s.out_c - first);
  while (span_of(s, first, first + columns - 1).high - span_of(s, first, first).low >= 2 * lanes) --columns;
  return columns;
}

GroupedLanes::Source source_of(const Span& span) {
  if (span.low == span.high) return GroupedLanes::broadcast;
  return span.high - span.low < table().grouped.lanes ? GroupedLanes::single : GroupedLanes::pair;
}

}  // namespace

bool GroupedChannels::accepts(const GroupedShape& s) {
  const int64_t lanes = table().grouped.lanes;
  const int64_t most_groups = lanes % s.out_c == 0 ? lanes / s.out_c : (lanes - 2) / s.out_c + 2;
  return s.groups > 1 && s.groups * std::min(s.in_c, s.out_c) >= lanes && (most_groups - 1) * s.in_c < 2 * lanes;
}

double GroupedChannels::efficiency(const GroupedShape& s, bool sliding) {
  const GroupedKernels& kernels = table().grouped;
  const int64_t channels = s.groups * s.out_c;
  double cost = 0;
  for (int64_t c = 0, columns = 0; c < channels; c += columns) {
    columns = columns_from(s, c);
    cost += kernels.lanes / kernels.efficiency[sliding][source_of(span_of(s, c, c + columns - 1))];
  }
  return static_cast<double>(channels) / cost;
}

GroupedChannels::GroupedChannels(const GroupedShape& s, bool whole) {
  const int64_t lanes = table().grouped.lanes, in_channels = s.groups * s.in_c, channels = s.groups * s.out_c;
  for (int64_t c = 0; c < channels; c += vectors_.back().columns) {
    const int64_t first = whole ? std::min(c, channels - lanes) : c, columns = columns_from(s, first);
    vectors_.push_back({source_of(span_of(s, first, first + columns - 1)), static_cast<int>(columns), first, s.in_c,
                        nullptr, nullptr});
  }
  start_.resize(vectors_.size() * s.in_c * 2);
  index_.resize(vectors_.size() * s.in_c * lanes);
  for (size_t v = 0; v < vectors_.size(); ++v) {
    GroupedLanes& l = vectors_[v];
    l.start = &start_[v * s.in_c * 2], l.index = &index_[v * s.in_c * lanes];
    const Span span = span_of(s, l.channel, l.channel + l.columns - 1);
    // Where one load, or two, serve all k, they stand at the same, probably aligned, place.
    const int64_t loads = l.source == GroupedLanes::pair ? 2 : 1;
    const bool fixed = l.source != GroupedLanes::broadcast && span.high + s.in_c - span.low <= loads * lanes;
    for (int64_t k = 0; k < s.in_c; ++k) {
      int64_t* start = &start_[(v * s.in_c + k) * 2];
      start[0] = fixed ? span.low : span.low + k;
      if (l.source != GroupedLanes::broadcast) start[0] = std::min(start[0], in_channels - lanes);
      start[1] = std::min(start[0] + lanes, in_channels - lanes);
      for (int64_t j = 0; j < lanes; ++j) {
        const int64_t wanted = (l.channel + std::min<int64_t>(j, l.columns - 1)) / s.out_c * s.in_c + k;
        const bool second = wanted >= start[0] + lanes;
        index_[(v * s.in_c + k) * lanes + j] = static_cast<int>(second ? lanes + wanted - start[1] : wanted - start[0]);
      }
    }
  }
}

}  // namespace convcore
