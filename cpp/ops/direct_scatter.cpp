// SPDX-License-Identifier: BSD-3-Clause
#include "ops/direct_scatter.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/table.h"
#include "ops/tiles.h"

namespace convcore {
bool ScatterConvolution::accepts(const Conv2dGeometry& g) {
  return g.groups == 1 && g.kernel_w > 1 && g.dilation_w == 1;
}

double ScatterConvolution::cycles(const Conv2dGeometry& g) {
  // Besides the products of a pixel of dy and a row of the kernel: to begin, and for each vector to add to what is there.
  constexpr double kBegin = 8, kAdd = 3;
  const TileShape& tile = choose_tile(g.kernel_w * g.c, g.o);
  const double vectors = static_cast<double>(ceil_div(g.kernel_w * g.c, tile.nr) * tile.nr) / table().tile.lanes;
  const double panels = static_cast<double>(ceil_div(g.kernel_w * g.c, tile.nr));
  const double rows = static_cast<double>(g.n * g.out_h * g.out_w * g.kernel_h);
  return rows * (vectors * static_cast<double>(g.o) / 2 / tile.efficiency + vectors * kAdd + panels * kBegin);
}

ScatterConvolution::ScatterConvolution(const Conv2dGeometry& g)
    : g_(g), columns_(g.kernel_w * g.c), tile_(choose_tile(columns_, g.o)), panels_(ceil_div(columns_, tile_.nr)) {
  halo_h_ = (g.out_h - 1) * g.stride_h + (g.kernel_h - 1) * g.dilation_h + 1;
  halo_w_ = (g.out_w - 1) * g.stride_w + g.kernel_w;
  slots_ = std::clamp<int64_t>(num_threads(), 1, std::max<int64_t>(g.n, 1));
  image_bytes_ = align_up(halo_h_ * halo_w_ * g.c * 4);
}

size_t ScatterConvolution::packed_bytes() const { return g_.kernel_h * panels_ * g_.o * tile_.nr * 4; }
size_t ScatterConvolution::workspace_bytes() const { return slots_ * image_bytes_; }

// packed: [kh][panel][o][NR], column kw * C + c
void ScatterConvolution::pack(const float* weight, std::byte* packed) const {
  const int64_t nr = tile_.nr;
  float* row = reinterpret_cast<float*>(packed);
  for (int64_t kh = 0; kh < g_.kernel_h; ++kh)
    for (int64_t panel = 0; panel < panels_; ++panel)
      for (int64_t o = 0; o < g_.o; ++o, row += nr)
        for (int64_t j = 0; j < nr; ++j) {
          const int64_t column = panel * nr + j, kw = column / g_.c, c = column % g_.c;
          row[j] = column < columns_ ? weight[((o * g_.c + c) * g_.kernel_h + kh) * g_.kernel_w + kw] : 0.0f;
        }
}

void ScatterConvolution::run(const Tensor& dy, const std::byte* packed, const Epilogue& epilogue, const Tensor& dx,
                             std::byte* workspace) const {
  std::atomic<int64_t> next{0};
  parallel_for(slots_, 1, g_.flops() / slots_, [&](int64_t begin, int64_t end) {
    for (int64_t slot = begin; slot < end; ++slot) {
      float* image = reinterpret_cast<float*>(workspace + slot * image_bytes_);
      for (int64_t n; (n = next.fetch_add(1, std::memory_order_relaxed)) < g_.n;)
        run_image(n, dy, reinterpret_cast<const float*>(packed), epilogue, dx, image);
    }
  });
}

void ScatterConvolution::run_image(int64_t n, const Tensor& dy, const float* packed, const Epilogue& epilogue,
                                   const Tensor& dx, float* image) const {
  std::memset(image, 0, image_bytes_);
  const int64_t zero = 0, nr = tile_.nr, tiles = ceil_div(g_.out_h, tile_.mr);
  const float* in = dy.f32() + n * g_.out_h * g_.out_w * dy.pitch;
  const float *x[kMaxTileRows], *w = packed;
  float* y[kMaxTileRows];
  for (int64_t kh = 0; kh < g_.kernel_h; ++kh)
    for (int64_t panel = 0; panel < panels_; ++panel, w += g_.o * nr) {
      const int columns = static_cast<int>(std::min(nr, columns_ - panel * nr));
      for (int64_t t = 0; t < tiles; ++t) {
        // The rows of a tile come from different rows of dy: neighbours in a row would wait for each other's stores.
        const int64_t first = g_.out_h * t / tiles, last = g_.out_h * (t + 1) / tiles;
        for (int64_t oh = first; oh < last; ++oh) {
          x[oh - first] = in + oh * g_.out_w * dy.pitch;
          y[oh - first] = image + (oh * g_.stride_h + kh * g_.dilation_h) * halo_w_ * g_.c + panel * nr;
        }
        const int rows = static_cast<int>(last - first);
        for (int64_t ow = 0; ow < g_.out_w; ++ow) {
          tile_.gather(rows, columns, x, &zero, 1, g_.o, w, y, {.add = y});
          for (int i = 0; i < rows; ++i) x[i] += dy.pitch, y[i] += g_.stride_w * g_.c;
        }
      }
    }
  // The part of the buffer that is dx; rows and columns that dy does not reach are zero.
  for (int64_t ih = 0; ih < g_.h; ++ih)
    for (int64_t iw = 0; iw < g_.w; ++iw) {
      const int64_t row = ih + g_.pad_top, column = iw + g_.pad_left;
      const float* from = row < halo_h_ && column < halo_w_ ? image + (row * halo_w_ + column) * g_.c : nullptr;
      const int64_t pixel = (n * g_.h + ih) * g_.w + iw;
      float* to = dx.f32() + pixel * dx.pitch;
      const float* residual = epilogue.residual_at(pixel);
      for (int64_t c = 0; c < g_.c; ++c) {
        to[c] = finished(from ? from[c] : 0.0f, c, residual, epilogue);
      }
    }
}

}  // namespace convcore
