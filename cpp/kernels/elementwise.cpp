// SPDX-License-Identifier: BSD-3-Clause
// Scaling, transposition, dropout; and the family's table. Activations, softmax and losses have files of their own.
#include "kernels/elementwise.h"

#include "simd/loop.h"

#define CC_UNROLL _Pragma("GCC unroll 16")

namespace convcore::CONVCORE_ISA {

void fill(ActivationKernels* activation);        // activation.cpp
void fill_unary(ActivationKernels* activation);  // unary.cpp
SoftmaxKernels softmax_kernels();                // softmax.cpp
void fill(PairLossKernels* pair_loss);           // loss.cpp
MarginKernels margin_kernels();

namespace {

void affine(int64_t rows, int64_t columns, ConstRows x, const float* scale, const float* shift, Rows y) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* xr = x.data + r * x.pitch;
    float* yr = y.data + r * y.pitch;
    for_row(columns, [=](int64_t j, auto part) CC_LAMBDA {
      store(yr + j, fma(load(xr + j, part), load(scale + j, part), load(shift + j, part)), part);
    });
  }
}

// Without load_u8, which reads whole vectors only: this loop the compiler vectorises well, tail included.
void affine_u8(int64_t rows, int64_t columns, const uint8_t* x, int64_t x_pitch, const float* __restrict scale,
               const float* __restrict shift, Rows y) {
  for (int64_t r = 0; r < rows; ++r) {
    const uint8_t* __restrict xr = x + r * x_pitch;
    float* __restrict yr = y.data + r * y.pitch;
    for (int64_t j = 0; j < columns; ++j) yr[j] = static_cast<float>(xr[j]) * scale[j] + shift[j];
  }
}

// Where the lanes of G rows of a vector each stand once they are interleaved: of the first two, of the others, and
// which of both an output takes.
template <int G>
struct Interleaving {
  int first[G][kLanes], second[G][kLanes], both[G][kLanes];

  constexpr Interleaving() : first(), second(), both() {
    for (int v = 0; v < G; ++v)
      for (int l = 0; l < kLanes; ++l) {
        const int row = (v * kLanes + l) % G, lane = (v * kLanes + l) / G;
        first[v][l] = row < 2 ? row * kLanes + lane : 0;
        second[v][l] = row < 2 ? 0 : (row - 2) * kLanes + lane;
        both[v][l] = row < 2 ? l : kLanes + l;
      }
  }
};

// y[j * G + i] = x[i][j]
template <int G>
void interleave(int64_t columns, ConstRows x, float* y) {
  static constexpr Interleaving<G> kPlaces;
  for (int64_t j = 0; j < columns; j += kLanes) {
    const int n = columns - j < kLanes ? static_cast<int>(columns - j) : kLanes;
    Vec row[G];
    CC_UNROLL for (int i = 0; i < G; ++i) row[i] = load_some(x.data + i * x.pitch + j, n);
    CC_UNROLL for (int v = 0; v < G; ++v) {
      Vec out = permute2(row[0], row[1], load_index(kPlaces.first[v]));
      if constexpr (G > 2) {
        const Vec others = permute2(row[2], row[G - 1], load_index(kPlaces.second[v]));
        out = permute2(out, others, load_index(kPlaces.both[v]));
      }
      const int left = G * n - v * kLanes;
      if (left >= kLanes)
        store(y + j * G + v * kLanes, out);
      else if (left > 0)
        store_n(y + j * G + v * kLanes, out, left);
    }
  }
}

// In squares of vectors; a few rows are interleaved.
void transpose(int64_t rows, int64_t columns, ConstRows x, Rows y) {
  if (y.pitch == rows && rows == 2) return interleave<2>(columns, x, y.data);
  if (y.pitch == rows && rows == 3) return interleave<3>(columns, x, y.data);
  if (y.pitch == rows && rows == 4) return interleave<4>(columns, x, y.data);
  for (int64_t i0 = 0; i0 < rows; i0 += kLanes)
    for (int64_t j0 = 0; j0 < columns; j0 += kLanes) {
      const int m = rows - i0 < kLanes ? static_cast<int>(rows - i0) : kLanes;
      const int n = columns - j0 < kLanes ? static_cast<int>(columns - j0) : kLanes;
      const float* from = x.data + i0 * x.pitch + j0;
      float* to = y.data + j0 * y.pitch + i0;
      Vec square[kLanes];
      CC_UNROLL for (int i = 0; i < kLanes; ++i) square[i] = i < m ? load_some(from + i * x.pitch, n) : zero();
      convcore::CONVCORE_ISA::transpose(square);
      CC_UNROLL for (int j = 0; j < kLanes; ++j) if (j < n) store_some(to + j * y.pitch, square[j], m);
    }
}

CC_INLINE VecBits words(uint32_t word) { return VecBits{} + word; }

// The multipliers of elements 64 b .. 64 b + 63: philox4x32-10 (see elementwise.h) for 16 counters side by side.
CC_INLINE void dropout_multipliers(int64_t b, const DropoutNumbers& numbers, float* multipliers) {
  constexpr int kWide = 16;
  for (int k = 0; k < kWide; k += kLanes) {
    const uint64_t counter = static_cast<uint64_t>(b) * kWide + static_cast<uint64_t>(k);
    VecBits c[4] = {words(static_cast<uint32_t>(counter)), words(static_cast<uint32_t>(counter >> 32)),
                    words(static_cast<uint32_t>(numbers.stream)), words(static_cast<uint32_t>(numbers.stream >> 32))};
    for (int l = 0; l < kLanes; ++l) c[0][l] += static_cast<uint32_t>(l);  // the low word does not overflow here
    uint32_t key0 = static_cast<uint32_t>(numbers.seed), key1 = static_cast<uint32_t>(numbers.seed >> 32);
    for (int round = 0; round < 10; ++round, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) {
      VecBits low0, high0, low1, high1;
      multiply_wide(c[0], words(0xD2511F53u), &low0, &high0);
      multiply_wide(c[2], words(0xCD9E8D57u), &low1, &high1);
      c[0] = high1 ^ c[1] ^ words(key0);
      c[1] = low1;
      c[2] = high0 ^ c[3] ^ words(key1);
      c[3] = low0;
    }
    for (int w = 0; w < 4; ++w) {
      const VecBits kept = (VecBits)(c[w] >= words(numbers.threshold)) & (VecBits)set1(numbers.scale);
      store(multipliers + w * kWide + k, (Vec)kept);
    }
  }
}

void dropout(int64_t rows, int64_t columns, ConstRows x, Rows y, int64_t first, const DropoutNumbers& numbers) {
  constexpr int64_t kBlock = 64;
  float multipliers[kBlock];
  int64_t drawn = -1;  // the block that `multipliers` holds
  for (int64_t r = 0; r < rows; ++r) {
    const float* xr = x.data + r * x.pitch;
    float* yr = y.data + r * y.pitch;
    const int64_t index = first + r * columns;
    for (int64_t j = 0; j < columns;) {
      const int64_t block = (index + j) / kBlock, at = (index + j) % kBlock;
      if (block != drawn) dropout_multipliers(drawn = block, numbers, multipliers);
      const int64_t n = kBlock - at < columns - j ? kBlock - at : columns - j;
      for_row(n, [&](int64_t i, auto part) CC_LAMBDA {
        store(yr + j + i, mul(load(xr + j + i, part), load(multipliers + at + i, part)), part);
      });
      j += n;
    }
  }
}

}  // namespace

ElementwiseKernels elementwise_kernels() {
  ElementwiseKernels k{};
  fill(k.activation);
  fill_unary(k.activation);
  k.softmax = softmax_kernels();
  fill(k.pair_loss);
  k.margin = margin_kernels();
  k.affine = affine;
  k.affine_u8 = affine_u8;
  k.transpose = transpose;
  k.dropout = dropout;
  return k;
}

}  // namespace convcore::CONVCORE_ISA
