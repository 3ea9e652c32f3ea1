// SPDX-License-Identifier: BSD-3-Clause
// What every benchmark reports: GFLOP/s, and the share of the fused multiply-add peak measured in the same run.
#pragma once

#include <benchmark/benchmark.h>

#include <string>

#include "base/tensor.h"

namespace convcore::bench {

// Best of several runs of the kernel table's multiply-add loop on one thread; measured once.
double peak_gflops();

// Call after the loop. flops: operations of one iteration (a multiply-add counts as 2).
void report(benchmark::State& state, double flops);

double dot(const Tensor& a, const Tensor& b);  // of packed or dense tensors

void register_convolutions(const std::string& shapes);  // a file of bench/shapes
void register_pools();

}  // namespace convcore::bench
