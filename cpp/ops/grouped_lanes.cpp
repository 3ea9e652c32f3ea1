// SPDX-License-Identifier: BSD-3-Clause
#include "ops/grouped_lanes.h"

#include <algorithm>
#include <utility>

#include "kernels/table.h"
#include "ops/tiles.h"

namespace convcore {
namespace {

constexpr int64_t kLine = 16;  // floats in a cache line

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

GroupedLanes::Source source_of(const GroupedShape& s, const Span& span) {
  const int64_t lanes = table().grouped.lanes;
  if (span.low == span.high) return GroupedLanes::broadcast;
  if (span.high - span.low + s.in_c <= lanes) return GroupedLanes::single;
  return span.high - span.low < lanes ? GroupedLanes::shifted : GroupedLanes::pair;
}

}  // namespace

bool GroupedChannels::accepts(const GroupedShape& s) {
  const int64_t lanes = table().grouped.lanes;
  int64_t most_groups = (lanes - 2) / s.out_c + 2;
  if (lanes % s.out_c == 0 || s.out_c % lanes == 0) most_groups = ceil_div(lanes, s.out_c);
  return s.groups > 1 && s.groups * std::min(s.in_c, s.out_c) >= lanes && (most_groups - 1) * s.in_c < 2 * lanes;
}

double GroupedChannels::efficiency(const GroupedShape& s, bool sliding) {
  const GroupedKernels& kernels = table().grouped;
  const int64_t channels = s.groups * s.out_c;
  double cost = 0;
  for (int64_t c = 0, columns = 0; c < channels; c += columns) {
    columns = columns_from(s, c);
    cost += kernels.lanes / kernels.efficiency[sliding][source_of(s, span_of(s, c, c + columns - 1))];
  }
  return static_cast<double>(channels) / cost;
}

GroupedChannels::GroupedChannels(const GroupedShape& s, bool whole) {
  const int64_t lanes = table().grouped.lanes, channels = s.groups * s.out_c;
  for (int64_t c = 0; c < channels; c += vectors_.back().columns) {
    const int64_t first = whole ? std::min(c, channels - lanes) : c, columns = columns_from(s, first);
    const Span span = span_of(s, first, first + columns - 1);
    GroupedLanes l{source_of(s, span), static_cast<int>(columns), first, span.low, s.in_c, nullptr, nullptr};
    if (l.source != GroupedLanes::broadcast) {
      const Table& t = table_of(s, l);
      l.start = t.start.data(), l.index = t.index.data();
    }
    vectors_.push_back(l);
  }
}

GroupedChannels::Range GroupedChannels::inputs(int64_t first, int64_t last) const {
  const int64_t lanes = table().grouped.lanes;
  Range range{vectors_[first].input, 0};
  for (int64_t v = first; v < last; ++v) {
    const GroupedLanes& l = vectors_[v];
    if (l.source == GroupedLanes::broadcast) {
      range.end = std::max(range.end, l.input + l.depth);
      continue;
    }
    const auto [low, high] = std::minmax_element(l.start, l.start + 2 * l.depth);
    range.begin = std::min(range.begin, l.input + *low);
    range.end = std::max(range.end, l.input + *high + lanes);
  }
  return {range.begin / lanes * lanes, range.end};
}

int64_t GroupedChannels::most_inputs(int64_t shares) const {
  const int64_t count = static_cast<int64_t>(vectors_.size());
  int64_t most = 0;
  for (int64_t i = 0; i < shares; ++i) {
    const Range range = inputs(count * i / shares, count * (i + 1) / shares);
    most = std::max(most, ceil_div(range.end - range.begin, kLine) * kLine);
  }
  return most;
}

const GroupedChannels::Table& GroupedChannels::table_of(const GroupedShape& s, const GroupedLanes& l) {
  const int64_t lanes = table().grouped.lanes, position = l.channel % s.out_c;
  const int64_t reach = (position + l.columns - 1) / s.out_c * s.in_c;  // of the last lane's group from the first's
  const int64_t room = std::min(s.groups * s.in_c - l.input, reach + s.in_c + 2 * lanes);
  for (const Table& t : tables_)
    if (t.position == position && t.columns == l.columns && t.room == room) return t;
  Table t{position, l.columns, room, {}, {}};
  // Where the same loads serve all k, they stand at one, probably aligned, place.
  const int64_t loads = l.source == GroupedLanes::pair ? 2 : 1;
  const bool fixed = reach + s.in_c <= loads * lanes;
  for (int64_t k = 0; k < s.in_c; ++k) {
    const int64_t first = std::min(fixed ? 0 : k, room - lanes), second = std::min(first + lanes, room - lanes);
    t.start.insert(t.start.end(), {first, l.source == GroupedLanes::pair ? second : first});
    for (int64_t j = 0; j < lanes; ++j) {
      const int64_t wanted = (position + std::min<int64_t>(j, l.columns - 1)) / s.out_c * s.in_c + k;
      t.index.push_back(static_cast<int>(wanted < first + lanes ? wanted - first : lanes + wanted - second));
    }
  }
  return tables_.emplace_back(std::move(t));
}

}  // namespace convcore
