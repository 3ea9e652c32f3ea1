// SPDX-License-Identifier: BSD-3-Clause
#include "measure.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "base/threads.h"
#include "kernels/table.h"

namespace convcore::bench {

double peak_gflops() {
  static const double peak = [] {
    using Clock = std::chrono::steady_clock;
    double best = 0;
    for (int i = 0; i < 20; ++i) {
      const Clock::time_point start = Clock::now();
      const double flops = table().tile.fma_peak(1000000);
      best = std::max(best, flops / std::chrono::duration<double>(Clock::now() - start).count());
    }
    return best / 1e9;
  }();
  return peak;
}

void report(benchmark::State& state, double flops) {
  using benchmark::Counter;
  const double gflop = flops / 1e9, peak = peak_gflops() * num_threads();
  state.counters["GFLOP/s"] = Counter(gflop, Counter::kIsIterationInvariantRate);
  state.counters["%peak"] = Counter(100 * gflop / peak, Counter::kIsIterationInvariantRate);
}

double dot(const Tensor& a, const Tensor& b) {
  double total = 0;
  for (int64_t i = 0; i < a.shape.size(); ++i) total += static_cast<double>(a.f32()[i]) * b.f32()[i];
  return total;
}

}  // namespace convcore::bench

// convcore_bench [Google Benchmark's options] [file of bench/shapes]... CONVCORE_ISA and CONVCORE_NUM_THREADS choose
// what is measured; one thread unless told.
int main(int argc, char** argv) try {
  using namespace convcore;
  if (std::getenv("CONVCORE_NUM_THREADS") == nullptr) set_num_threads(1);
  benchmark::Initialize(&argc, argv);
  if (argc > 1 && argv[1][0] == '-' && benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  if (argc == 1) bench::register_convolutions(CONVCORE_SHAPES);
  for (int i = 1; i < argc; ++i) bench::register_convolutions(argv[i]);
  bench::register_pools();
  benchmark::AddCustomContext("isa", name_of(table().isa));
  benchmark::AddCustomContext("threads", std::to_string(num_threads()));
  benchmark::AddCustomContext("peak of one thread, GFLOP/s", std::to_string(bench::peak_gflops()));
  benchmark::RunSpecifiedBenchmarks();
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "convcore_bench: %s\n", e.what());
  return 1;
}
