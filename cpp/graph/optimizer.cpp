// SPDX-License-Identifier: BSD-3-Clause
#include "graph/optimizer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/parallel.h"
#include "kernels/table.h"

namespace convcore {
namespace {

using Kind = OptimizerSettings::Kind;

constexpr int64_t kChunk = 8192;  // floats: with its gradient and two states it fits the second-level cache

double at_least_zero(const std::string& kind, const Attributes& attributes, const char* key, double fallback) {
  const double value = attributes.number(kind, key, fallback);
  require(value >= 0 && std::isfinite(value), kind, key, " must be >= 0, got ", value);
  return value;
}

void parse_betas(const std::string& kind, const Attributes& attributes, OptimizerSettings& s) {
  const std::vector<double> betas = attributes.numbers(kind, "betas", {s.beta1, s.beta2});
  require(betas.size() == 2, kind, "betas must be two numbers, got ", betas.size());
  for (double b : betas) require(b >= 0 && b < 1, kind, "betas must be in [0, 1), got ", b);
  s.beta1 = betas[0];
  s.beta2 = betas[1];
}

std::vector<std::string> slot_names_of(const OptimizerSettings& s) {
  switch (s.kind) {
    case Kind::sgd:
      if (s.momentum == 0) return {};
      return {"momentum_buffer"};
    case Kind::adam:
    case Kind::adamw:
      return {"exp_avg", "exp_avg_sq"};
    case Kind::rmsprop: {
      std::vector<std::string> names{"square_avg"};
      if (s.momentum > 0) names.push_back("momentum_buffer");
      if (s.centered) names.push_back("grad_avg");
      return names;
    }
    case Kind::adagrad:
      return {"sum"};
  }
  return {};
}

}  // namespace

OptimizerSettings parse_optimizer(const std::string& kind, const Attributes& a) {
  const std::pair<const char*, Kind> kinds[] = {{"sgd", Kind::sgd},
                                                {"adam", Kind::adam},
                                                {"adamw", Kind::adamw},
                                                {"rmsprop", Kind::rmsprop},
                                                {"adagrad", Kind::adagrad}};
  const auto* found = std::find_if(std::begin(kinds), std::end(kinds), [&](const auto& k) { return kind == k.first; });
  require(found != std::end(kinds), "optimizer", "kind must be sgd, adam, adamw, rmsprop or adagrad, got '", kind, "'");
  OptimizerSettings s{found->second};
  s.weight_decay = at_least_zero(kind, a, "weight_decay", s.kind == Kind::adamw ? 0.01 : 0);
  s.max_grad_norm = at_least_zero(kind, a, "max_grad_norm", 0);
  switch (s.kind) {
    case Kind::sgd:
      a.check_known(kind, {"weight_decay", "max_grad_norm", "momentum", "dampening", "nesterov"});
      s.momentum = at_least_zero(kind, a, "momentum", 0);
      s.dampening = a.number(kind, "dampening", 0);
      require(std::isfinite(s.dampening), kind, "dampening must be finite, got ", s.dampening);
      s.nesterov = a.flag(kind, "nesterov", false);
      require(!s.nesterov || (s.momentum > 0 && s.dampening == 0), kind,
              "nesterov needs momentum > 0 and dampening 0, got momentum ", s.momentum, " and dampening ", s.dampening);
      break;
    case Kind::adam:
    case Kind::adamw:
      a.check_known(kind, {"weight_decay", "max_grad_norm", "betas", "eps"});
      parse_betas(kind, a, s);
      s.eps = at_least_zero(kind, a, "eps", 1e-8);
      break;
    case Kind::rmsprop:
      a.check_known(kind, {"weight_decay", "max_grad_norm", "alpha", "eps", "momentum", "centered"});
      s.alpha = at_least_zero(kind, a, "alpha", 0.99);
      s.eps = at_least_zero(kind, a, "eps", 1e-8);
      s.momentum = at_least_zero(kind, a, "momentum", 0);
      s.centered = a.flag(kind, "centered", false);
      break;
    case Kind::adagrad:
      a.check_known(kind, {"weight_decay", "max_grad_norm", "lr_decay", "eps", "initial_accumulator_value"});
      s.lr_decay = at_least_zero(kind, a, "lr_decay", 0);
      s.eps = at_least_zero(kind, a, "eps", 1e-10);
      s.initial_accumulator_value = at_least_zero(kind, a, "initial_accumulator_value", 0);
      break;
  }
  return s;
}

Optimizer::Optimizer(const std::string& kind, const Attributes& attributes, std::vector<int64_t> sizes)
    : kind_(kind),
      settings_(parse_optimizer(kind, attributes)),
      sizes_(std::move(sizes)),
      slot_names_(slot_names_of(settings_)) {
  int64_t end = 0;
  for (size_t i = 0; i < sizes_.size(); ++i) {
    require(sizes_[i] >= 0 && sizes_[i] <= int64_t{1} << 44, kind, "parameter ", i, " has an impossible size, ",
            sizes_[i]);
    slot_offsets_.push_back(end);
    end += static_cast<int64_t>(align_up(static_cast<size_t>(sizes_[i]) * sizeof(float)) / sizeof(float));
    total_ += sizes_[i];
    for (int64_t begin = 0; begin < sizes_[i]; begin += kChunk)
      chunks_.push_back({i, begin, std::min(kChunk, sizes_[i] - begin)});
  }
  sums_.resize(chunks_.size());
  for (size_t s = 0; s < slot_names_.size(); ++s) {
    slots_.emplace_back(static_cast<size_t>(end) * sizeof(float));
    std::fill_n(slots_.back().floats(), end, static_cast<float>(settings_.initial_accumulator_value));
  }
}

float* Optimizer::slot(int s, int parameter) {
  require(s >= 0 && s < static_cast<int>(slots_.size()), kind_, "state ", s, " does not exist, there are ",
          slots_.size());
  require(parameter >= 0 && parameter < static_cast<int>(sizes_.size()), kind_, "parameter ", parameter,
          " does not exist, there are ", sizes_.size());
  return slots_[s].floats() + slot_offsets_[parameter];
}

void Optimizer::set_step_count(int64_t steps) {
  require(steps >= 0, kind_, "step count must be >= 0, got ", steps);
  steps_ = steps;
}

float* Optimizer::state(size_t s, const Chunk& chunk) const {
  return s < slots_.size() ? slots_[s].floats() + slot_offsets_[chunk.parameter] + chunk.begin : nullptr;
}

template <class Body>
void Optimizer::each_chunk(Body&& body) const {
  const int64_t count = static_cast<int64_t>(chunks_.size());
  const int64_t average = count ? total_ / count : 0;
  parallel_for(count, 1, 8 * average, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) body(static_cast<size_t>(c));
  });
}

// Chunks are summed in order, whoever computed them.
double Optimizer::gradient_norm(const float* gradients, std::span<const size_t> offsets) {
  const auto sum_squares = table().optimizer.sum_squares;
  each_chunk([&](size_t c) {
    const Chunk& chunk = chunks_[c];
    sums_[c] = sum_squares(chunk.size, gradients + offsets[chunk.parameter] + chunk.begin);
  });
  double sum = 0;
  for (double s : sums_) sum += s;
  return std::sqrt(sum);
}

void Optimizer::update(std::span<float* const> parameters, const float* gradients, std::span<const size_t> offsets,
                       float lr) {
  require(parameters.size() == sizes_.size() && offsets.size() == sizes_.size(), kind_, "was made for ", sizes_.size(),
          " parameters, got ", parameters.size());
  require(lr >= 0 && std::isfinite(lr), kind_, "lr must be >= 0, got ", lr);
  const FlushDenormals flush;
  const OptimizerSettings& s = settings_;
  float scale = 1;
  if (s.max_grad_norm > 0) {
    // min(1, max_norm / (norm + 1e-6)); a norm that is not a number gives one that is not.
    grad_norm_ = gradient_norm(gradients, offsets);
    const double coefficient = s.max_grad_norm / (grad_norm_ + 1e-6);
    scale = static_cast<float>(coefficient > 1 ? 1 : coefficient);
  }
  const double t = static_cast<double>(++steps_);
  const float decay = static_cast<float>(s.weight_decay), eps = static_cast<float>(s.eps);
  const float momentum = static_cast<float>(s.momentum);
  const OptimizerKernels& kernels = table().optimizer;
  const auto run = [&](auto&& kernel) {
    each_chunk([&](size_t c) {
      const Chunk& chunk = chunks_[c];
      kernel(chunk, gradients + offsets[chunk.parameter] + chunk.begin, parameters[chunk.parameter] + chunk.begin);
    });
  };
  switch (s.kind) {
    case Kind::sgd: {
      const SgdUpdate u{scale, decay, lr, momentum, static_cast<float>(1 - s.dampening), s.nesterov, steps_ == 1};
      run([&](const Chunk& c, const float* g, float* p) { kernels.sgd(c.size, u, g, p, state(0, c)); });
      break;
    }
    case Kind::adam:
    case Kind::adamw: {
      const bool decoupled = s.kind == Kind::adamw;
      const AdamUpdate u{scale,
                         decoupled ? 0 : decay,
                         static_cast<float>(decoupled ? 1 - static_cast<double>(lr) * s.weight_decay : 1),
                         static_cast<float>(1 - s.beta1),
                         static_cast<float>(s.beta2),
                         static_cast<float>(1 - s.beta2),
                         static_cast<float>(lr / (1 - std::pow(s.beta1, t))),
                         static_cast<float>(std::sqrt(1 - std::pow(s.beta2, t))),
                         eps};
      run([&](const Chunk& c, const float* g, float* p) { kernels.adam(c.size, u, g, p, state(0, c), state(1, c)); });
      break;
    }
    case Kind::rmsprop: {
      const RmspropUpdate u{scale, decay,   lr, static_cast<float>(s.alpha), static_cast<float>(1 - s.alpha),
                            eps,   momentum};
      const size_t none = slots_.size();
      const size_t buffer = s.momentum > 0 ? 1 : none, mean = s.centered ? slots_.size() - 1 : none;
      run([&](const Chunk& c, const float* g, float* p) {
        kernels.rmsprop(c.size, u, g, p, state(0, c), state(buffer, c), state(mean, c));
      });
      break;
    }
    case Kind::adagrad: {
      const AdagradUpdate u{scale, decay, static_cast<float>(lr / (1 + (t - 1) * s.lr_decay)), eps};
      run([&](const Chunk& c, const float* g, float* p) { kernels.adagrad(c.size, u, g, p, state(0, c)); });
      break;
    }
  }
}

}  // namespace convcore
