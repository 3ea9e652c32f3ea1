// SPDX-License-Identifier: BSD-3-Clause
// Each pass of each convolution of a network, by each algorithm. Names: conv/<pass>/<algorithm>/<layer>.
#include <cmath>
#include <cstdint>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "measure.h"
#include "op_runner.h"

namespace convcore::bench {
namespace {

using Ints = std::vector<int64_t>;

enum Pass { kForward, kBackwardInput, kBackwardWeight };
constexpr const char* kPassNames[] = {"forward", "backward_input", "backward_weight"};

// A line of bench/shapes/*.txt. pad there is one number, or rows,columns.
struct Layer {
  std::string name;
  int64_t n, c, h, w, o, kh, kw, stride, pad_h, pad_w, dilation, groups;
};

std::vector<Layer> read_layers(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::vector<Layer> layers;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    Layer l;
    std::istringstream in(line);
    in >> l.name >> l.n >> l.c >> l.h >> l.w >> l.o >> l.kh >> l.kw >> l.stride >> l.pad_h;
    l.pad_w = l.pad_h;
    if (in.peek() == ',') in.ignore() >> l.pad_w;
    in >> l.dilation >> l.groups;
    if (!in) throw std::runtime_error(path + ": cannot read this line: " + line);
    layers.push_back(l);
  }
  return layers;
}

using Runner = testing::OpRunner<>;

Runner make_runner(const Layer& l, Pass pass, const std::string& algorithm) {
  const Attributes attributes{{"stride", Ints{l.stride, l.stride}},
                              {"padding", Ints{l.pad_h, l.pad_h, l.pad_w, l.pad_w}},
                              {"dilation", Ints{l.dilation, l.dilation}},
                              {"groups", l.groups},
                              {"algorithm", algorithm}};
  Runner runner("conv2d", attributes, {{{l.n, l.c, l.h, l.w}}, {{l.o, l.c / l.groups, l.kh, l.kw}}, {}}, true);
  runner.allocate();
  if (pass == kBackwardInput) runner.grad_inputs()[1].data = nullptr;
  if (pass == kBackwardWeight) runner.grad_inputs()[0].data = nullptr;
  return runner;
}

// All three passes sum the same products: y * dy over all outputs = x * dx over all inputs = w * dw over all weights.
// So one sum of a plain loop checks every element that any pass computes.
double reference_sum(const Layer& l, Runner& r) {
  const Tensor &x = r.inputs()[0], &w = r.inputs()[1], &dy = r.grad_outputs()[0];
  const int64_t cg = l.c / l.groups, og = l.o / l.groups;
  double total = 0;
  for (int64_t n = 0; n < l.n; ++n)
    for (int64_t i = 0; i < dy.h(); ++i)
      for (int64_t j = 0; j < dy.w(); ++j)
        for (int64_t o = 0; o < l.o; ++o) {
          float y = 0;
          for (int64_t a = 0; a < l.kh; ++a)
            for (int64_t b = 0; b < l.kw; ++b) {
              const int64_t u = i * l.stride + a * l.dilation - l.pad_h, v = j * l.stride + b * l.dilation - l.pad_w;
              if (u < 0 || v < 0 || u >= l.h || v >= l.w) continue;
              const float* px = x.f32() + ((n * l.h + u) * l.w + v) * l.c + o / og * cg;
              for (int64_t c = 0; c < cg; ++c) y += px[c] * w.f32()[((o * cg + c) * l.kh + a) * l.kw + b];
            }
          total += static_cast<double>(y) * dy.f32()[((n * dy.h() + i) * dy.w() + j) * l.o + o];
        }
  return total;
}

bool correct(const Layer& l, Pass pass, Runner& r) {
  static std::map<std::string, double> references;  // every runner of a layer has the same numbers
  const auto [found, missing] = references.try_emplace(l.name);
  if (missing) found->second = reference_sum(l, r);
  const double got = pass == kForward         ? dot(r.outputs()[0], r.grad_outputs()[0])
                     : pass == kBackwardInput ? dot(r.inputs()[0], r.grad_inputs()[0])
                                              : dot(r.inputs()[1], r.grad_inputs()[1]);
  // Uniform numbers: the sum is a random walk of sqrt(products). Rounding is 1e-6 of that, a wrong element over 1e-3.
  const double products = static_cast<double>(r.outputs()[0].shape.size() * (l.c / l.groups * l.kh * l.kw));
  return std::abs(got - found->second) <= 1e-4 * std::sqrt(products);
}

void run(benchmark::State& state, const Layer& layer, Pass pass, const std::string& algorithm) try {
  Runner runner = make_runner(layer, pass, algorithm);
  const auto once = [&] { pass == kForward ? runner.forward() : runner.backward(); };
  once();
  if (!correct(layer, pass, runner)) return state.SkipWithError("wrong result");
  for (auto _ : state) once();
  report(state, static_cast<double>(runner.op().flops()));
  state.SetLabel(runner.op().algorithm());
} catch (const std::exception& e) {
  state.SkipWithError(e.what());
}

}  // namespace

void register_convolutions(const std::string& shapes) {
  for (const Layer& layer : read_layers(shapes))
    for (Pass pass : {kForward, kBackwardInput, kBackwardWeight})
      for (const char* algorithm : {"direct", "im2col"}) {
        const std::string name = std::string("conv/") + kPassNames[pass] + '/' + algorithm + '/' + layer.name;
        benchmark::RegisterBenchmark(name.c_str(), run, layer, pass, algorithm)->Unit(benchmark::kMicrosecond);
      }
}

}  // namespace convcore::bench
