// SPDX-License-Identifier: BSD-3-Clause
// A program outside this repository that finds convcore by CMake: nine ones under a 3x3 window of ones make 9.
#include <convcore/convcore.h>

#include <iostream>
#include <vector>

int main() {
  convcore::Graph graph;
  const int x = graph.add_input("x", {{1, 1, 5, 5}});
  const int w = graph.add_parameter("w", {1, 1, 3, 3});
  graph.set_outputs({graph.add_node("conv2d", "conv", {}, {x, w, -1})});
  convcore::Program program(std::move(graph));
  std::vector<float> pixels(25, 1.0f), weight(9, 1.0f), result(9);
  float* parameters[] = {weight.data()};
  program.bind(parameters, {}, nullptr);
  const convcore::Tensor input{pixels.data(), {1, 1, 5, 5}, convcore::DType::f32, 1};
  const convcore::Tensor output{result.data(), {1, 1, 3, 3}, convcore::DType::f32, 1};
  program.run({&input, 1}, {&output, 1});
  for (float v : result) std::cout << v << ' ';
  return result == std::vector<float>(9, 9.0f) ? 0 : 1;
}
