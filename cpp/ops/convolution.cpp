// SPDX-License-Identifier: BSD-3-Clause
#include "ops/convolution.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <utility>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/blocks.h"
#include "ops/depthwise.h"
#include "ops/direct.h"
#include "ops/direct_scatter.h"
#include "ops/direct_weight.h"
#include "ops/grouped.h"
#include "ops/grouped_weight.h"
#include "ops/im2col.h"
#include "ops/plane_convolution.h"
#include "ops/plane_weight.h"
#include "ops/row_weight.h"
#include "ops/wide_weight.h"
#include "ops/winograd.h"
#include "ops/winograd_weight.h"

namespace convcore {
namespace {

constexpr int64_t kBiasChunks = 64;     // a bias gradient is added up in at most this many runs of pixels
constexpr int64_t kBlockFloats = 4096;  // of a run, masked and added up at a time: they stay in L1 from strip to strip
constexpr int64_t kNarrow = 16;         // pixels of fewer channels are masked and added up as many at a time

bool always(const Conv2dGeometry&, Pass) { return true; }
std::atomic<bool> winograd_enabled{true};

bool is_wanted(const ConvAlgorithm& a, const Conv2dGeometry& g, Pass pass, const std::string& wanted) {
  if (wanted != "auto" && wanted != "exact") return wanted == a.name;
  if (a.name == std::string_view("winograd") && (wanted == "exact" || !winograd_enabled)) return false;
  return a.pays(g, pass);
}

std::unique_ptr<ConvMap> grouped_map(const Conv2dGeometry& g, Pass pass) {
  return std::make_unique<GroupedConvolution>(g, pass);
}
std::unique_ptr<ConvReduce> grouped_reduce(const Conv2dGeometry& g) { return std::make_unique<GroupedWeight>(g); }
std::unique_ptr<ConvMap> direct_map(const Conv2dGeometry& g, Pass pass) {
  DirectShape shape = pass == Pass::forward ? direct_forward(g) : direct_backward_input(g);
  double cycles = DirectConvolution::cycles(shape);
  const bool halo = halo_is_moderate(g);  // else only what needs none
  const bool scatters =
      halo && pass == Pass::backward_input && ScatterConvolution::accepts(g) && ScatterConvolution::cycles(g) < cycles;
  if (scatters) cycles = ScatterConvolution::cycles(g);
  if (halo && !g.prepared && PlaneConvolution::accepts(shape) && PlaneConvolution::cycles(shape) < cycles)
    return std::make_unique<PlaneConvolution>(std::move(shape));
  if (scatters) return std::make_unique<ScatterConvolution>(g);
  return std::make_unique<DirectConvolution>(shape);
}
std::unique_ptr<ConvReduce> direct_reduce(const Conv2dGeometry& g) {
  const bool rows = RowWeight::accepts(g);
  if (PlaneWeight::accepts(g) && (!rows || PlaneWeight::cycles(g) < RowWeight::cycles(g)))
    return std::make_unique<PlaneWeight>(g);
  if (rows) return std::make_unique<RowWeight>(g);
  if (WideWeight::accepts(g)) return std::make_unique<WideWeight>(g);
  return std::make_unique<DirectWeight>(g);
}

// body(chunk, first pixel, last pixel), in parallel; returns how many chunks there are.
template <class Body>
int64_t for_chunks(int64_t pixels, int64_t channels, Body&& body) {
  const int64_t chunks = std::clamp<int64_t>(pixels / 256, 1, kBiasChunks);
  parallel_for(chunks, 1, pixels * channels / chunks, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i, pixels * i / chunks, pixels * (i + 1) / chunks);
  });
  return chunks;
}

}  // namespace

const std::vector<ConvAlgorithm>& conv_algorithms() {
  static const std::vector<ConvAlgorithm> all{
      {"winograd", winograd_accepts, winograd_pays, winograd_map, winograd_reduce},
      {"depthwise", is_depthwise, always, depthwise_map, depthwise_reduce},
      {"grouped", grouped_accepts, grouped_pays, grouped_map, grouped_reduce},
      {"direct", DirectConvolution::accepts, always, direct_map, direct_reduce},
      {"im2col", always, always, im2col_map, im2col_reduce},
  };
  return all;
}

const ConvAlgorithm& choose_algorithm(std::string_view op, const Conv2dGeometry& g, Pass pass,
                                      const std::string& wanted) {
  for (const ConvAlgorithm& a : conv_algorithms())
    if (a.accepts(g, pass) && is_wanted(a, g, pass, wanted)) return a;
  throw ValueError(message(op, "algorithm '", wanted, "' does not serve this convolution"));
}

void ConvMap::run_prepared(const Prologue&, const Tensor&, const std::byte*, const Epilogue&, const Tensor&,
                           std::byte*) const {
  throw std::logic_error("this algorithm cannot prepare its input");
}

size_t ConvMap::once_bytes() const { return align_up(packed_bytes()) + workspace_bytes(); }
void ConvMap::run_once(const Tensor& in, const float* weight, const Epilogue& epilogue, const Tensor& out,
                       std::byte* workspace) const {
  pack(weight, workspace);
  run(in, workspace, epilogue, out, workspace + align_up(packed_bytes()));
}

void set_winograd(bool enabled) { winograd_enabled = enabled; }
bool get_winograd() { return winograd_enabled; }

size_t bias_gradient_bytes(int64_t channels) {
  return align_up(kBiasChunks * (channels < kNarrow ? kNarrow : 1) * channels * 4);
}

void bias_gradient(const Tensor& dy, float* db, std::byte* workspace) {
  const int64_t channels = dy.c(), pixels = dy.pixels();
  float* sums = reinterpret_cast<float*>(workspace);
  const int64_t chunks = for_chunks(pixels, channels, [&](int64_t chunk, int64_t first, int64_t last) {
    table().tile.column_sum(dy.f32() + first * dy.pitch, last - first, channels, dy.pitch, sums + chunk * channels);
  });
  table().tile.column_sum(sums, chunks, channels, channels, db);
}

// Of narrow maps, kNarrow pixels are one row, so that vectors are full; a row's sums are added up in the end.
void activation_gradient(Activation f, const Tensor& y, const Tensor& dy, float* db, std::byte* workspace) {
  const ActivationKernels& kernels = table().elementwise.activation[static_cast<int>(f)];
  if (!db) {
    return parallel_blocks({&dy, &y}, 1, [&](const RowBlock& b) {
      kernels.backward(b.rows, b.columns, b.in(dy), b.in(y), b.out(dy), {});
    });
  }
  const int64_t channels = dy.c(), pixels = dy.pixels();
  const int64_t width = channels < kNarrow && y.packed() && dy.packed() ? kNarrow : 1, columns = width * channels;
  float* sums = reinterpret_cast<float*>(workspace);
  const int64_t chunks = for_chunks(pixels, channels, [&](int64_t chunk, int64_t first, int64_t last) {
    float* sum = sums + chunk * columns;
    std::fill_n(sum, columns, 0.0f);
    const auto add = [&](int64_t rows, int64_t row_pixels) {
      const ConstRows from{y.f32() + first * y.pitch, row_pixels * y.pitch};
      const Rows to{dy.f32() + first * dy.pitch, row_pixels * dy.pitch};
      kernels.backward_sum(rows, row_pixels * channels, from, to, sum);
      first += rows * row_pixels;
    };
    const int64_t step = std::max<int64_t>(1, kBlockFloats / columns);
    while (first + width <= last) add(std::min(step, (last - first) / width), width);
    add(last - first, 1);
  });
  table().tile.column_sum(sums, chunks * width, channels, channels, db);
}

}  // namespace convcore
