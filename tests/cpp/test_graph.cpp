// SPDX-License-Identifier: BSD-3-Clause
// Graphs and Programs as a C++ user builds them: a small residual network is trained, and watched while it runs.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "allocation_counter.h"
#include "convcore/convcore.h"
#include "graph/arena.h"
#include "op_runner.h"

namespace convcore {
namespace {

constexpr int64_t kBatch = 6, kClasses = 5;
using Ints = std::vector<int64_t>;

// conv - relu - conv - add the first relu's output - relu - max pool - concat with itself - flatten - linear (- loss)
Graph residual_graph(bool training) {
  Graph g(training);
  const int x = g.add_input("x", {{kBatch, 3, 9, 10}});
  const Attributes same{{"padding", Ints{1, 1, 1, 1}}};
  const int w1 = g.add_parameter("conv1.weight", {8, 3, 3, 3}), b1 = g.add_parameter("conv1.bias", {8});
  const int stem = g.add_node("relu", "relu1", {}, {g.add_node("conv2d", "conv1", same, {x, w1, b1})});
  const int w2 = g.add_parameter("conv2.weight", {8, 8, 3, 3});
  const int branch = g.add_node("conv2d", "conv2", same, {stem, w2, -1});
  const int block = g.add_node("relu", "relu2", {}, {g.add_node("add", "sum", {}, {branch, stem})});
  const int pooled = g.add_node("max_pool2d", "pool", {{"kernel_size", Ints{2, 2}}}, {block});
  const int wide = g.add_node("concat", "cat", {}, {pooled, pooled});
  const int flat = g.add_node("flatten", "flatten", {}, {wide});
  const int w3 = g.add_parameter("fc.weight", {kClasses, 16 * 4 * 5}), b3 = g.add_parameter("fc.bias", {kClasses});
  const int logits = g.add_node("linear", "fc", {}, {flat, w3, b3});
  if (!training) {
    g.set_outputs({logits});
    return g;
  }
  const int labels = g.add_input("labels", {{kBatch}, DType::i64});
  g.set_outputs({g.add_node("cross_entropy", "loss", {}, {logits, labels}), logits});
  return g;
}

// A Program with parameters, gradients, one batch and memory for its outputs.
struct Bound {
  explicit Bound(Graph graph) : program(std::move(graph)) {
    std::mt19937 random(3);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (int id : program.graph().of_kind(ValueKind::parameter)) {
      const Shape& shape = program.graph().values()[static_cast<size_t>(id)].spec.shape;
      const float scale = 1 / std::sqrt(static_cast<float>(shape.size() / shape[0]));
      std::vector<float>& p = parameters.emplace_back(static_cast<size_t>(shape.size()));
      for (float& v : p) v = scale * uniform(random);
      sizes.push_back(shape.size());
    }
    for (std::vector<float>& p : parameters) pointers.push_back(p.data());
    if (program.graph().training()) {
      gradients.assign(program.gradient_size(), 0);
      for (size_t i = 0; i < sizes.size(); ++i) offsets.push_back(program.gradient_offset(static_cast<int>(i)));
    }
    program.bind(pointers, {}, gradients.empty() ? nullptr : gradients.data());
    for (float& v : x) v = uniform(random);
    inputs.push_back({x.data(), {kBatch, 3, 9, 10}, DType::f32, 3});
    if (program.graph().training()) {
      inputs.push_back({labels.data(), {kBatch}, DType::i64, 0});
      outputs.push_back({&loss, {}, DType::f32, 1});
    }
    outputs.push_back({logits.data(), {kBatch, kClasses}, DType::f32, kClasses});
  }

  float forward_backward(uint64_t step = 0) {
    program.set_version(++version);
    program.forward_backward(inputs, outputs, 0, step);
    return loss;
  }

  Program program;
  std::vector<std::vector<float>> parameters;
  std::vector<float*> pointers;
  std::vector<int64_t> sizes;
  std::vector<float> gradients;
  std::vector<size_t> offsets;
  std::vector<float> x = std::vector<float>(kBatch * 3 * 9 * 10), logits = std::vector<float>(kBatch * kClasses);
  std::vector<int64_t> labels = {0, 1, 2, 3, 4, 0};
  float loss = 0;
  std::vector<Tensor> inputs, outputs;
  uint64_t version = 0;
};

std::vector<std::vector<float>> train(int threads, int steps, float* last_loss) {
  const int before = num_threads();
  set_num_threads(threads);
  Bound net(residual_graph(true));
  Optimizer sgd("sgd", {{"momentum", 0.9}}, net.sizes);
  for (int s = 0; s < steps; ++s) {
    *last_loss = net.forward_backward(static_cast<uint64_t>(s));
    const float* gradients = net.gradients.data();
    sgd.update(net.pointers, gradients, net.offsets, 0.05f);
  }
  set_num_threads(before);
  return net.parameters;
}

// Runs one op of the reference evaluation with buffers of its own.
std::vector<float> run_op(const std::string& kind, const Attributes& attributes,
                          const std::vector<std::pair<Shape, std::vector<float>>>& inputs, Shape* shape) {
  std::vector<TensorSpec> specs;
  for (const auto& [s, values] : inputs) specs.push_back({s});
  testing::OpRunner<> runner(kind, attributes, specs, false);
  runner.allocate();
  for (size_t i = 0; i < inputs.size(); ++i)
    if (runner.inputs()[i]) std::copy(inputs[i].second.begin(), inputs[i].second.end(), runner.inputs()[i].f32());
  runner.pack();
  runner.forward();
  *shape = runner.output_specs()[0].shape;
  const float* y = runner.outputs()[0].f32();
  return {y, y + shape->size()};
}

}  // namespace

TEST_CASE("training lowers the loss, and running allocates nothing") {
  const int threads_before = num_threads();
  for (int threads : {1, 2}) {
    CAPTURE(threads);
    set_num_threads(threads);
    Bound net(residual_graph(true));
    Optimizer adam("adam", {}, net.sizes);
    const float first = net.forward_backward();
    adam.update(net.pointers, net.gradients.data(), net.offsets, 1e-3f);

    const uint64_t news = testing::operator_new_count(), buffers = allocation_count();
    for (uint64_t s = 1; s <= 20; ++s) {
      net.forward_backward(s);
      adam.update(net.pointers, net.gradients.data(), net.offsets, 1e-2f);
    }
    const uint64_t new_news = testing::operator_new_count() - news, new_buffers = allocation_count() - buffers;
    CHECK(new_news == 0);
    CHECK(new_buffers == 0);
    CHECK(std::isfinite(net.loss));
    CHECK(net.loss < 0.5f * first);
  }
  set_num_threads(threads_before);
}

TEST_CASE("inference allocates nothing either") {
  Bound net(residual_graph(false));
  net.program.run(net.inputs, net.outputs);
  const uint64_t news = testing::operator_new_count(), buffers = allocation_count();
  for (int i = 0; i < 3; ++i) net.program.run(net.inputs, net.outputs);
  const uint64_t new_news = testing::operator_new_count() - news, new_buffers = allocation_count() - buffers;
  CHECK(new_news == 0);
  CHECK(new_buffers == 0);
}

TEST_CASE("weights after 20 steps are the same bits for 1, 2 and 3 threads") {
  float loss1 = 0, loss = 0;
  const auto one = train(1, 20, &loss1);
  for (int threads : {2, 3}) {
    const auto other = train(threads, 20, &loss);
    CHECK(std::memcmp(&loss1, &loss, sizeof loss) == 0);
    for (size_t i = 0; i < one.size(); ++i)
      CHECK(std::memcmp(one[i].data(), other[i].data(), one[i].size() * sizeof(float)) == 0);
  }
}

TEST_CASE("buffers alive at the same step never share memory") {
  std::mt19937 random(5);
  const auto below = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
  for (int round = 0; round < 100; ++round) {
    std::vector<Block> blocks;
    size_t all = 0, heaviest_step = 0;
    for (int i = below(30); i >= 0; --i) {
      const int first = below(20);
      blocks.push_back({static_cast<size_t>(below(5000)), first, first + below(8)});
      all += align_up(std::max<size_t>(blocks.back().bytes, 1));
    }
    const size_t bytes = place(blocks);
    for (int step = 0; step < 28; ++step) {
      size_t alive = 0;
      for (const Block& b : blocks) alive += b.first <= step && step <= b.last ? b.bytes : 0;
      heaviest_step = std::max(heaviest_step, alive);
    }
    CHECK(heaviest_step <= bytes);
    CHECK(bytes <= all);
    for (const Block& a : blocks) {
      CHECK(a.offset % kAlignment == 0);
      CHECK(a.offset + a.bytes <= bytes);
      for (const Block& b : blocks) {
        const bool together = a.first <= b.last && b.first <= a.last;
        CHECK((&a == &b || !together || a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset));
      }
    }
  }
}

TEST_CASE("no buffer of the arena overwrites a live one: the Program equals its ops run one by one") {
  Bound net(residual_graph(false));
  net.program.run(net.inputs, net.outputs);

  const auto& p = net.parameters;
  const Attributes same{{"padding", Ints{1, 1, 1, 1}}};
  Shape s, scratch;
  auto conv1 = run_op("conv2d", same, {{{kBatch, 3, 9, 10}, net.x}, {{8, 3, 3, 3}, p[0]}, {{8}, p[1]}}, &s);
  auto stem = run_op("relu", {}, {{s, conv1}}, &s);
  auto branch = run_op("conv2d", same, {{s, stem}, {{8, 8, 3, 3}, p[2]}, {{}, {}}}, &s);
  auto sum = run_op("add", {}, {{s, branch}, {s, stem}}, &s);
  auto pooled = run_op("max_pool2d", {{"kernel_size", Ints{2, 2}}}, {{s, run_op("relu", {}, {{s, sum}}, &scratch)}}, &s);
  auto wide = run_op("concat", {}, {{s, pooled}, {s, pooled}}, &scratch);
  auto flat = run_op("flatten", {}, {{scratch, wide}}, &s);
  auto logits = run_op("linear", {}, {{s, flat}, {{kClasses, s[1]}, p[3]}, {{kClasses}, p[4]}}, &s);
  for (size_t i = 0; i < logits.size(); ++i) CHECK(net.logits[i] == doctest::Approx(logits[i]).epsilon(1e-5));
}

TEST_CASE("gradients are the slope of the loss") {
  Bound net(residual_graph(true));
  net.forward_backward();
  const std::vector<float> g = net.gradients;
  for (size_t i = 0; i < net.sizes.size(); ++i) {
    CAPTURE(i);
    const float* gi = g.data() + net.offsets[i];
    const double norm = std::sqrt(std::inner_product(gi, gi + net.sizes[i], gi, 0.0));
    CHECK(norm > 1e-4);
    // Central difference along the gradient itself: the slope there is its norm. 1e-2 leaves room for ReLU's kinks.
    const std::vector<float> at = net.parameters[i];
    const double step = 2e-3;
    double losses[2];
    for (int side : {0, 1}) {
      for (size_t k = 0; k < at.size(); ++k)
        net.parameters[i][k] = static_cast<float>(at[k] + (side ? step : -step) * gi[k] / norm);
      losses[side] = net.forward_backward();
    }
    std::copy(at.begin(), at.end(), net.parameters[i].begin());
    CHECK((losses[1] - losses[0]) / (2 * step) == doctest::Approx(norm).epsilon(1e-2));
  }
}

TEST_CASE("memory is known before the first run") {
  const Bound training(residual_graph(true)), inference(residual_graph(false));
  const MemoryReport t = training.program.memory(), i = inference.program.memory();
  const size_t floats = static_cast<size_t>(std::accumulate(training.sizes.begin(), training.sizes.end(), int64_t{0}));
  CHECK(t.parameters == 4 * floats);
  CHECK(t.gradients >= 4 * floats);
  CHECK(i.gradients == 0);
  CHECK(i.arena < t.arena);
}

TEST_CASE("labels out of range are refused before anything is computed") {
  Bound net(residual_graph(true));
  net.forward_backward();
  const std::vector<float> logits = net.logits, gradients = net.gradients;
  net.parameters[0][0] += 1;
  net.labels[3] = kClasses;
  CHECK_THROWS_WITH_AS(net.forward_backward(), "cross_entropy: label 5 at index 3 is outside [0, 5)", ValueError);
  CHECK(net.logits == logits);
  CHECK(net.gradients == gradients);
  net.labels[3] = 0;
  net.forward_backward();
  CHECK(net.logits != logits);
}

// Positions of maxima are integers that a node computes: nobody can check them when the run starts.
TEST_CASE("labels that a node computes are checked when they are there") {
  Graph g;
  const int x = g.add_input("x", {{2, 1, 4}}), scores = g.add_input("scores", {{2, 3, 1, 2}});
  const int places = g.add_node("max_pool2d_indices", "", {{"kernel_size", Ints{1, 2}}}, {x});
  g.set_outputs({g.add_node("hinge_loss", "", {}, {scores, places})});
  Program program(g);
  float values[8] = {0, 0, 1, 0, 0, 0, 1, 0}, given[12] = {}, loss = 0;
  const std::vector<Tensor> inputs{{values, {2, 1, 4}, DType::f32, 1}, {given, {2, 3, 1, 2}, DType::f32, 3}};
  const std::vector<Tensor> outputs{{&loss, {}, DType::f32, 1}};
  program.run(inputs, outputs);
  CHECK(loss == doctest::Approx(2));
  values[3] = 2;
  CHECK_THROWS_WITH_AS(program.run(inputs, outputs), "hinge_loss: label 3 at index 1 is outside [0, 3)", ValueError);
}

TEST_CASE("an input that is read as dense memory must be packed") {
  Graph g;
  const int image = g.add_input("image", {{2, 3, 4, 4}}), weight = g.add_input("weight", {{5, 3}});
  const int pooled = g.add_node("adaptive_avg_pool2d", "", {{"output_size", Ints{1, 1}}}, {image});
  g.set_outputs({g.add_node("linear", "", {}, {g.add_node("flatten", "", {}, {pooled}), weight, -1})});
  const Program program(g);
  CHECK_FALSE(program.input_must_be_packed(0));
  CHECK(program.input_must_be_packed(1));
  CHECK_THROWS_AS(program.input_must_be_packed(2), ValueError);
}

TEST_CASE("errors name the layer") {
  Graph g;
  const int x = g.add_input("x", {{1, 4, 8, 8}});
  const int w = g.add_parameter("w", {8, 3, 3, 3});
  try {
    g.add_node("conv2d", "layer1.0.conv1", {}, {x, w, -1});
    FAIL("a weight of 3 channels was accepted for 4");
  } catch (const ShapeError& e) {
    CHECK(std::string(e.what()).rfind("layer1.0.conv1 (conv2d): ", 0) == 0);
  }
  CHECK_THROWS_AS(g.add_node("conv2d", "c", {}, {x, 99, -1}), ValueError);
  CHECK_THROWS_AS(g.add_node("no_such_op", "c", {}, {x}), ValueError);
  CHECK_THROWS_AS(g.set_outputs({99}), ValueError);
}

TEST_CASE("a training Program needs a scalar loss") {
  Graph g(true);
  const int x = g.add_input("x", {{2, 4}});
  g.set_outputs({g.add_node("linear", "fc", {}, {x, g.add_parameter("w", {3, 4}), -1})});
  CHECK_THROWS_AS(Program{g}, ShapeError);
}

}  // namespace convcore
