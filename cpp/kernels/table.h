// SPDX-License-Identifier: BSD-3-Clause
// One table per ISA: function pointers and the tile sizes that belong to them. Ops call kernels through table().
#pragma once

#include <vector>

#include "base/cpu.h"
#include "kernels/arithmetic.h"
#include "kernels/depthwise.h"
#include "kernels/elementwise.h"
#include "kernels/grouped.h"
#include "kernels/norm.h"
#include "kernels/optimizer.h"
#include "kernels/pack.h"
#include "kernels/plane.h"
#include "kernels/pool.h"
#include "kernels/recurrent.h"
#include "kernels/resize.h"
#include "kernels/row_product.h"
#include "kernels/run_tile.h"
#include "kernels/tile.h"
#include "kernels/winograd.h"
#include "kernels/winograd_weight.h"

namespace convcore {

struct KernelTable {
  Isa isa;
  TileKernels tile;                       // convolution and matrix product
  RunKernels run;                         // gather tiles of neighbouring pixels
  PlaneKernels plane;                     // few output channels: vectors along pixels
  PackKernels pack;                       // weights and operands for the tiles
  WinogradKernels winograd;               // transforms of tiles, filters and outputs
  WinogradWeightKernels winograd_weight;  // and of what backward-weight needs
  RowProductKernels row_product;          // backward-weight of few channels
  DepthwiseKernels depthwise;             // one channel per group
  GroupedKernels grouped;                 // convolution in narrow groups
  PoolKernels pool;
  ElementwiseKernels elementwise;         // activations, softmax, losses, copies
  ArithmeticKernels arithmetic;           // functions of two and three operands, sums and other folds
  NormKernels norm;                       // batch, layer, group and local response norm
  ResizeKernels resize;
  RecurrentKernels recurrent;             // LSTM
  OptimizerKernels optimizer;
};

// The table in use: the best that the processor has, or what CONVCORE_ISA names (an ISA the processor lacks is a
// ValueError at first use). Chosen once; force_isa() is for tests and benchmarks.
const KernelTable& table();
std::vector<Isa> available_isas();
void force_isa(Isa isa);  // throws ValueError if not available

}  // namespace convcore
