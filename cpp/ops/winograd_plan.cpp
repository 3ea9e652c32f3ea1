// SPDX-License-Identifier: BSD-3-Clause
#include "ops/winograd_plan.h"

#include <cmath>
#include <limits>

#include "base/cpu.h"
#include "kernels/table.h"
#include "ops/sub_convolution.h"
#include "ops/tiles.h"

namespace convcore {

WinogradParts::WinogradParts(const WinogradShape& s, int64_t wanted)
    : n_(s.maps()), tiles_h_(s.tiles_h), tiles_w_(s.tiles_w), out_h_(s.out_h), out_w_(s.out_w), m_(s.m) {
  const int64_t image = tiles_h_ * tiles_w_;
  if (wanted >= image)
    images_ = std::clamp<int64_t>(wanted / image, 1, std::max<int64_t>(n_, 1));
  else if (wanted >= tiles_w_)
    image_splits_ = ceil_div(tiles_h_, wanted / tiles_w_);
  else
    image_splits_ = tiles_h_, row_splits_ = ceil_div(tiles_w_, wanted);
  count_ = ceil_div(n_, images_) * image_splits_ * row_splits_;
}

int64_t WinogradParts::first(int64_t part) const {
  const int64_t piece = part % row_splits_, rows = part / row_splits_ % image_splits_;
  const int64_t image = std::min(part / row_splits_ / image_splits_ * images_, n_);
  return (image * tiles_h_ + tiles_h_ * rows / image_splits_) * tiles_w_ + tiles_w_ * piece / row_splits_;
}

int64_t WinogradParts::most() const {
  return std::min(images_, n_) * ceil_div(tiles_h_, image_splits_) * ceil_div(tiles_w_, row_splits_);
}

int64_t WinogradParts::pixel(int64_t part) const {
  const int64_t image = std::min(part / image_splits_ * images_, n_);
  return (image * out_h_ + tiles_h_ * (part % image_splits_) / image_splits_ * m_) * out_w_;
}

namespace {

// The model counts cycles of one core that starts two vector multiply-adds a cycle. Weights are read while products run;
// all else beyond L2 is counted on top. Measured on Zen 5 (AVX-512 and AVX2).
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kStep = 4;         // cycles that a step of a product takes at least: the latency of a multiply-add
constexpr double kCall = 12;        // cycles around a product of a few tiles
constexpr double kInput = 16, kOutput = 24, kFilter = 20;  // bytes a cycle of V and U written, M read, by transforms
constexpr double kTaps = 10;                               // bytes a cycle of packed taps
constexpr double kReadL3 = 100, kReadMemory = 12, kWriteL3 = 16, kWriteMemory = 5;  // bytes a cycle
constexpr double kReadAhead = 9.5;  // of weights that are fetched from memory while products run
constexpr double kOverlap = 0.15;   // share of the shorter one of two that run at the same time, which still shows
// Of what packing takes: backward-input packs in each call; forward in each of training, once in inference.
double pack_share(const WinogradShape& s) { return s.cold ? 0 : s.turned ? 1 : 0.5; }
// Work should fall into a multiple of kUnits equal pieces, for threads: else it costs up to kImbalance * (kUnits - 1)
// more.
constexpr double kUnits = 4, kImbalance = 0.2;
constexpr int64_t kBlockTiles[] = {16, 32, 64};  // parts of BlockedWinograd
constexpr int64_t kSharedTiles = 16;             // parts of SharedWinograd: their outputs are in L1 for the moments
constexpr double kDirectPixels = 512;            // a block of the direct algorithm

// Cycles to read and write so many bytes, of `resident` bytes that are in use in turn.
double traffic(double read, double written, double resident) {
  if (resident <= 0.5 * static_cast<double>(cpu_info().l2)) return 0;
  if (resident <= 0.5 * static_cast<double>(cpu_info().l3)) return read / kReadL3 + written / kWriteL3;
  return read / kReadMemory + written / kWriteMemory;
}
// Products that take so long, and read weights `visits` times meanwhile.
double behind(double products, const WinogradShape& s, double visits, double bytes) {
  const double reading =
      s.cold ? bytes / kReadAhead + traffic((visits - 1) * bytes, 0, bytes) : traffic(visits * bytes, 0, bytes);
  return std::max(products, reading) + kOverlap * std::min(products, reading);
}
double imbalance(int64_t pieces) {
  const double n = static_cast<double>(std::max<int64_t>(pieces, 1));
  return 1 + kImbalance * (std::ceil(n / kUnits) * kUnits / n - 1);
}

class WinogradCost {
 public:
  WinogradCost(const WinogradShape& s, const WinogradPanel& panel)
      : s_(s), panel_(panel), lanes_(table().tile.lanes), panels_(ceil_div(s.out_c, panel.nr)) {
    const double pairs = static_cast<double>(s.in_c * panels_ * panel.nr), points = static_cast<double>(s.points());
    taps_ = pairs * 9 * 4;
    u_ = pairs * points * 4;
    v_ = static_cast<double>(ceil_div(s.in_c, lanes_) * lanes_) * points * 4;
    m_ = static_cast<double>(panel.nr) * points * 4;
  }

  double blocked(const WinogradParts& parts) const {
    const double count = static_cast<double>(parts.count()), tiles = static_cast<double>(s_.tiles());
    const double most = static_cast<double>(parts.most()), panels = static_cast<double>(panels_);
    const double run = tiles * transforms() + behind(count * products(parts.most(), s_.in_c), s_, count, u_) +
                       traffic(tiles * v_ * panels, tiles * v_, most * (v_ + m_));
    return run * imbalance(parts.count()) + pack_share(s_) * pack_u();
  }
  double shared(int64_t block_tiles, int64_t chunk, bool from_taps) const {
    const double tiles = static_cast<double>(s_.tiles()), block = static_cast<double>(block_tiles);
    const double blocks = std::max(1.0, tiles / block), panels = static_cast<double>(panels_);
    const double chunks = from_taps ? static_cast<double>(ceil_div(s_.in_c, chunk)) : 1;
    const double multiplied = blocks * chunks * products(block_tiles, from_taps ? chunk : s_.in_c);
    const double run = tiles * transforms() + traffic(tiles * v_ * panels, tiles * v_, block * v_) +
                       traffic(tiles * m_ * panels, tiles * m_ * panels, block * m_) +
                       behind(multiplied, s_, blocks, from_taps ? taps_ : u_) +
                       (from_taps ? blocks * u_ / kFilter : 0);
    return run * imbalance(panels_) + pack_share(s_) * (from_taps ? pack_taps() : pack_u());
  }

  // SharedWinograd: tiles whose M fills half of L2 and whose V a quarter of L3; channels whose U fills a third of L2.
  int64_t block_tiles() const {
    const double most =
        std::min(0.5 * static_cast<double>(cpu_info().l2) / m_, 0.25 * static_cast<double>(cpu_info().l3) / v_);
    const int64_t blocks = ceil_div(s_.tiles(), std::max<int64_t>(static_cast<int64_t>(most), 16));
    return std::max<int64_t>(1, ceil_div(s_.tiles(), std::max<int64_t>(blocks, 1)));
  }
  int64_t chunk() const {
    const auto most = static_cast<int64_t>(static_cast<double>(cpu_info().l2) / 3 / m_);
    return std::min(s_.in_c, std::max<int64_t>(most / 8 * 8, 8));
  }

 private:
  double transforms() const { return v_ / kInput + m_ * static_cast<double>(panels_) / kOutput; }
  // All points and panels of `tiles` tiles.
  double products(int64_t tiles, int64_t length) const {
    const int64_t calls = std::max<int64_t>(1, ceil_div(tiles, panel_.mr));
    const double rows = static_cast<double>(tiles) / static_cast<double>(calls), vectors = panel_.nr / lanes_;
    const double step = std::max({rows * vectors / 2 / panel_.efficiency, (rows + vectors) / 2, kStep});
    return static_cast<double>(s_.points() * panels_ * calls) *
           (static_cast<double>(length) * step + kCall + rows * vectors);
  }
  double pack_taps() const { return taps_ / kTaps + traffic(taps_, taps_, 2 * taps_); }
  double pack_u() const { return taps_ / kTaps + u_ / kFilter + traffic(taps_, u_, taps_ + u_); }

  WinogradShape s_;
  WinogradPanel panel_;
  int64_t lanes_, panels_;
  double taps_, u_;  // bytes of the weights, packed
  double v_, m_;     // bytes per tile, and panel
};

}  // namespace

WinogradPlan plan_winograd(const Conv2dGeometry& g, Pass pass) {
  WinogradPlan best{WinogradShape(g, pass, 4), {}, WinogradWay::blocked, 1, 1, 1, kInfinity, 1};
  const auto consider = [&](const WinogradPlan& plan) {
    if (plan.cycles < best.cycles) best = plan;
  };
  for (int m : {4, 2}) {
    const WinogradShape s(g, pass, m);
    for (int i = 0; i < table().winograd.panels; ++i) {
      const WinogradPanel& panel = table().winograd.panel[i];
      if (i > 0 && panel.nr >= 2 * s.out_c) continue;  // mostly padding
      const WinogradCost cost(s, panel);
      for (int64_t wanted : kBlockTiles)
        consider({s, panel, WinogradWay::blocked, wanted, 0, 0, cost.blocked(WinogradParts(s, wanted))});
      const int64_t block = cost.block_tiles(), chunk = cost.chunk();
      for (bool taps : {false, true})
        consider({s, panel, taps ? WinogradWay::shared_taps : WinogradWay::shared, kSharedTiles, block, chunk,
                  cost.shared(block, chunk, taps)});
    }
  }
  return best;
}

double direct_cycles(const Conv2dGeometry& g, Pass pass) {
  const WinogradShape s(g, pass, 4);
  const TilePair tiles = choose_tiles(s.out_c, 9 * s.in_c);
  const double columns = static_cast<double>(ceil_div(s.out_c, tiles.main.nr) * tiles.main.nr);
  const double bytes = 9 * static_cast<double>(s.in_c) * columns * 4;
  const double blocks = std::ceil(static_cast<double>(g.n * s.out_h * s.out_w) / kDirectPixels);
  const DirectShape direct = without_zeros(pass == Pass::forward ? direct_forward(g) : direct_backward_input(g));
  const double products = static_cast<double>(direct.products() / std::max<int64_t>(direct.out_c, 1));
  return behind(products * tiles.cost / (2 * table().tile.lanes), s, blocks, bytes) +
         pack_share(s) * (bytes / kTaps + traffic(bytes, bytes, 2 * bytes));
}

}  // namespace convcore
