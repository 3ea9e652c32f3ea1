// SPDX-License-Identifier: BSD-3-Clause
// Every op against absurd attributes and shapes: an op takes them, or throws one of convcore's exceptions; it never
// crashes, and what it takes runs within its memory (operands end at guard pages).
#include <doctest/doctest.h>

#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <variant>
#include <vector>

#include "guard.h"
#include "op_runner.h"

namespace convcore {
namespace {

constexpr int kTriesPerKind = 4000;
constexpr int64_t kFlopsToRun = 1 << 20;
constexpr double kBytesToRun = 1 << 18;

// Draws settings that are mostly plausible, sometimes absurd: only both together reach the depths.
class Fuzzer {
 public:
  explicit Fuzzer(unsigned seed) : random_(seed) {}

  bool chance(double p) { return std::uniform_real_distribution<double>(0, 1)(random_) < p; }
  int64_t below(int64_t n) { return std::uniform_int_distribution<int64_t>(0, n - 1)(random_); }

  void start_round() {
    wild_ = chance(0.3) ? 0.3 : 0.0;
    for (int64_t& d : palette_) d = 1 + below(5);
    rank_ = 2 + below(3);
  }

  Attributes attributes() {
    static const char* names[] = {"stride", "padding", "dilation", "groups", "algorithm", "output_padding", "kernel_size",
                                  "output_size", "ceil_mode", "count_include_pad", "start_dim", "eps", "momentum", "size",
                                  "alpha", "beta", "k", "p", "negative_slope", "approximate", "scale", "mean", "std",
                                  "label_smoothing", "ignore_index", "reduction", "margin", "delta", "gamma",
                                  "threshold", "value", "min", "max", "axis", "axes", "function", "keepdims", "largest",
                                  "select_last_index", "starts", "steps", "sizes", "pads", "mode", "shape", "repeats",
                                  "indices", "index_shape", "scales", "roi", "coordinate_transformation_mode",
                                  "nearest_mode", "cubic_coeff_a", "exclude_outside", "antialias", "num_groups",
                                  "statistics", "direction", "layout", "clip", "first_state"};
    Attributes result;
    for (const char* name : names)
      if (chance(0.5)) result.set(name, attribute(name));
    return result;
  }

  std::vector<TensorSpec> inputs() {
    std::vector<TensorSpec> specs;
    const int64_t count = chance(0.9) ? 1 + below(3) : below(9);
    for (int64_t i = 0; i < count; ++i) {
      if (i > 0 && chance(0.3))
        specs.push_back(specs[static_cast<size_t>(below(i))]);
      else if (i > 0 && chance(0.3))
        specs.push_back(labels_for(specs[0].shape));
      else
        specs.push_back({shape(i == 0 ? rank_ : below(5)), dtype()});
    }
    return specs;
  }

  // Three tensors that go together as seldom others do.
  std::vector<TensorSpec> recurrent_inputs() {
    const int64_t directions = 1 + below(2), hidden = integer(), inputs = integer();
    return {{{integer(), integer(), inputs}}, {{directions, 4 * (hidden & 0xffff), inputs}},
            {{directions, 4 * (hidden & 0xffff), hidden}}};
  }

 private:
  int64_t integer() {
    static constexpr int64_t kMax = std::numeric_limits<int64_t>::max(), kMin = std::numeric_limits<int64_t>::min();
    static constexpr int64_t odd[] = {0, -1, 1 << 20, int64_t{1} << 31, (int64_t{1} << 31) - 1, int64_t{1} << 40, int64_t{1} << 62,
                                      kMax, kMin, -kMax / 2};
    return chance(wild_) ? odd[below(std::size(odd))] : chance(0.02) ? 0 : palette_[below(3)];
  }
  double number() {
    static constexpr double kInf = std::numeric_limits<double>::infinity();
    static constexpr double odd[] = {-1, 0, kInf, -kInf, std::numeric_limits<double>::quiet_NaN(), 1e308, -1e-320};
    return chance(wild_) ? odd[below(std::size(odd))] : std::uniform_real_distribution<double>(0, 1)(random_);
  }
  Attribute attribute(const std::string& name) {
    static const std::set<std::string> pairs = {"stride", "dilation", "output_padding", "kernel_size", "output_size"};
    static const std::set<std::string> flags = {"ceil_mode", "count_include_pad", "keepdims", "largest",
                                                "select_last_index", "exclude_outside", "antialias", "statistics"};
    static const std::set<std::string> counts = {"groups", "start_dim", "size", "ignore_index", "axis", "num_groups",
                                                 "layout", "first_state"};
    static const std::map<std::string, int64_t> lowest = {{"starts", 0}, {"steps", -2}, {"sizes", 0}, {"pads", -2},
                                                          {"shape", 1},  {"repeats", 0}, {"indices", -2}};
    static const std::map<std::string, std::vector<std::string>> words = {
        {"algorithm", {"auto", "direct", "im2col"}},
        {"approximate", {"none", "tanh"}},
        {"reduction", {"mean", "sum", "none"}},
        {"mode", {"constant", "edge", "reflect", "wrap", "nearest", "linear", "cubic"}},
        {"function", {"sum", "max", "prod", "l2", "log_sum_exp"}},
        {"padding", {"valid", "same", "full"}},
        {"coordinate_transformation_mode", {"half_pixel", "half_pixel_symmetric", "align_corners", "tf_crop_and_resize"}},
        {"nearest_mode", {"floor", "ceil"}},
        {"direction", {"reverse", "bidirectional"}}};
    if (chance(wild_)) return any_type();
    if (pairs.count(name)) return std::vector<int64_t>{integer(), integer()};
    if (name == "padding" && chance(0.8)) return list(integers_of(chance(0.5) ? 4 : 2));
    if (const auto it = words.find(name); it != words.end())
      return it->second[static_cast<size_t>(below(static_cast<int64_t>(it->second.size())))];
    if (name == "scales" || name == "roi") return numbers_of(name == "roi" ? 2 * rank_ : rank_);
    if (flags.count(name)) return chance(0.5);
    if (counts.count(name)) return chance(0.5) ? 1 : integer();
    if (name == "k" && chance(0.5)) return integer();
    if (name == "axes") return list(integers_of(1 + below(2)));
    if (name == "index_shape") return list(integers_of(below(3)));
    if (const auto it = lowest.find(name); it != lowest.end()) {
      std::vector<int64_t> v(static_cast<size_t>(name == "pads" ? 2 * rank_ : rank_));
      for (int64_t& i : v) i = chance(wild_) ? integer() : it->second + below(4);
      return list(v);
    }
    if (name == "mean" || name == "std") return std::vector<double>(static_cast<size_t>(1 + below(3)), number());
    return number();
  }
  Attribute any_type() {
    switch (below(6)) {
      case 0: return chance(0.5);
      case 1: return integer();
      case 2: return number();
      case 3: return std::string(chance(0.5) ? "rubbish" : "");
      case 4: return list(integers_of(below(7)));
      default: return std::vector<double>(static_cast<size_t>(below(4)), number());
    }
  }
  std::vector<int64_t> integers_of(int64_t count) {
    std::vector<int64_t> v(static_cast<size_t>(count));
    for (int64_t& i : v) i = integer();
    return v;
  }
  static Attribute list(std::vector<int64_t> v) { return v; }
  std::vector<double> numbers_of(int64_t count) {
    std::vector<double> v(static_cast<size_t>(count));
    for (double& d : v) d = number() + (chance(0.5) ? 1 : 0);
    return v;
  }
  Shape shape(int64_t rank) {
    Shape s;
    if (chance(0.2)) rank = below(kMaxRank + 1);
    for (int64_t i = 0; i < rank; ++i) s.push_back(chance(0.02) ? 0 : chance(0.2) ? palette_[below(3)] * palette_[below(3)] : integer());
    return s;
  }
  static TensorSpec labels_for(const Shape& logits) {
    TensorSpec labels{{}, DType::i64};
    for (int i = 0; i < logits.rank(); ++i)
      if (i != 1) labels.shape.push_back(logits[i]);
    return labels;
  }
  DType dtype() { return chance(0.8) ? DType::f32 : chance(0.8) ? DType::i64 : DType::u8; }

  std::mt19937 random_;
  double wild_ = 0;
  int64_t rank_ = 4;  // of the first input, as a rule
  int64_t palette_[3] = {1, 2, 3};
};

struct Tally {
  int planned = 0, ran = 0;
};

// The drawn attributes that the op knows: those it calls unknown are taken out one by one.
Attributes known_to(const std::string& kind, const Attributes& drawn) {
  std::map<std::string, Attribute, std::less<>> items = drawn.items();
  for (;;) {
    Attributes kept;
    for (const auto& [key, value] : items) kept.set(key, value);
    try {
      make_op(kind, kept);
      return kept;
    } catch (const std::invalid_argument& e) {
      const std::string error = e.what(), prefix = kind + ": unknown attribute '";
      if (error.rfind(prefix, 0) != 0) return kept;
      if (items.erase(error.substr(prefix.size(), error.find('\'', prefix.size()) - prefix.size())) == 0) return kept;
    }
  }
}

struct Print {
  std::ostringstream& out;
  template <class T>
  void operator()(const std::vector<T>& list) const { for (T v : list) out << v << ' '; }
  template <class T>
  void operator()(const T& v) const { out << v; }
};

// One line that names a case, for the report of a failure.
std::string describe(const Attributes& attributes, const std::vector<TensorSpec>& inputs, bool training, int64_t slack) {
  std::ostringstream out;
  for (const TensorSpec& spec : inputs) out << name_of(spec.dtype) << spec.shape << ' ';
  for (const auto& [key, value] : attributes.items()) {
    out << key << "={";
    std::visit(Print{out}, value);
    out << "} ";
  }
  out << (training ? "training" : "inference") << ", slack " << slack;
  return out.str();
}

std::string last_case;  // for the debugger, when a case crashes: doctest's report of a signal leaves out CAPTURE

void try_once(const std::string& kind, Fuzzer& fuzz, Tally& tally) {
  fuzz.start_round();
  const Attributes attributes = known_to(kind, fuzz.attributes());
  const bool training = fuzz.chance(0.7);
  const int64_t slack = fuzz.chance(0.5) ? 0 : 3;
  const std::vector<TensorSpec> inputs = kind == "lstm" && fuzz.chance(0.7) ? fuzz.recurrent_inputs() : fuzz.inputs();
  last_case = kind + ": " + describe(attributes, inputs, training, slack);
  CAPTURE(last_case);
  std::string error;
  try {
    testing::OpRunner<testing::Guarded<std::byte>> runner(kind, attributes, inputs, training, slack);
    ++tally.planned;
    if (runner.bytes() > kBytesToRun || runner.op().flops() > kFlopsToRun) return;
    runner.allocate(static_cast<unsigned>(tally.planned));
    for (Tensor& x : runner.inputs())
      if (x && x.dtype == DType::i64)
        for (int64_t i = 0; i < x.shape.size(); ++i) x.i64()[i] = fuzz.below(4) - (fuzz.chance(0.02) ? 2 : 0);
    runner.forward();
    if (training) runner.backward();
    ++tally.ran;
  } catch (const ValueError& e) {
    error = e.what();
  } catch (const TypeError& e) {
    error = e.what();
  } catch (const std::bad_alloc&) {  // Python's MemoryError
  }
  const bool names_op = error.rfind(kind + ": ", 0) == 0;
  if (!error.empty()) CHECK_MESSAGE(names_op, error);
}

}  // namespace

TEST_CASE("ops know their own names") {
  std::set<std::string> seen;
  for (const std::string& kind : op_kinds()) {
    CAPTURE(kind);
    CHECK(seen.insert(kind).second);
    try {
      const std::unique_ptr<Op> op = make_op(kind, {});
      CHECK(op->kind() == kind);
    } catch (const ValueError& e) {  // an attribute without a default, such as kernel_size
      CHECK(std::string(e.what()).rfind(kind + ": ", 0) == 0);
    }
    CHECK_THROWS_AS(make_op(kind, {{"no_such_attribute", int64_t{1}}}), ValueError);
  }
  CHECK(seen.count("conv2d") == 1);
  CHECK_THROWS_AS(make_op("no_such_op", {}), ValueError);
}

TEST_CASE("sizes that overflow name the op, in empty batches too") {
  constexpr int64_t kHalf = int64_t{1} << 62;
  const auto error_of = [](const std::string& kind, const std::vector<Shape>& shapes) -> std::string {
    std::vector<TensorSpec> specs;
    for (const Shape& shape : shapes) specs.push_back({shape});
    try {
      make_op(kind, {})->plan(specs, false);
      return "";
    } catch (const ShapeError& e) {
      return e.what();
    }
  };
  CHECK(error_of("flatten", {{0, kHalf, 2, 2}}).rfind("flatten: ", 0) == 0);
  CHECK(error_of("concat", {{0, kHalf}, {0, kHalf}}).rfind("concat: ", 0) == 0);
  CHECK(error_of("concat", {{1, kHalf / 8}, {1, kHalf / 8}, {1, kHalf / 8}}).rfind("concat: ", 0) == 0);
  CHECK(error_of("reduce", {{0, kHalf, 4}}).empty());
  CHECK(error_of("argmin", {{4, kHalf, 0}}).rfind("argmin: ", 0) == 0);
  CHECK(error_of("matmul", {{1 << 20, 1 << 20}, {1 << 20, 1 << 20}}).rfind("matmul: ", 0) == 0);
  CHECK(error_of("add", {{int64_t{1} << 40, 1}, {1, int64_t{1} << 40}}).rfind("add: ", 0) == 0);
  CHECK(error_of("bce_with_logits", {{1, 2}, {1, 2}, {kHalf, 2}}).rfind("bce_with_logits: ", 0) == 0);
}

// Convolutions with all that fusion adds, in training and inference: operands end at guard pages.
TEST_CASE("fused convolutions stay within their memory") {
  for (const char* algorithm : {"direct", "im2col"})
    for (int64_t slack : {0, 3})
      for (bool training : {true, false}) {
        CAPTURE(algorithm);
        CAPTURE(slack);
        Attributes attributes{{"activation", std::string("relu6")},
                              {"algorithm", std::string(algorithm)},
                              {"padding", std::vector<int64_t>{1, 1, 1, 1}}};
        std::vector<TensorSpec> inputs{{{3, 5, 9, 7}}, {{19, 5, 3, 3}}, {{19}}, {}, {}, {}, {}, {{3, 19, 9, 7}}};
        if (training) {
          attributes.set("statistics", true);
        } else {
          attributes.set("batch_norm_eps", 1e-5);
          for (size_t i = 3; i < 7; ++i) inputs[i].shape = {19};
        }
        testing::OpRunner<testing::Guarded<std::byte>> runner("conv2d", attributes, inputs, training, slack);
        runner.allocate();
        runner.forward();
        if (training) runner.backward();
        CHECK(runner.output_specs().size() == (training && std::string(algorithm) == "direct" ? 2 : 1));
      }
}

TEST_CASE("absurd attributes and shapes give convcore's errors, never a crash") {
  for (const std::string& kind : op_kinds()) {
    CAPTURE(kind);
    Fuzzer fuzz(10);
    Tally tally;
    for (int i = 0; i < kTriesPerKind; ++i) {
      CAPTURE(i);
      try_once(kind, fuzz, tally);
    }
    CHECK(tally.planned > 0);
    CHECK(tally.ran > 0);
  }
}

}  // namespace convcore
