// SPDX-License-Identifier: BSD-3-Clause
#include "graph/program.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/threads.h"
#include "graph/arena.h"
#include "graph/backward.h"
#include "graph/describe_steps.h"
#include "graph/fuse.h"
#include "graph/layout.h"
#include "graph/settle.h"
#include "graph/steps.h"

namespace convcore {
namespace {

constexpr size_t kGradientAlignment = kAlignment / sizeof(float);

// Where data may be null but must not be (null means absent): tensors without elements.
alignas(kAlignment) std::byte nothing[kAlignment];
const float kOne = 1;

void* memory_of(const Tensor& t) { return t.data ? t.data : nothing; }

std::vector<std::unique_ptr<Op>> plan_ops(const Graph& graph) {
  std::vector<std::unique_ptr<Op>> ops;
  for (const Node& node : graph.nodes()) {
    ops.push_back(make_op(node.kind, node.attributes));
    ops.back()->plan(graph.input_specs(node.inputs), graph.training());
  }
  return ops;
}

// Of one pixel or none, and of labels, the pitch means nothing.
bool has_pitch(const Value& value) { return !value.dense && pixels_of(value.spec.shape) > 1; }

bool has_planned_pitch(const Value& value, const Tensor& t, bool packed) {
  const int64_t channels = channels_of(value.spec.shape);
  return !has_pitch(value) || (packed ? t.pitch == channels : t.pitch >= channels);
}

// Throws unless `t` is what was planned for `value`; packed: no gaps between pixels are allowed.
void check(const char* role, const Value& value, const Tensor& t, bool packed) {
  const TensorSpec& spec = value.spec;
  if (t.shape == spec.shape && t.dtype == spec.dtype && (t.data || spec.shape.size() == 0) &&
      has_planned_pitch(value, t, packed))
    return;
  const std::string who = std::string(role) + " '" + value.name + "'";  // made only now: running allocates nothing
  require<ShapeError>(t.shape == spec.shape, who, "must have shape ", spec.shape, ", got ", t.shape);
  require<TypeError>(t.dtype == spec.dtype, who, "must be ", name_of(spec.dtype), ", got ", name_of(t.dtype));
  require(t.data != nullptr || spec.shape.size() == 0, who, "has no memory");
  require(false, who, packed ? "must be packed, with pitch " : "must have a pitch of at least ",
          channels_of(spec.shape), ", got ", t.pitch);
}

}  // namespace

struct Program::State {
  explicit State(Fused what);

  size_t most_alive() const;
  void allocate();
  void check_tensors(std::span<const Tensor> given_inputs, std::span<const Tensor> given_outputs) const;
  void start(std::span<const Tensor> given_inputs, std::span<const Tensor> given_outputs);
  void run_forward(uint64_t seed, uint64_t step, Timing* timings);
  void run_backward(uint64_t seed, uint64_t step, Timing* timings);
  void pack_if_needed(const ForwardStep& step) const;

  const Fused fused;
  const Graph& graph;  // fused.graph: what is run
  std::vector<std::unique_ptr<Op>> ops;
  std::vector<BackwardStep> backward_plan;
  Layout layout;
  Steps steps;

  // By caller's position.
  std::vector<int> inputs, outputs, parameters, buffers;  // value ids
  std::vector<bool> packed_inputs;                        // an op reads them as dense: no gaps allowed
  std::vector<std::vector<int>> output_regions;
  std::vector<size_t> gradient_offsets;
  size_t gradient_size = 0;
  size_t released_bytes = 0;  // of parameters that only pack() read

  std::vector<Block> blocks;       // of the arena
  std::vector<int> block_regions;  // which region each block holds
  size_t arena_bytes = 0, packed_bytes = 0, activation_bytes = 0;
  AlignedBuffer arena, packed;

  bool allocated = false, bound = false, stale = true, frozen = false;
  uint64_t version = 0;
};

Program::State::State(Fused what)
    : fused(std::move(what)),
      graph(fused.graph),
      ops(plan_ops(graph)),
      backward_plan(graph.training() ? plan_backward(graph, ops) : std::vector<BackwardStep>{}),
      layout(plan_layout(graph, ops, backward_plan)),
      steps(graph, ops, backward_plan, layout),
      inputs(graph.of_kind(ValueKind::input)),
      outputs(graph.outputs()),
      parameters(graph.of_kind(ValueKind::parameter)),
      buffers(graph.of_kind(ValueKind::buffer)),
      output_regions(graph.outputs().size()) {
  require(!outputs.empty(), "program", "the graph has no outputs");
  for (int v : parameters) {
    gradient_offsets.push_back(gradient_size);
    const size_t size = static_cast<size_t>(graph.values()[v].spec.shape.size());
    gradient_size += (size + kGradientAlignment - 1) / kGradientAlignment * kGradientAlignment;
  }
  for (size_t r = 0; r < layout.regions.size(); ++r) {
    const Region& region = layout.regions[r];
    if (region.memory == Memory::output) output_regions[region.index].push_back(static_cast<int>(r));
    if (region.memory != Memory::arena) continue;
    blocks.push_back({region.bytes, region.first, region.last});
    block_regions.push_back(static_cast<int>(r));
  }
  arena_bytes = place(blocks);
  activation_bytes = most_alive();
  for (const auto& op : ops) packed_bytes += align_up(op->needs().packed);

  std::vector<bool> dense(graph.values().size());
  for (size_t n = 0; n < ops.size(); ++n)
    for (size_t i = 0; i < graph.nodes()[n].inputs.size(); ++i)
      if (graph.nodes()[n].inputs[i] >= 0 && ops[n]->is_dense(static_cast<int>(i))) dense[graph.nodes()[n].inputs[i]] = true;
  for (int v : inputs) packed_inputs.push_back(dense[v]);
}

// The bytes of the arena without scratch, at the step at which they are most.
size_t Program::State::most_alive() const {
  std::vector<size_t> alive(static_cast<size_t>(backward_time(graph, static_cast<int>(backward_plan.size()))) + 1);
  for (size_t b = 0; b < blocks.size(); ++b) {
    if (layout.regions[block_regions[b]].scratch) continue;
    for (int t = blocks[b].first; t <= blocks[b].last; ++t) alive[t] += blocks[b].bytes;
  }
  return *std::max_element(alive.begin(), alive.end());
}

// Gives every region of the arena, and every call, its memory.
void Program::State::allocate() {
  if (allocated) return;
  arena = AlignedBuffer(arena_bytes);
  packed = AlignedBuffer(packed_bytes);
  allocated = true;
  std::vector<std::byte*> memory(layout.regions.size());
  for (size_t b = 0; b < blocks.size(); ++b) {
    memory[block_regions[b]] = arena.data() + blocks[b].offset;
    steps.set_region(block_regions[b], memory[block_regions[b]]);
  }
  const auto at = [&](int region) { return region < 0 ? nullptr : memory[region]; };
  std::byte* next = packed.data();
  for (size_t n = 0; n < ops.size(); ++n) {
    OpCall& call = steps.forward[n].call;
    call.workspace = at(layout.forward_scratch[n]);
    call.saved = at(layout.saved[n]);
    call.packed = next;
    next += align_up(ops[n]->needs().packed);
  }
  for (size_t s = 0; s < steps.backward.size(); ++s) {
    OpCall& call = steps.backward[s].call;
    call.workspace = at(layout.backward_scratch[s]);
    call.saved = at(layout.saved[steps.backward[s].node]);
  }
}

void Program::State::check_tensors(std::span<const Tensor> given_inputs, std::span<const Tensor> given_outputs) const {
  require(bound || parameters.size() + buffers.size() == 0, "program", "bind parameters and buffers before running");
  require(given_inputs.size() == inputs.size(), "program", "takes ", inputs.size(), " inputs, got ",
          given_inputs.size());
  require(given_outputs.size() == outputs.size(), "program", "gives ", outputs.size(), " outputs, got memory for ",
          given_outputs.size());
  for (size_t i = 0; i < inputs.size(); ++i)
    check("input", graph.values()[inputs[i]], given_inputs[i], packed_inputs[i]);
  for (size_t i = 0; i < outputs.size(); ++i) check("output", graph.values()[outputs[i]], given_outputs[i], true);
}

void Program::State::start(std::span<const Tensor> given_inputs, std::span<const Tensor> given_outputs) {
  check_tensors(given_inputs, given_outputs);
  allocate();
  for (size_t i = 0; i < inputs.size(); ++i)
    steps.set_region(layout.values[inputs[i]].region, memory_of(given_inputs[i]),
                     has_pitch(graph.values()[inputs[i]]) ? given_inputs[i].pitch : 0);
  for (size_t i = 0; i < outputs.size(); ++i)
    for (int region : output_regions[i]) steps.set_region(region, memory_of(given_outputs[i]));
  for (const ForwardStep& step : steps.forward)
    if (step.given_labels) step.op->check_inputs(step.call);
}

void Program::State::pack_if_needed(const ForwardStep& step) const {
  if (step.packs && (stale || step.always_packs)) step.op->pack(step.call);
}

// Random numbers are named by the run and the node. timings: null, or one per node.
void Program::State::run_forward(uint64_t seed, uint64_t step, Timing* timings) {
  for (size_t n = 0; n < steps.forward.size(); ++n) {
    ForwardStep& forward = steps.forward[n];
    if (forward.skip || (forward.once && !stale)) continue;
    timed(timings ? timings + n : nullptr, [&] {
      forward.call.seed = seed;
      forward.call.stream = step << 20 | n;
      pack_if_needed(forward);
      if (!forward.given_labels) forward.op->check_inputs(forward.call);
      forward.op->forward(forward.call);
    });
  }
  for (const Move& copy : steps.copies) copy_pixels(steps.tensors[copy.x], steps.tensors[copy.y]);
  stale = false;
}

// timings: null, or one per backward step.
void Program::State::run_backward(uint64_t seed, uint64_t step, Timing* timings) {
  for (size_t s = 0; s < steps.backward.size(); ++s) {
    BackwardCall& backward = steps.backward[s];
    timed(timings ? timings + s : nullptr, [&] {
      if (!backward.skip) {
        backward.call.seed = seed;
        backward.call.stream = step << 20 | static_cast<uint64_t>(backward.node);
        backward.op->backward(backward.call);
      }
      for (const Move& addition : backward.additions) add_pixels(steps.tensors[addition.x], steps.tensors[addition.y]);
    });
  }
}

namespace {

// By node of the given graph, what fuse() makes of the settled one.
Fused rewrite(const Graph& graph) {
  const Settled settled = settle(graph);
  Fused fused = fuse(settled.graph);
  std::vector<int> node;
  for (int n : settled.node) node.push_back(n < 0 ? -1 : fused.node[n]);
  fused.node = std::move(node);
  return fused;
}

}  // namespace

Program::Program(Graph graph) : graph_(std::move(graph)), state_(std::make_unique<State>(rewrite(graph_))) {}

Program::~Program() = default;

void Program::bind(std::span<float* const> parameters, std::span<float* const> buffers, float* gradients) {
  State& s = *state_;
  const auto check_all = [&](const char* role, std::span<float* const> given, const std::vector<int>& values) {
    require(given.size() == values.size(), "program", "has ", values.size(), " ", role, "s, got ", given.size());
    for (size_t i = 0; i < values.size(); ++i)
      require(given[i] || graph_.values()[values[i]].spec.shape.size() == 0, "program", role, " '",
              graph_.values()[values[i]].name, "' has no memory");
  };
  check_all("parameter", parameters, s.parameters);
  check_all("buffer", buffers, s.buffers);
  require(gradients || !graph_.training() || s.gradient_size == 0, "program", "training needs memory for gradients");

  const auto or_nothing = [](float* p) { return p ? static_cast<void*>(p) : nothing; };
  for (size_t r = 0; r < s.layout.regions.size(); ++r) {
    const Region& region = s.layout.regions[r];
    const int id = static_cast<int>(r);
    if (region.memory == Memory::parameter) s.steps.set_region(id, or_nothing(parameters[region.index]));
    if (region.memory == Memory::buffer) s.steps.set_region(id, or_nothing(buffers[region.index]));
    if (region.memory == Memory::gradient)
      s.steps.set_region(id, or_nothing(gradients ? gradients + s.gradient_offsets[region.index] : nullptr));
    if (region.memory == Memory::one) s.steps.set_region(id, const_cast<float*>(&kOne));
  }
  if (gradients && graph_.training()) std::memset(gradients, 0, s.gradient_size * sizeof(float));
  s.allocate();
  s.bound = s.stale = true;
}

size_t Program::gradient_size() const { return state_->gradient_size; }

size_t Program::gradient_offset(int parameter) const {
  const auto& offsets = state_->gradient_offsets;
  require(parameter >= 0 && static_cast<size_t>(parameter) < offsets.size(), "program", "parameter ", parameter,
          " does not exist, there are ", offsets.size());
  return offsets[parameter];
}

bool Program::input_must_be_packed(int input) const {
  const auto& packed = state_->packed_inputs;
  require(input >= 0 && static_cast<size_t>(input) < packed.size(), "program", "input ", input,
          " does not exist, there are ", packed.size());
  return packed[input];
}

void Program::set_version(uint64_t version) {
  require(!state_->frozen || version == state_->version, "program",
          "its weights are packed for good and cannot follow a change of parameters; compile it again");
  state_->stale = state_->stale || version != state_->version;
  state_->version = version;
}

void Program::pack(const std::function<void(int)>& release) {
  State& s = *state_;
  require(!graph_.training(), "program", "a training program packs weights where it uses them");
  require(s.bound, "program", "bind parameters and buffers before packing");
  const FlushDenormals flush;
  const std::vector<Node>& nodes = s.graph.nodes();
  const int many = static_cast<int>(nodes.size()) + 1;
  std::vector<int> left(s.graph.values().size());  // nodes that will pack this value; or many, if any run reads it
  for (int v : s.outputs) left[v] = many;
  for (size_t n = 0; n < nodes.size(); ++n)
    for (size_t i = 0; i < nodes[n].inputs.size(); ++i)
      if (const int v = nodes[n].inputs[i]; v >= 0)
        left[v] += !s.steps.forward[n].once && s.ops[n]->forward_reads_input(static_cast<int>(i)) ? many : 1;
  s.frozen = true;
  for (size_t n = 0; n < nodes.size(); ++n) {
    const ForwardStep& step = s.steps.forward[n];
    if (step.once && !step.skip) {
      step.op->check_inputs(step.call);
      step.op->forward(step.call);
    }
    if (step.packs && !step.always_packs) step.op->pack(step.call);
    if (!step.once && (!step.packs || step.always_packs)) continue;
    for (int v : nodes[n].inputs) {
      if (v < 0 || --left[v] != 0) continue;
      const auto parameter = std::find(s.parameters.begin(), s.parameters.end(), v);
      if (parameter == s.parameters.end()) continue;
      s.released_bytes += static_cast<size_t>(s.graph.values()[v].spec.shape.size()) * sizeof(float);
      release(static_cast<int>(parameter - s.parameters.begin()));
    }
  }
  s.stale = false;
}

void Program::run(std::span<const Tensor> inputs, std::span<const Tensor> outputs) {
  const FlushDenormals flush;
  state_->start(inputs, outputs);
  state_->run_forward(0, 0, nullptr);
}

void Program::forward_backward(std::span<const Tensor> inputs, std::span<const Tensor> outputs, uint64_t seed,
                               uint64_t step) {
  require(graph_.training(), "program", "forward_backward needs a training graph, this one is for inference");
  const FlushDenormals flush;
  state_->start(inputs, outputs);
  state_->run_forward(seed, step, nullptr);
  state_->run_backward(seed, step, nullptr);
}

std::vector<StepInfo> Program::profile(std::span<const Tensor> inputs, std::span<const Tensor> outputs) {
  std::vector<StepInfo> infos = steps();
  State& s = *state_;
  std::vector<Timing> forward(s.ops.size()), backward(s.backward_plan.size());
  {
    const FlushDenormals flush;
    s.start(inputs, outputs);
    s.run_forward(0, 0, forward.data());
    if (graph_.training()) s.run_backward(0, 0, backward.data());
  }
  const size_t nodes = graph_.nodes().size();
  for (size_t i = 0; i < infos.size(); ++i) {
    const int at = i < nodes ? s.fused.node[i] : static_cast<int>(i - nodes);
    if (at < 0) continue;
    const Timing& timing = i < nodes ? forward[at] : backward[at];
    infos[i].seconds = timing.seconds;
    infos[i].threads = timing.threads;
  }
  return infos;
}

MemoryReport Program::memory() const {
  const State& s = *state_;
  const auto bytes = [&](const std::vector<int>& values) {
    size_t sum = 0;
    for (int v : values) sum += static_cast<size_t>(graph_.values()[v].spec.shape.size()) * sizeof(float);
    return sum;
  };
  MemoryReport report;
  report.parameters = bytes(s.parameters) - s.released_bytes;
  report.buffers = bytes(s.buffers);
  report.gradients = graph_.training() ? s.gradient_size * sizeof(float) : 0;
  report.packed = s.packed_bytes;
  report.arena = s.arena_bytes;
  report.activations = s.activation_bytes;
  report.workspace = s.arena_bytes - s.activation_bytes;
  return report;
}

std::vector<StepInfo> Program::steps() const {
  const State& s = *state_;
  return describe_steps(graph_, s.fused, s.ops, s.backward_plan, s.layout);
}

}  // namespace convcore
