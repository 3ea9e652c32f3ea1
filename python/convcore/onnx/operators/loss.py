# SPDX-License-Identifier: BSD-3-Clause
"""Losses that stand in the graph."""

from __future__ import annotations

import math

from ... import functional as F
from ..node import Node, Value
from ..registry import operator


def _rows(x: Value) -> Value:
    """(N, C, d1, d2, ...) as (N, C, d1 d2 ...), where there are more axes than the core's ops take."""
    return x if x.ndim < 5 else x.reshaped((*x.shape[:2], math.prod(x.shape[2:])))


def _nll(node: Node, x: Value, target: Value, weight: Value | None) -> Value:
    """x: as _rows gives it; labels are that already."""
    reduction, ignored = node.get("reduction", "mean"), node.get("ignore_index")
    y = F.nll_loss(
        x.data,
        target.data,
        None if weight is None else weight.data,
        ignore_index=-(1 << 30) if ignored is None else ignored,
        reduction=reduction,
    )
    return Value(y, x.dtype).reshaped(target.shape if reduction == "none" else ())


@operator("NegativeLogLikelihoodLoss", weights=(2,))
def nll_loss(node: Node, x: Value, target: Value, weight: Value | None = None) -> Value:
    return _nll(node, _rows(x), target, weight)


@operator("SoftmaxCrossEntropyLoss", weights=(2,))
def softmax_cross_entropy(node: Node, x: Value, target: Value, weight: Value | None = None) -> tuple[Value, Value]:
    """The loss, and the logarithms of the probabilities."""
    rows = _rows(x)
    log = rows.with_data(F.log_softmax(rows.data, 1))
    return _nll(node, log, target, weight), log.reshaped(x.shape)
