// SPDX-License-Identifier: BSD-3-Clause
// Every op by name. A new op is a file pair and one line here.
#include <algorithm>

#include "kernels/table.h"
#include "ops/activation.h"
#include "ops/adaptive_pool.h"
#include "ops/argmax.h"
#include "ops/arithmetic.h"
#include "ops/avg_pool.h"
#include "ops/batch_norm.h"
#include "ops/channels_last.h"
#include "ops/concat.h"
#include "ops/conv2d.h"
#include "ops/conv_transpose2d.h"
#include "ops/correct_count.h"
#include "ops/cross_entropy.h"
#include "ops/dropout.h"
#include "ops/expand.h"
#include "ops/flatten.h"
#include "ops/gather.h"
#include "ops/im2col.h"
#include "ops/layer_norm.h"
#include "ops/linear.h"
#include "ops/local_response_norm.h"
#include "ops/lp_pool.h"
#include "ops/lstm.h"
#include "ops/margin_loss.h"
#include "ops/matmul.h"
#include "ops/max_pool.h"
#include "ops/max_unpool.h"
#include "ops/nll_loss.h"
#include "ops/normalize.h"
#include "ops/op.h"
#include "ops/pad.h"
#include "ops/rearrange.h"
#include "ops/reduce.h"
#include "ops/regression_loss.h"
#include "ops/slice.h"
#include "ops/resize.h"
#include "ops/softmax.h"
#include "ops/topk.h"
#include "ops/where.h"
#include "ops/tile.h"

namespace convcore {
namespace {

struct Entry {
  std::string_view kind;
  std::unique_ptr<Op> (*make)(const Attributes&);
};

constexpr Entry kOps[] = {
    {"conv2d", make_conv2d},
    {"conv_transpose2d", make_conv_transpose2d},
    {"im2col", make_im2col},
    {"col2im", make_col2im},
    {"linear", make_linear},
    {"flatten", make_flatten},
    {"rearrange", make_rearrange},
    {"channels_last", make_channels_last},
    {"slice", make_slice},
    {"pad", make_pad},
    {"expand", make_expand},
    {"tile", make_tile},
    {"gather", make_gather},
    {"resize", make_resize},
    {"max_pool2d", make_max_pool2d},
    {"max_pool2d_indices", make_max_pool2d_indices},
    {"max_unpool2d", make_max_unpool2d},
    {"avg_pool2d", make_avg_pool2d},
    {"sum_pool2d", make_sum_pool2d},
    {"lp_pool2d", make_lp_pool2d},
    {"adaptive_avg_pool2d", make_adaptive_avg_pool2d},
    {"adaptive_max_pool2d", make_adaptive_max_pool2d},
    {"batch_norm", make_batch_norm},
    {"layer_norm", make_layer_norm},
    {"group_norm", make_group_norm},
    {"instance_norm", make_instance_norm},
    {"lstm", make_lstm},
    {"local_response_norm", make_local_response_norm},
    {"dropout", make_dropout},
    {"concat", make_concat},
    {"add", make_add},
    {"multiply", make_multiply},
    {"subtract", make_subtract},
    {"divide", make_divide},
    {"power", make_power},
    {"minimum", make_minimum},
    {"maximum", make_maximum},
    {"remainder", make_remainder},
    {"fmod", make_fmod},
    {"prelu", make_prelu},
    {"equal", make_equal},
    {"less", make_less},
    {"less_equal", make_less_equal},
    {"greater", make_greater},
    {"greater_equal", make_greater_equal},
    {"logical_and", make_logical_and},
    {"logical_or", make_logical_or},
    {"logical_xor", make_logical_xor},
    {"where", make_where},
    {"normalize", make_normalize},
    {"relu", make_relu},
    {"leaky_relu", make_leaky_relu},
    {"relu6", make_relu6},
    {"sigmoid", make_sigmoid},
    {"tanh", make_tanh},
    {"silu", make_silu},
    {"gelu", make_gelu},
    {"hardswish", make_hardswish},
    {"hardsigmoid", make_hardsigmoid},
    {"elu", make_elu},
    {"selu", make_selu},
    {"celu", make_celu},
    {"mish", make_mish},
    {"softplus", make_softplus},
    {"softsign", make_softsign},
    {"threshold", make_threshold},
    {"erf", make_erf},
    {"exp", make_exp},
    {"log", make_log},
    {"sqrt", make_sqrt},
    {"abs", make_abs},
    {"neg", make_neg},
    {"reciprocal", make_reciprocal},
    {"floor", make_floor},
    {"ceil", make_ceil},
    {"round", make_round},
    {"sign", make_sign},
    {"clamp", make_clamp},
    {"logical_not", make_logical_not},
    {"reduce", make_reduce},
    {"argmax", make_argmax},
    {"argmin", make_argmin},
    {"hardmax", make_hardmax},
    {"topk", make_topk},
    {"matmul", make_matmul},
    {"softmax", make_softmax},
    {"log_softmax", make_log_softmax},
    {"cross_entropy", make_cross_entropy},
    {"nll_loss", make_nll_loss},
    {"hinge_loss", make_hinge_loss},
    {"multi_margin_loss", make_multi_margin_loss},
    {"mse_loss", make_mse_loss},
    {"l1_loss", make_l1_loss},
    {"huber_loss", make_huber_loss},
    {"bce_with_logits", make_bce_with_logits},
    {"correct_count", make_correct_count},
};

}  // namespace

std::unique_ptr<Op> make_op(std::string_view kind, const Attributes& attributes) {
  const auto* op = std::find_if(std::begin(kOps), std::end(kOps), [&](const Entry& e) { return e.kind == kind; });
  require(op != std::end(kOps), "make_op", "unknown op '", kind, "'");
  table();  // a bad CONVCORE_ISA throws, which it must not do later, inside a parallel region
  return op->make(attributes);
}

std::vector<std::string> op_kinds() {
  std::vector<std::string> kinds;
  for (const Entry& e : kOps) kinds.emplace_back(e.kind);
  return kinds;
}

}  // namespace convcore
