// SPDX-License-Identifier: BSD-3-Clause
#include "ops/adaptive_pool.h"

#include "ops/avg_pool.h"
#include "ops/max_pool.h"

namespace convcore {
namespace {

PoolGeometry adaptive_geometry(std::string_view kind, const Attributes& attributes) {
  attributes.check_known(kind, {"output_size"});
  return {kind, PoolGeometry::Windows::adaptive, attributes, PoolGeometry::Divisor::inside};
}

}  // namespace

std::unique_ptr<Op> make_adaptive_avg_pool2d(const Attributes& attributes) {
  return make_sum_pool("adaptive_avg_pool2d", adaptive_geometry("adaptive_avg_pool2d", attributes));
}

std::unique_ptr<Op> make_adaptive_max_pool2d(const Attributes& attributes) {
  return make_max_pool("adaptive_max_pool2d", adaptive_geometry("adaptive_max_pool2d", attributes));
}

}  // namespace convcore
