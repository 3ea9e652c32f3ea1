// SPDX-License-Identifier: BSD-3-Clause
// Local response normalisation over channels (Krizhevsky et al., 2012), as torch.nn.functional.local_response_norm:
//   s[c] = k + alpha / size * sum of x[j]^2 over c - size / 2 <= j <= c + (size - 1) / 2, zero outside the channels
//   forward          y[c] = x[c] * s[c]^-beta
//   backward_input   dx[j] = dy[j] * s[j]^-beta - 2 * alpha * beta / size * x[j] * sum of dy[c] * y[c] / s[c]
//                    over the c whose s[c] holds x[j]
// local_response_norm(x)  size, alpha = 1e-4, beta = 0.75, k = 1;  x: (N, C, L) or (N, C, H, W), float32.
// beta of 0.5, 0.75 and 1 are several times faster than others.
#pragma once

#include <memory>

#include "ops/op.h"

namespace convcore {

std::unique_ptr<Op> make_local_response_norm(const Attributes& attributes);

}  // namespace convcore
