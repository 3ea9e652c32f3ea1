// SPDX-License-Identifier: BSD-3-Clause
// Pooling, forward and backward. Names: <op>/<pass>/<C>x<H>x<W>/k<kernel>s<stride>. Memory sets the pace, so bytes per
// second are reported: every input read once, every output written once.
#include <cmath>
#include <cstdint>
#include <exception>
#include <string>
#include <vector>

#include "measure.h"
#include "op_runner.h"

namespace convcore::bench {
namespace {

using Ints = std::vector<int64_t>;

struct Case {
  const char* kind;
  int64_t n, c, h, w, kernel, stride;
};
constexpr Case kCases[] = {{"max_pool2d", 1, 64, 112, 112, 3, 2}, {"max_pool2d", 64, 6, 28, 28, 2, 2},
                           {"max_pool2d", 64, 16, 10, 10, 2, 2},  {"avg_pool2d", 1, 64, 112, 112, 2, 2},
                           {"avg_pool2d", 1, 512, 14, 14, 3, 1},  {"avg_pool2d", 1, 2048, 7, 7, 7, 7}};

// The window's maximum or mean by its definition.
bool forward_correct(const Case& p, testing::OpRunner<>& r) {
  const bool is_max = std::string(p.kind) == "max_pool2d";
  const Tensor &x = r.inputs()[0], &y = r.outputs()[0];
  for (int64_t n = 0; n < y.n(); ++n)
    for (int64_t i = 0; i < y.h(); ++i)
      for (int64_t j = 0; j < y.w(); ++j)
        for (int64_t c = 0; c < p.c; ++c) {
          double most = -1e30, sum = 0;
          for (int64_t a = 0; a < p.kernel; ++a)
            for (int64_t b = 0; b < p.kernel; ++b) {
              const double v = x.f32()[((n * p.h + i * p.stride + a) * p.w + j * p.stride + b) * p.c + c];
              most = std::fmax(most, v), sum += v;
            }
          const double expected = is_max ? most : sum / static_cast<double>(p.kernel * p.kernel);
          if (!(std::abs(y.f32()[((n * y.h() + i) * y.w() + j) * p.c + c] - expected) <= 1e-5)) return false;
        }
  return true;
}

// Both poolings are homogeneous of degree 1, so x . dx = y . dy (Euler).
bool backward_correct(testing::OpRunner<>& r) {
  const double expected = dot(r.outputs()[0], r.grad_outputs()[0]), got = dot(r.inputs()[0], r.grad_inputs()[0]);
  return std::abs(got - expected) <= 1e-5 * std::sqrt(static_cast<double>(r.inputs()[0].shape.size()));
}

void run(benchmark::State& state, const Case& p, bool backward) try {
  const Attributes attributes{{"kernel_size", Ints{p.kernel, p.kernel}}, {"stride", Ints{p.stride, p.stride}}};
  testing::OpRunner<> runner(p.kind, attributes, {{{p.n, p.c, p.h, p.w}}}, backward);
  runner.allocate();
  runner.forward();
  const auto once = [&] { backward ? runner.backward() : runner.forward(); };
  once();
  if (!forward_correct(p, runner) || (backward && !backward_correct(runner))) return state.SkipWithError("wrong result");
  for (auto _ : state) once();
  const int64_t floats = p.n * p.c * p.h * p.w + runner.output_specs()[0].shape.size();
  state.SetBytesProcessed(state.iterations() * floats * 4);
  report(state, static_cast<double>(runner.op().flops()));
} catch (const std::exception& e) {
  state.SkipWithError(e.what());
}

}  // namespace

void register_pools() {
  for (const Case& p : kCases)
    for (bool backward : {false, true}) {
      const std::string size = std::to_string(p.c) + 'x' + std::to_string(p.h) + 'x' + std::to_string(p.w);
      const std::string window = "/k" + std::to_string(p.kernel) + 's' + std::to_string(p.stride);
      const std::string name = std::string(p.kind) + (backward ? "/backward/" : "/forward/") + size + window;
      benchmark::RegisterBenchmark(name.c_str(), run, p, backward)->Unit(benchmark::kMicrosecond);
    }
}

}  // namespace convcore::bench
