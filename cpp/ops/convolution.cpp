// SPDX-License-Identifier: BSD-3-Clause
#include "ops/convolution.h"

#include <algorithm>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/direct.h"
#include "ops/direct_scatter.h"
#include "ops/direct_weight.h"
#include "ops/im2col.h"
#include "ops/wide_weight.h"

namespace convcore {
namespace {

constexpr int64_t kBiasChunks = 64;  // a bias gradient is added up in at most this many runs of pixels

bool always(const Conv2dGeometry&, Pass) { return true; }
bool is_wanted(const ConvAlgorithm& a, const Conv2dGeometry& g, Pass pass, const std::string& wanted) {
  if (wanted == a.name) return true;
  return (wanted == "auto" || (wanted == "exact" && a.name != std::string_view("winograd"))) && a.pays(g, pass);
}

std::unique_ptr<ConvMap> direct_map(const Conv2dGeometry& g, Pass pass) {
  if (pass == Pass::backward_input && ScatterConvolution::accepts(g)) return std::make_unique<ScatterConvolution>(g);
  return std::make_unique<DirectConvolution>(pass == Pass::forward ? direct_forward(g) : direct_backward_input(g));
}
std::unique_ptr<ConvReduce> direct_reduce(const Conv2dGeometry& g) {
  if (WideWeight::accepts(g)) return std::make_unique<WideWeight>(g);
  return std::make_unique<DirectWeight>(g);
}

}  // namespace

const std::vector<ConvAlgorithm>& conv_algorithms() {
  static const std::vector<ConvAlgorithm> all{
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

size_t ConvMap::once_bytes() const { return align_up(packed_bytes()) + workspace_bytes(); }
void ConvMap::run_once(const Tensor& in, const float* weight, const Epilogue& epilogue, const Tensor& out,
                       std::byte* workspace) const {
  pack(weight, workspace);
  run(in, workspace, epilogue, out, workspace + align_up(packed_bytes()));
}

size_t bias_gradient_bytes(int64_t channels) { return align_up(kBiasChunks * channels * 4); }

void bias_gradient(const Tensor& dy, float* db, std::byte* workspace) {
  const int64_t channels = dy.c(), pixels = dy.pixels();
  const int64_t chunks = std::clamp<int64_t>(pixels / 256, 1, kBiasChunks);
  float* sums = reinterpret_cast<float*>(workspace);
  parallel_for(chunks, 1, pixels * channels / chunks, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = pixels * i / chunks, last = pixels * (i + 1) / chunks;
      table().tile.column_sum(dy.f32() + first * dy.pitch, last - first, channels, dy.pitch, sums + i * channels);
    }
  });
  table().tile.column_sum(sums, chunks, channels, channels, db);
}

}  // namespace convcore
