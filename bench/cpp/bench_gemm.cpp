// SPDX-License-Identifier: BSD-3-Clause
// C = A B of square and convolution-like sizes. Names: gemm/<M>/<N>/<K>.
#include <cmath>
#include <random>
#include <vector>

#include "base/memory.h"
#include "measure.h"
#include "ops/gemm.h"

namespace convcore::bench {
namespace {

AlignedBuffer uniform(int64_t count, unsigned seed) {
  AlignedBuffer buffer(static_cast<size_t>(count) * sizeof(float));
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> draw(-1, 1);
  for (int64_t i = 0; i < count; ++i) buffer.floats()[i] = draw(random);
  return buffer;
}

// Every element of C, by its rows' sums: C 1 = A (B 1).
bool correct(int64_t m, int64_t n, int64_t k, const float* a, const float* b, const float* c) {
  std::vector<double> row_sums(static_cast<size_t>(k));
  for (int64_t p = 0; p < k; ++p)
    for (int64_t j = 0; j < n; ++j) row_sums[static_cast<size_t>(p)] += b[p * n + j];
  for (int64_t i = 0; i < m; ++i) {
    double got = 0, expected = 0;
    for (int64_t j = 0; j < n; ++j) got += c[i * n + j];
    for (int64_t p = 0; p < k; ++p) expected += a[i * k + p] * row_sums[static_cast<size_t>(p)];
    if (!(std::abs(got - expected) <= 1e-4 * std::sqrt(static_cast<double>(n * k)))) return false;
  }
  return true;
}

void gemm(benchmark::State& state) {
  const int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const AlignedBuffer a = uniform(m * k, 1), b = uniform(k * n, 2), c = uniform(m * n, 3);
  const Gemm product(m, n, k);
  const AlignedBuffer packed(product.packed_bytes()), workspace(product.workspace_bytes());
  const auto once = [&] {  // packing B is part of it
    product.pack({b.floats(), n, 1}, packed.data());
    product.run({a.floats(), k, 1}, packed.data(), c.floats(), n, m, false, workspace.data());
  };
  once();
  if (!correct(m, n, k, a.floats(), b.floats(), c.floats())) return state.SkipWithError("wrong result");
  for (auto _ : state) once();
  report(state, 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k));
}

BENCHMARK(gemm)
    ->Args({256, 256, 256})
    ->Args({512, 512, 512})
    ->Args({1024, 1024, 1024})
    ->Args({2048, 2048, 2048})
    ->Args({3136, 64, 576})   // im2col of ResNet-50's first 3x3
    ->Args({49, 512, 4608})   // and of its last
    ->Args({64, 10, 84})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace convcore::bench
