# SPDX-License-Identifier: BSD-3-Clause
"""Reductions over axes, and the places of the largest."""

from __future__ import annotations

import numpy as np

from ... import functional as F
from ...functional.dispatch import apply
from ..node import Node, Value
from ..registry import operator

_FUNCTIONS = {
    "ReduceSum": "sum",
    "ReduceMean": "mean",
    "ReduceMax": "max",
    "ReduceMin": "min",
    "ReduceProd": "prod",
    "ReduceL1": "l1",
    "ReduceL2": "l2",
    "ReduceSumSquare": "sum_square",
    "ReduceLogSum": "log_sum",
    "ReduceLogSumExp": "log_sum_exp",
}


@operator(*_FUNCTIONS, shapes=(1,))
def reduce(node: Node, x: Value, axes: Value | None = None) -> Value:
    """Over all axes where none are given, unless noop_with_empty_axes."""
    given = axes.ints("axes") if axes is not None else node.get("axes") or []
    if not given and node.get("noop_with_empty_axes", 0):
        return _of_single_elements(node, x)
    over = sorted({x.axis(a) for a in given}) if given else list(range(x.ndim))
    if not x.ndim:
        return _of_single_elements(node, x)
    kept = bool(node.get("keepdims", 1))
    shape = [1 if i in over else s for i, s in enumerate(x.shape) if kept or i not in over]
    if x.dtype == bool and not x.size:  # of nothing: False is the greatest, True the least
        return Value(np.full(shape, node.op == "ReduceMin"))
    y = apply("reduce", {"function": _FUNCTIONS[node.op], "axes": over, "keepdims": True}, x.data)
    return Value(y, x.dtype).reshaped(shape)


def _of_single_elements(node: Node, x: Value) -> Value:
    function = _FUNCTIONS[node.op]
    if function in ("l1", "l2"):
        return x.with_data(F.abs(x.data))
    if function == "sum_square":
        return x.with_data(F.multiply(x.data, x.data))
    return x.with_data(F.log(x.data)) if function == "log_sum" else x


@operator("ArgMax", "ArgMin")
def arg(node: Node, x: Value) -> Value:
    axis = x.axis(node.get("axis", 0))
    run = F.argmax if node.op == "ArgMax" else F.argmin
    places = run(x.data, axis, True, bool(node.get("select_last_index", 0)))
    shape = list(x.shape)
    shape[axis : axis + 1] = [1] if node.get("keepdims", 1) else []
    return Value(places, np.int64).reshaped(shape)


@operator("TopK", shapes=(1,))
def topk(node: Node, x: Value, k: Value | None = None) -> tuple[Value, Value]:
    count = int(k.constant("K").reshape(-1)[0]) if k is not None else node.get("k")
    axis, largest = x.axis(node.get("axis", -1)), bool(node.get("largest", 1))
    values, places = F.topk(x.data, count, axis, largest, bool(node.get("sorted", 1)))
    return Value(values, x.dtype), Value(places, np.int64)
