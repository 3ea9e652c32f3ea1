// SPDX-License-Identifier: BSD-3-Clause
// Layer and group norm, row by row; part of the family in norm.h.
#include "kernels/norm.h"
#include "simd/loop.h"

namespace convcore::CONVCORE_ISA {

void fill_layer(NormKernels& k);

namespace {

// One value for all columns, or one for each; `fallback` where there is none.
template <bool ByColumn>
struct Values {
  const float* data;
  Vec same;

  __attribute__((always_inline)) Values(const float* p, float fallback)
      : data(p), same(set1(p && !ByColumn ? *p : fallback)) {}
  template <class Part>
  __attribute__((always_inline)) Vec at(int64_t j, Part part) const {
    return ByColumn && data ? load(data + j, part) : same;
  }
};

// Calls f with Flag<s> and Flag<w>: what the block has by column.
template <bool B>
struct Flag {
  static constexpr bool value = B;
};
template <class F>
CC_INLINE void with_flags(const LayerBlock& b, F&& f) {
  if (b.statistics_by_column)
    b.weight_by_column ? f(Flag<true>{}, Flag<true>{}) : f(Flag<true>{}, Flag<false>{});
  else
    b.weight_by_column ? f(Flag<false>{}, Flag<true>{}) : f(Flag<false>{}, Flag<false>{});
}

CC_INLINE const float* row_of(ConstRows rows, int64_t r) { return rows.data ? rows.data + r * rows.pitch : nullptr; }

void layer_normalize(const LayerBlock& b, ConstRows x, Rows y) {
  with_flags(b, [&]<bool S, bool W>(Flag<S>, Flag<W>) CC_LAMBDA {
    const Values<S> mean(b.mean, 0), scale(b.scale, 1);
    for (int64_t r = 0; r < b.rows; ++r) {
      const Values<W> weight(row_of(b.weight, r), 1), bias(row_of(b.bias, r), 0);
      const float* from = x.data + r * x.pitch;
      float* to = y.data + r * y.pitch;
      for_row(b.columns, [&](int64_t j, auto part) CC_LAMBDA {
        const Vec v = mul(sub(load(from + j, part), mean.at(j, part)), scale.at(j, part));
        store(to + j, fma(v, weight.at(j, part), bias.at(j, part)), part);
      });
    }
  });
}

void layer_rows(const LayerRows& l) {
  const Vec share = set1(1.0f / static_cast<float>(l.columns));
  const Values<true> weight(l.weight, 1), bias(l.bias, 0);
  for (int64_t r = 0; r < l.rows; ++r) {
    const float* from = l.x.data + r * l.x.pitch;
    float* to = l.y.data + r * l.y.pitch;
    Vec total = zero(), square = zero();
    for_row(l.columns, [&](int64_t j, auto part) CC_LAMBDA { total = add(total, load(from + j, part)); });
    const Vec mean = mul(set1(sum(total)), share);
    for_row(l.columns, [&](int64_t j, auto part) CC_LAMBDA {
      const Vec d = keep(sub(load(from + j, part), mean), zero(), part);
      square = fma(d, d, square);
    });
    const Vec scale = div(set1(1.0f), sqrt(fma(set1(sum(square)), share, set1(l.eps))));
    for_row(l.columns, [&](int64_t j, auto part) CC_LAMBDA {
      const Vec v = mul(sub(load(from + j, part), mean), scale);
      store(to + j, fma(v, weight.at(j, part), bias.at(j, part)), part);
    });
    store_n(l.mean + r, mean, 1);
    store_n(l.scale + r, scale, 1);
  }
}

void layer_sums(const LayerBlock& b, ConstRows x, ConstRows dy, float* sum, float* dot) {
  with_flags(b, [&]<bool S, bool W>(Flag<S>, Flag<W>) CC_LAMBDA {
    const Values<S> mean(b.mean, 0);
    const auto term = [&](const Values<W>& weight, const float* from, const float* grad, int64_t j, auto part, Vec& a,
                          Vec& d) CC_LAMBDA {
      const Vec g = mul(load(grad + j, part), weight.at(j, part));
      a = add(a, g);
      d = fma(g, sub(load(from + j, part), mean.at(j, part)), d);
    };
    if (S)
      for (int64_t j = 0; j < b.columns; ++j) sum[j] = dot[j] = 0.0f;
    Vec all = zero(), product = zero();
    for (int64_t r = 0; r < b.rows; ++r) {
      const Values<W> weight(row_of(b.weight, r), 1);
      const float *from = x.data + r * x.pitch, *grad = dy.data + r * dy.pitch;
      for_row(b.columns, [&](int64_t j, auto part) CC_LAMBDA {
        if (S) {
          Vec a = load(sum + j, part), d = load(dot + j, part);
          term(weight, from, grad, j, part, a, d);
          store(sum + j, a, part);
          store(dot + j, d, part);
        } else {
          term(weight, from, grad, j, part, all, product);  // lanes beyond a tail: dy is 0
        }
      });
    }
    if (!S) {
      *sum = convcore::CONVCORE_ISA::sum(all);
      *dot = convcore::CONVCORE_ISA::sum(product);
    }
  });
}

void layer_backward_input(const LayerBlock& b, ConstRows x, ConstRows dy, const float* slope, const float* offset,
                          Rows dx) {
  with_flags(b, [&]<bool S, bool W>(Flag<S>, Flag<W>) CC_LAMBDA {
    const Values<S> mean(b.mean, 0), scale(b.scale, 1), slopes(slope, 0), offsets(offset, 0);
    for (int64_t r = 0; r < b.rows; ++r) {
      const Values<W> weight(row_of(b.weight, r), 1);
      const float *from = x.data + r * x.pitch, *grad = dy.data + r * dy.pitch;
      float* to = dx.data + r * dx.pitch;
      for_row(b.columns, [&](int64_t j, auto part) CC_LAMBDA {
        const Vec g = mul(load(grad + j, part), weight.at(j, part));
        const Vec rest = fma(slopes.at(j, part), sub(load(from + j, part), mean.at(j, part)), offsets.at(j, part));
        store(to + j, fma(scale.at(j, part), g, rest), part);
      });
    }
  });
}

void layer_backward_weight(const LayerBlock& b, ConstRows x, ConstRows dy, Rows dweight, Rows dbias) {
  with_flags(b, [&]<bool S, bool W>(Flag<S>, Flag<W>) CC_LAMBDA {
    const Values<S> mean(b.mean, 0), scale(b.scale, 1);
    for (int64_t r = 0; r < b.rows; ++r) {
      const float *from = x.data + r * x.pitch, *grad = dy.data + r * dy.pitch;
      float* weight = dweight.data ? dweight.data + r * dweight.pitch : nullptr;
      float* bias = dbias.data ? dbias.data + r * dbias.pitch : nullptr;
      Vec dot = zero(), total = zero();
      for_row(b.columns, [&](int64_t j, auto part) CC_LAMBDA {
        const Vec g = load(grad + j, part);
        const Vec v = mul(sub(load(from + j, part), mean.at(j, part)), scale.at(j, part));
        if (W) {
          if (weight) store(weight + j, fma(g, v, load(weight + j, part)), part);
          if (bias) store(bias + j, add(g, load(bias + j, part)), part);
        } else {
          dot = fma(g, v, dot);
          total = add(total, g);
        }
      });
      if (!W && weight) *weight += sum(dot);
      if (!W && bias) *bias += sum(total);
    }
  });
}

}  // namespace

void fill_layer(NormKernels& k) {
  k.layer_rows = layer_rows;
  k.layer_normalize = layer_normalize;
  k.layer_sums = layer_sums;
  k.layer_backward_input = layer_backward_input;
  k.layer_backward_weight = layer_backward_weight;
}

}  // namespace convcore::CONVCORE_ISA
