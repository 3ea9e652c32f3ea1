// SPDX-License-Identifier: BSD-3-Clause
#include "graph/graph.h"

#include <utility>

namespace convcore {
namespace {

// Far beyond any machine, and small enough that sums over a graph cannot overflow.
constexpr int64_t kMaxBytes = int64_t{1} << 46;

// "conv2d: weight expects ..." of layer1 becomes "layer1 (conv2d): weight expects ...".
std::string with_layer(std::string_view layer, std::string_view kind, std::string_view what) {
  if (layer.empty()) return std::string(what);
  const std::string prefix = std::string(kind) + ": ";
  if (what.substr(0, prefix.size()) == prefix) what.remove_prefix(prefix.size());
  return message(std::string(layer) + " (" + std::string(kind) + ")", what);
}

}  // namespace

bool layouts_agree(const Shape& shape) {
  return shape.rank() < 3 || shape.rank() > 4 || channels_of(shape) == 1 || shape.size() == shape[0] * shape[1];
}

int Graph::add_value(Value value) {
  require<ShapeError>(value.spec.shape.size(value.name) <= kMaxBytes / size_of(value.spec.dtype), value.name, "shape ",
                      value.spec.shape, " is too large");
  values_.push_back(std::move(value));
  return static_cast<int>(values_.size()) - 1;
}

int Graph::add_input(const std::string& name, const TensorSpec& spec) {
  return add_value({name, ValueKind::input, spec, spec.dtype == DType::i64});
}

int Graph::add_parameter(const std::string& name, const Shape& shape) {
  return add_value({name, ValueKind::parameter, {shape}, true});
}

int Graph::add_buffer(const std::string& name, const Shape& shape, bool channels_last) {
  return add_value({name, ValueKind::buffer, {shape}, !channels_last});
}

std::vector<TensorSpec> Graph::input_specs(const std::vector<int>& inputs) const {
  std::vector<TensorSpec> specs;
  for (int v : inputs) specs.push_back(v < 0 ? TensorSpec{} : values_[v].spec);
  return specs;
}

// An op that wants a dense input cannot read a channels-last one, nor the other way round, unless both are the same.
void Graph::check_layouts(const Op& op, const std::vector<int>& inputs) const {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] < 0) continue;
    const Value& v = values_[inputs[i]];
    const bool dense = op.is_dense(static_cast<int>(i));
    require(dense == v.dense || layouts_agree(v.spec.shape), op.kind(), "input ", i, " must be ",
            dense ? "dense (a parameter, a buffer or labels)" : "an image batch", ", got '", v.name, "' of shape ",
            v.spec.shape, ", which is ", v.dense ? "dense" : "an image batch");
  }
}

int Graph::add_node(const std::string& kind, const std::string& name, const Attributes& attributes,
                    const std::vector<int>& inputs) {
  const int known = static_cast<int>(values_.size());
  for (int v : inputs)
    require(v >= -1 && v < known, name.empty() ? kind : name, "value ", v, " is not in the graph, which has ", known);
  std::vector<TensorSpec> outputs;
  try {
    const std::unique_ptr<Op> op = make_op(kind, attributes);
    outputs = op->plan(input_specs(inputs), training_);
    check_layouts(*op, inputs);
  } catch (const ShapeError& e) {
    throw ShapeError(with_layer(name, kind, e.what()));
  } catch (const ValueError& e) {
    throw ValueError(with_layer(name, kind, e.what()));
  } catch (const TypeError& e) {
    throw TypeError(with_layer(name, kind, e.what()));
  }
  Node node{kind, name, attributes, inputs, {}};
  for (const TensorSpec& spec : outputs)
    node.outputs.push_back(
        add_value({name.empty() ? kind : name, ValueKind::activation, spec, false, static_cast<int>(nodes_.size())}));
  nodes_.push_back(std::move(node));
  return nodes_.back().outputs.front();
}

int Graph::add_computed(const std::string& name, const TensorSpec& spec) {
  return add_value({name, ValueKind::activation, spec});
}

void Graph::replace_nodes(std::vector<Node> nodes) {
  nodes_ = std::move(nodes);
  for (Value& value : values_) value.producer = -1;
  for (size_t n = 0; n < nodes_.size(); ++n)
    for (int v : nodes_[n].outputs) values_[v].producer = static_cast<int>(n);
}

void Graph::set_outputs(const std::vector<int>& values) {
  const int known = static_cast<int>(values_.size());
  for (int v : values)
    require(v >= 0 && v < known, "graph", "output value ", v, " is not in the graph, which has ", known);
  outputs_ = values;
}

std::vector<int> Graph::of_kind(ValueKind kind) const {
  std::vector<int> ids;
  for (size_t v = 0; v < values_.size(); ++v)
    if (values_[v].kind == kind) ids.push_back(static_cast<int>(v));
  return ids;
}

}  // namespace convcore
