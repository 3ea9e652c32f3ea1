// SPDX-License-Identifier: BSD-3-Clause
// Batch norm in the memory that a Program gives it: results over operands, slices of wider tensors, and nothing read or
// written beyond any of them (all end at guard pages).
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "guard.h"
#include "kernels/table.h"
#include "op_runner.h"

namespace convcore {
namespace {

using Runner = testing::OpRunner<testing::Guarded<std::byte>>;
enum { kX, kWeight, kBias, kMean, kVariance, kResidual, kStatistics };

struct Settings {
  int64_t channels, slack;
  std::string activation;
  bool residual, statistics = false;
};

Runner make(const Settings& s) {
  const TensorSpec x{{2, s.channels, 5, 7}}, row{{s.channels}};
  std::vector<TensorSpec> inputs{x, row, row, row, row};
  inputs.push_back(s.residual ? x : TensorSpec{});
  if (s.statistics) inputs.push_back({{1, 1 + 2 * s.channels}});
  Runner runner("batch_norm", {{"activation", s.activation}}, inputs, true, s.slack);
  runner.allocate();
  if (s.statistics) {
    float* row = runner.inputs()[kStatistics].f32();
    std::fill_n(row, 1 + 2 * s.channels, 0.0f);  // 70 pixels of mean 0 and variance 1
    row[0] = 70;
    std::fill_n(row + 1 + s.channels, s.channels, 70.0f);
    runner.grad_inputs()[kStatistics].data = nullptr;
  }
  return runner;
}

// All pixels, without what stands between them.
std::vector<float> values(const Tensor& t) {
  std::vector<float> all;
  for (int64_t p = 0; p < t.pixels(); ++p) all.insert(all.end(), t.f32() + p * t.pitch, t.f32() + p * t.pitch + t.c());
  return all;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

struct Results {
  std::vector<float> y, dx, residual;

  explicit Results(Runner& runner) : y(values(runner.outputs()[0])), dx(values(runner.grad_inputs()[kX])) {
    if (runner.grad_inputs()[kResidual])
      residual = values(runner.grad_inputs()[kResidual]);
  }
};

Results run(Runner& runner) {
  runner.forward();
  runner.backward();
  return Results(runner);
}

template <class Body>
void for_all_settings(Body&& body) {
  const Isa before = table().isa;
  for (const Isa isa : available_isas())
    for (const int64_t channels : {3, 17, 64, 1030})
      for (const int64_t slack : {0, 5})
        for (const char* activation : {"none", "relu", "relu6"})
          for (const bool residual : {false, true}) {
            force_isa(isa);
            CAPTURE(name_of(isa));
            CAPTURE(channels);
            CAPTURE(slack);
            CAPTURE(activation);
            CAPTURE(residual);
            body(Settings{channels, slack, activation, residual});
          }
  force_isa(before);
}

}  // namespace

TEST_CASE("batch norm's output may stand over x or the residual, its gradients over dy or x") {
  for_all_settings([](const Settings& s) {
    Runner apart = make(s);
    const Results expected = run(apart);

    Runner over_x = make(s);
    over_x.outputs()[0].data = over_x.inputs()[kX].data;
    over_x.forward();
    CHECK(same_bits(values(over_x.outputs()[0]), expected.y));

    Runner dx_over_dy = make(s);
    dx_over_dy.grad_inputs()[kX].data = dx_over_dy.grad_outputs()[0].data;
    const Results spent = run(dx_over_dy);
    CHECK(same_bits(spent.dx, expected.dx));
    CHECK(same_bits(spent.residual, expected.residual));

    Runner dx_over_x = make(s);
    dx_over_x.grad_inputs()[kX].data = dx_over_x.inputs()[kX].data;
    CHECK(same_bits(run(dx_over_x).dx, expected.dx));
    if (!s.residual) return;

    Runner over_residual = make(s);
    over_residual.outputs()[0].data = over_residual.inputs()[kResidual].data;
    over_residual.grad_inputs()[kResidual].data = over_residual.grad_outputs()[0].data;
    const Results shared = run(over_residual);
    CHECK(same_bits(shared.y, expected.y));
    CHECK(same_bits(shared.dx, expected.dx));
    CHECK(same_bits(shared.residual, expected.residual));

    Runner unwanted = make(s);  // no gradient of the residual: dy is masked twice
    unwanted.grad_inputs()[kResidual].data = nullptr;
    unwanted.grad_inputs()[kX].data = unwanted.grad_outputs()[0].data;
    CHECK(same_bits(run(unwanted).dx, expected.dx));
  });
}

TEST_CASE("what goes past the caches is the same") {
  constexpr int64_t kPixels = 37, kLines = 16;
  for_all_settings([](const Settings& s) {
    const int64_t pitch = (s.channels + s.slack + kLines - 1) / kLines * kLines, size = kPixels * s.channels;
    std::vector<float> row(static_cast<size_t>(s.channels)), x(static_cast<size_t>(size));
    for (size_t i = 0; i < row.size(); ++i) row[i] = 0.5f + static_cast<float>(i % 7);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 23) - 9.0f;
    const ConstRows in{x.data(), s.channels}, residual{s.residual ? x.data() : nullptr, s.channels};
    const NormActivationKernels& kernels =
        table().norm.with[s.activation == "none" ? 0 : s.activation == "relu" ? 1 : 2];
    // To whole lines from the start of a page on, and to any place.
    for (const int64_t to : {pitch, s.channels}) {
      testing::Guarded<float> near(static_cast<size_t>(kPixels * to)), far(static_cast<size_t>(kPixels * to));
      std::fill(near.data(), near.end(), 77.0f), std::fill(far.data(), far.end(), 77.0f);
      const NormCoefficients k{row.data(), row.data(), row.data()};
      kernels.normalize(kPixels, s.channels, in, k, residual, {near.data(), to}, false);
      kernels.normalize(kPixels, s.channels, in, k, residual, {far.data(), to}, true);
      CHECK(std::equal(near.data(), near.end(), far.data()));
    }
  });
}

// With given statistics all is the same but for the order of backward's sums.
TEST_CASE("batch norm of a slice is batch norm") {
  for_all_settings([](const Settings& s) {
    if (s.slack == 0) return;
    Runner slice = make({s.channels, s.slack, s.activation, s.residual, true});
    Runner packed = make({s.channels, 0, s.activation, s.residual, true});
    const auto copy = [](const Tensor& from, const Tensor& to) {
      for (int64_t p = 0; p < from.pixels(); ++p)
        std::copy_n(from.f32() + p * from.pitch, from.c(), to.f32() + p * to.pitch);
    };
    for (int i : {kWeight, kBias})
      std::copy_n(slice.inputs()[i].f32(), s.channels, packed.inputs()[i].f32());
    copy(slice.inputs()[kX], packed.inputs()[kX]);
    if (s.residual) copy(slice.inputs()[kResidual], packed.inputs()[kResidual]);
    copy(slice.grad_outputs()[0], packed.grad_outputs()[0]);
    const Results a = run(slice), b = run(packed);
    CHECK(same_bits(a.y, b.y));
    CHECK(same_bits(a.residual, b.residual));
    float worst = 0;
    for (size_t i = 0; i < a.dx.size(); ++i) worst = std::fmax(worst, std::fabs(a.dx[i] - b.dx[i]));
    CHECK(worst < 1e-5f);
  });
}

}  // namespace convcore
