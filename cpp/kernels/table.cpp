// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/table.h"

#include <atomic>
#include <cstdlib>
#include <string_view>

#include "base/error.h"

namespace convcore {

// Each family of kernels is one source file, compiled once per ISA into the namespace of that ISA.
#define CC_DECLARE_ISA(isa)                         \
  namespace isa {                                   \
  TileKernels tile_kernels();                       \
  RunKernels run_kernels();                         \
  PlaneKernels plane_kernels();                     \
  PackKernels pack_kernels();                       \
  WinogradKernels winograd_kernels();               \
  WinogradWeightKernels winograd_weight_kernels();  \
  RowProductKernels row_product_kernels();          \
  DepthwiseKernels depthwise_kernels();             \
  GroupedKernels grouped_kernels();                 \
  PoolKernels pool_kernels();                       \
  ElementwiseKernels elementwise_kernels();         \
  ArithmeticKernels arithmetic_kernels();           \
  NormKernels norm_kernels();                       \
  ResizeKernels resize_kernels();                   \
  RecurrentKernels recurrent_kernels();             \
  OptimizerKernels optimizer_kernels();             \
  }
#define CC_TABLE(isa)                                                                                      \
  KernelTable {                                                                                            \
    Isa::isa, isa::tile_kernels(), isa::run_kernels(), isa::plane_kernels(), isa::pack_kernels(),          \
        isa::winograd_kernels(), isa::winograd_weight_kernels(), isa::row_product_kernels(),               \
        isa::depthwise_kernels(), isa::grouped_kernels(), isa::pool_kernels(), isa::elementwise_kernels(), \
        isa::arithmetic_kernels(), isa::norm_kernels(), isa::resize_kernels(), isa::recurrent_kernels(),   \
        isa::optimizer_kernels()                                                                           \
  }

CC_DECLARE_ISA(portable)
#if defined(CONVCORE_HAS_X86)
CC_DECLARE_ISA(avx2)
CC_DECLARE_ISA(avx512)
#endif
#if defined(CONVCORE_HAS_NEON)
CC_DECLARE_ISA(neon)
#endif

namespace {

// Best last. A table's getter runs code compiled for its ISA, so it is only called where the processor has it.
const std::vector<KernelTable>& tables() {
  static const std::vector<KernelTable> all = [] {
    std::vector<KernelTable> t{CC_TABLE(portable)};
#if defined(CONVCORE_HAS_X86)
    if (cpu_info().avx2) t.push_back(CC_TABLE(avx2));
    if (cpu_info().avx512) t.push_back(CC_TABLE(avx512));
#endif
#if defined(CONVCORE_HAS_NEON)
    if (cpu_info().neon) t.push_back(CC_TABLE(neon));
#endif
    return t;
  }();
  return all;
}

const KernelTable* find(std::string_view name) {
  for (const KernelTable& t : tables())
    if (name == name_of(t.isa)) return &t;
  return nullptr;
}

const KernelTable* choose() {
  const char* wanted = std::getenv("CONVCORE_ISA");
  if (!wanted || !*wanted) return &tables().back();
  const KernelTable* t = find(wanted);
  require(t != nullptr, "CONVCORE_ISA", "must be portable, avx2, avx512 or neon and supported by this processor, got '",
          wanted, "'");
  return t;
}

std::atomic<const KernelTable*> current{nullptr};

}  // namespace

const KernelTable& table() {
  const KernelTable* t = current.load(std::memory_order_acquire);
  if (!t) current.store(t = choose(), std::memory_order_release);
  return *t;
}

std::vector<Isa> available_isas() {
  std::vector<Isa> isas;
  for (const KernelTable& t : tables()) isas.push_back(t.isa);
  return isas;
}

void force_isa(Isa isa) {
  const KernelTable* t = find(name_of(isa));
  require(t != nullptr, "force_isa", "this processor has no ", name_of(isa));
  current.store(t, std::memory_order_release);
}

}  // namespace convcore
