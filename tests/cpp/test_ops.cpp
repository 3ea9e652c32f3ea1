// SPDX-License-Identifier: BSD-3-Clause
// Every op against absurd attributes and shapes: an op takes them, or throws one of convcore's exceptions; it never
// crashes, and what it takes runs within its memory (operands end at guard pages).
#include <doctest/doctest.h>

#include <limits>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "guard.h"
#include "op_runner.h"

namespace convcore {
namespace {

constexpr int kTriesPerKind = 1500;
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
  }

  Attributes attributes() {
    static const char* names[] = {"stride", "padding", "dilation", "groups", "algorithm", "output_padding", "kernel_size",
                                  "output_size", "ceil_mode", "count_include_pad", "start_dim", "eps", "momentum", "size",
                                  "alpha", "beta", "k", "p", "negative_slope", "approximate", "scale", "mean", "std",
                                  "label_smoothing", "ignore_index", "reduction", "margin", "delta"};
    Attributes result;
    for (const char* name : names)
      if (chance(0.5)) result.set(name, attribute(name));
    return result;
  }

  std::vector<TensorSpec> inputs() {
    std::vector<TensorSpec> specs;
    const int64_t count = chance(0.9) ? 1 + below(5) : below(9);
    for (int64_t i = 0; i < count; ++i) {
      const bool repeat = i > 0 && chance(0.4);
      specs.push_back(repeat ? specs[static_cast<size_t>(below(i))] : TensorSpec{shape(i == 0 ? 4 : below(5)), dtype()});
    }
    return specs;
  }

 private:
  int64_t integer() {
    static constexpr int64_t kMax = std::numeric_limits<int64_t>::max(), kMin = std::numeric_limits<int64_t>::min();
    static constexpr int64_t odd[] = {0, -1, 1 << 20, int64_t{1} << 31, (int64_t{1} << 31) - 1, int64_t{1} << 40, int64_t{1} << 62,
                                      kMax, kMin, -kMax / 2};
    return chance(wild_) ? odd[below(std::size(odd))] : chance(0.15) ? 0 : palette_[below(3)];
  }
  double number() {
    static constexpr double kInf = std::numeric_limits<double>::infinity();
    static constexpr double odd[] = {-1, 0, kInf, -kInf, std::numeric_limits<double>::quiet_NaN(), 1e308, -1e-320};
    return chance(wild_) ? odd[below(std::size(odd))] : std::uniform_real_distribution<double>(0, 1)(random_);
  }
  Attribute attribute(const std::string& name) {
    static const std::set<std::string> pairs = {"stride", "dilation", "output_padding", "kernel_size", "output_size"};
    static const std::set<std::string> words = {"algorithm", "approximate", "reduction"};
    static const std::set<std::string> flags = {"ceil_mode", "count_include_pad"};
    static const std::set<std::string> counts = {"groups", "start_dim", "size", "ignore_index"};
    static const char* texts[] = {"auto", "direct", "im2col", "valid", "same", "full", "mean", "sum", "none", "tanh", ""};
    if (chance(wild_)) return any_type();
    if (pairs.count(name)) return std::vector<int64_t>{integer(), integer()};
    if (name == "padding" && chance(0.2)) return std::string(texts[3 + below(3)]);
    if (name == "padding") return list(integers_of(chance(0.5) ? 4 : 2));
    if (words.count(name)) return std::string(texts[below(std::size(texts))]);
    if (flags.count(name)) return chance(0.5);
    if (counts.count(name)) return integer();
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
  Shape shape(int64_t rank) {
    Shape s;
    if (chance(0.2)) rank = below(kMaxRank + 1);
    for (int64_t i = 0; i < rank; ++i) s.push_back(chance(0.05) ? 0 : integer());
    return s;
  }
  DType dtype() { return chance(0.85) ? DType::f32 : chance(0.5) ? DType::i64 : DType::u8; }

  std::mt19937 random_;
  double wild_ = 0;
  int64_t palette_[3] = {1, 2, 3};
};

struct Tally {
  int planned = 0, ran = 0;
};

// Draws attributes the op knows: those it refuses as unknown are taken out one by one.
Attributes known_to(const std::string& kind, const Attributes& drawn) {
  Attributes kept;
  for (const auto& [key, value] : drawn.items()) {
    try {
      make_op(kind, {{key, value}});
      kept.set(key, value);
    } catch (const std::invalid_argument& e) {
      if (std::string(e.what()).find("unknown") == std::string::npos) kept.set(key, value);
    }
  }
  return kept;
}

void try_once(const std::string& kind, Fuzzer& fuzz, Tally& tally) {
  fuzz.start_round();
  const Attributes attributes = known_to(kind, fuzz.attributes());
  const bool training = fuzz.chance(0.7);
  const int64_t slack = fuzz.chance(0.5) ? 0 : 3;
  std::string error;
  try {
    testing::OpRunner<testing::Guarded<std::byte>> runner(kind, attributes, fuzz.inputs(), training, slack);
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
  }
  const bool names_op = error.rfind(kind + ": ", 0) == 0;
  const bool names_shape = error.rfind("shape: ", 0) == 0;  // negative or overflowing: no op gets to see such inputs
  if (!error.empty()) CHECK_MESSAGE((names_op || names_shape), error);
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

TEST_CASE("absurd attributes and shapes give convcore's errors, never a crash") {
  for (const std::string& kind : op_kinds()) {
    CAPTURE(kind);
    Fuzzer fuzz(7);
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
