// SPDX-License-Identifier: BSD-3-Clause
// What to compute: nodes (op + attributes) over values. Shapes are inferred as nodes are added, so a wrong layer is
// reported at once, by name. Built by Python's layers, by importers, or in C++.
#pragma once

#include <string>
#include <vector>

#include "ops/op.h"

namespace convcore {

enum class ValueKind {
  input,      // given at every run
  parameter,  // trained; dense, float32
  buffer,     // kept but not trained (running statistics, class weights, constants); float32
  activation  // computed
};

struct Value {
  std::string name;  // inputs, parameters, buffers: their own; activations: the node's
  ValueKind kind;
  TensorSpec spec;
  bool dense = false;  // dense memory (parameters, labels) rather than channels-last
  int producer = -1;   // node, or -1
};

struct Node {
  std::string kind, name;  // op kind; the layer's name ("layer1.0.conv1"), for errors and profiles
  Attributes attributes;
  std::vector<int> inputs;  // value ids; -1: absent optional input
  std::vector<int> outputs;
};

// Dense and channels-last memory of this shape are the same (one channel, one pixel per image, or rank 5 or 6).
bool layouts_agree(const Shape& shape);

class Graph {
 public:
  explicit Graph(bool training = false) : training_(training) {}

  // float32 and uint8 inputs are channels-last activations, int64 inputs are dense labels. Each add_ throws ShapeError
  // for a negative dimension or more than 64 TiB.
  int add_input(const std::string& name, const TensorSpec& spec);
  int add_parameter(const std::string& name, const Shape& shape);
  // channels_last: its memory is an activation's, for ops that take one.
  int add_buffer(const std::string& name, const Shape& shape, bool channels_last = false);
  // Appends a node (nodes are therefore in topological order) and returns its first output. Errors of the op's plan()
  // are rethrown with the layer's name in front: "layer1.0.conv1 (conv2d): weight expects ...".
  int add_node(const std::string& kind, const std::string& name, const Attributes& attributes,
               const std::vector<int>& inputs);
  void set_outputs(const std::vector<int>& values);
  // For rewrites: a value that a node will compute; nodes in topological order, which compute the same outputs.
  int add_computed(const std::string& name, const TensorSpec& spec);
  void replace_nodes(std::vector<Node> nodes);

  bool training() const { return training_; }
  const std::vector<Value>& values() const { return values_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<int>& outputs() const { return outputs_; }
  std::vector<int> of_kind(ValueKind kind) const;  // value ids, in the order they were added

  // The specs of a node's inputs, as Op::plan() takes them.
  std::vector<TensorSpec> input_specs(const std::vector<int>& inputs) const;

 private:
  int add_value(Value value);
  void check_layouts(const Op& op, const std::vector<int>& inputs) const;

  bool training_;
  std::vector<Value> values_;
  std::vector<Node> nodes_;
  std::vector<int> outputs_;
};

}  // namespace convcore
