// SPDX-License-Identifier: BSD-3-Clause
// One table per ISA: function pointers and the tile sizes that belong to them. Ops call kernels through table().
#pragma once

#include <vector>

#include "base/cpu.h"
#include "kernels/elementwise.h"
#include "kernels/norm.h"
#include "kernels/optimizer.h"
#include "kernels/pool.h"
#include "kernels/tile.h"
#include "kernels/winograd.h"
#include "kernels/winograd_weight.h"

namespace convcore {

struct KernelTable {
  Isa isa;
  TileKernels tile;                // convolution and matrix product
  PoolKernels pool;
  ElementwiseKernels elementwise;  // activations, softmax, add, multiply, copies
  NormKernels norm;                // batch norm, local response norm
  OptimizerKernels optimizer;
  WinogradKernels winograd;
  WinogradWeightKernels winograd_weight;
};

// The table in use: the best that the processor has, or what CONVCORE_ISA names (an ISA the processor lacks is a
// ValueError at first use). Chosen once; force_isa() is for tests and benchmarks.
const KernelTable& table();
std::vector<Isa> available_isas();
void force_isa(Isa isa);  // throws ValueError if not available

}  // namespace convcore
