# SPDX-License-Identifier: BSD-3-Clause
"""Functions of one tensor, element by element, and the softmaxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ... import functional as F
from ..node import Node, Value
from ..registry import Constants, operator

_FUNCTIONS: dict[str, Callable[[Node, Any], Any]] = {
    "Relu": lambda node, x: F.relu(x),
    "LeakyRelu": lambda node, x: F.leaky_relu(x, node.get("alpha", 0.01)),
    "Elu": lambda node, x: F.elu(x, node.get("alpha", 1.0)),
    "Selu": lambda node, x: F.selu(x, node.get("alpha", 1.6732632423543772), node.get("gamma", 1.0507009873554805)),
    "Celu": lambda node, x: F.celu(x, node.get("alpha", 1.0)),
    "Sigmoid": lambda node, x: F.sigmoid(x),
    "HardSigmoid": lambda node, x: F.hardsigmoid(x, node.get("alpha", 0.2), node.get("beta", 0.5)),
    "HardSwish": lambda node, x: F.hardswish(x),
    "Mish": lambda node, x: F.mish(x),
    "Tanh": lambda node, x: F.tanh(x),
    "Softplus": lambda node, x: F.softplus(x),
    "Softsign": lambda node, x: F.softsign(x),
    "ThresholdedRelu": lambda node, x: F.threshold(x, node.get("alpha", 1.0), 0.0),
    "Gelu": lambda node, x: F.gelu(x, node.get("approximate", "none")),
    "Erf": lambda node, x: F.erf(x),
    "Sqrt": lambda node, x: F.sqrt(x),
    "Exp": lambda node, x: F.exp(x),
    "Log": lambda node, x: F.log(x),
    "Abs": lambda node, x: F.abs(x),
    "Neg": lambda node, x: F.neg(x),
    "Reciprocal": lambda node, x: F.reciprocal(x),
    "Floor": lambda node, x: F.floor(x),
    "Ceil": lambda node, x: F.ceil(x),
    "Round": lambda node, x: F.round(x),
    "Sign": lambda node, x: F.sign(x),
    "Not": lambda node, x: F.logical_not(x),
    "Identity": lambda node, x: x,
}


@operator(*_FUNCTIONS)
def function(node: Node, x: Value) -> Value:
    return x.with_data(_FUNCTIONS[node.op](node, x.data))


@operator("Swish")
def swish(node: Node, x: Value) -> Value:
    """x * sigmoid(alpha x)"""
    alpha = node.get("alpha", 1.0)
    return x.with_data(F.silu(x.data) if alpha == 1 else F.multiply(x.data, F.sigmoid(F.multiply(x.data, alpha))))


@operator("Clip", shapes=(1, 2))
def clip(node: Node, x: Value, low: Value | None = None, high: Value | None = None) -> Value:
    ends = []
    for name, value in (("min", low), ("max", high)):
        given = node.get(name) if value is None else value.constant(name).reshape(-1)[0]
        ends.append(None if given is None else float(given))
    if x.dtype == np.float32:
        ends = [None if end is None or abs(end) >= np.finfo(np.float32).max else end for end in ends]
    return x if ends == [None, None] else x.with_data(F.clamp(x.data, *ends))


@operator("Softmax", "LogSoftmax", "Hardmax")
def softmax(node: Node, x: Value) -> Value:
    """Before opset 13, over all axes from `axis` on, taken as one."""
    run = {"Softmax": F.softmax, "LogSoftmax": F.log_softmax, "Hardmax": F.hardmax}[node.op]
    if node.version >= 13:
        return x.with_data(run(x.data, x.axis(node.get("axis", -1))))
    axis = x.axis(node.get("axis", 1))
    rows = x.reshaped((int(np.prod(x.shape[:axis], dtype=np.int64)), int(np.prod(x.shape[axis:], dtype=np.int64))))
    return Value(run(rows.data, 1), x.dtype).reshaped(x.shape)


def _check_dropout(node: Node, known: Constants) -> Iterator[str]:
    ratio, training = (known.get(name) for name in (*node.inputs, "", "")[1:3])
    if training is not None and training.any() and (ratio is None or ratio.any()):
        yield "training_mode on: whether a program trains is said when it is made"


@operator("Dropout", shapes=(1, 2), check=_check_dropout)
def dropout(node: Node, x: Value, ratio: Value | None = None, training: Value | None = None) -> tuple[Value, Value]:
    """In training programs, as `functional.dropout`; the node's own training_mode must be off."""
    on = training is not None and training.constant("training_mode").any()
    if on and (ratio is None or ratio.constant("ratio").any()):
        raise ValueError("training_mode must be off: whether a program trains is said when it is made")
    p = node.get("ratio", 0.5) if ratio is None else float(ratio.constant("ratio").reshape(-1)[0])
    y = F.dropout(x.data, p) if x.is_symbol and x.data.tracer.training else x.data
    return x.with_data(y), Value(np.ones(x.shape, bool))
