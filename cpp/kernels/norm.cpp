// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/norm.h"

#include "simd/vec.h"

namespace convcore::CONVCORE_ISA {

NormKernels norm_kernels() { return {}; }

}  // namespace convcore::CONVCORE_ISA
