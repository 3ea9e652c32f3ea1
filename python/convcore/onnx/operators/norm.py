# SPDX-License-Identifier: BSD-3-Clause
"""Normalisations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ... import functional as F
from ...functional.dispatch import apply
from ..node import Node, Value, beside, per_channel
from ..registry import Constants, operator


def _check_batch_norm(node: Node, known: Constants) -> Iterator[str]:
    if node.version < 9 and node.get("spatial", 1) != 1:
        yield "spatial=0"


@operator("BatchNormalization", weights=(1, 2, 3, 4), trained=(1, 2), kept=(3, 4), check=_check_batch_norm)
def batch_norm(node: Node, x: Value, scale: Value, bias: Value, mean: Value, var: Value) -> Value | tuple[Value, ...]:
    eps, momentum = node.get("epsilon", 1e-5), node.get("momentum", 0.9)
    if node.get("training_mode", 0):
        return _batch_statistics(x, (scale, bias, mean, var), eps, momentum)
    vectors = (scale, bias, mean, var)
    if any(v.is_symbol for v in vectors) or x.ndim < 2 or x.ndim > 4:
        s, b, m, v = (per_channel(x, value) for value in vectors)
        return x.with_data(_affine(x.data, s, b, m, v, eps))
    attributes = {"eps": eps, "momentum": 1 - momentum}
    return x.with_data(apply("batch_norm", attributes, x.data, *(value.data for value in vectors)))


def _affine(x: Any, scale: Any, bias: Any, mean: Any, var: Any, eps: float) -> Any:
    """(x - mean) / sqrt(var + eps) * scale + bias"""
    factor = F.divide(scale, F.sqrt(F.add(var, eps)))
    return F.add(F.multiply(F.subtract(x, mean), factor), bias)


def _batch_statistics(x: Value, vectors: tuple[Value, ...], eps: float, momentum: float) -> tuple[Value, ...]:
    """training_mode: the batch's own mean and (biased) variance, and the running ones moved towards them."""
    axes = [0, *range(2, x.ndim)]
    now_mean = apply("reduce", {"function": "mean", "axes": axes, "keepdims": True}, x.data)
    centred = F.subtract(x.data, now_mean)
    now_var = apply("reduce", {"function": "mean", "axes": axes, "keepdims": True}, F.multiply(centred, centred))
    scale, bias, mean, var = (per_channel(x, v) for v in vectors)
    y = F.add(F.multiply(F.divide(centred, F.sqrt(F.add(now_var, eps))), scale), bias)
    moved = [
        Value(F.add(F.multiply(old, momentum), F.multiply(new, 1 - momentum))).reshaped((x.shape[1],))
        for old, new in ((mean, now_mean), (var, now_var))
    ]
    return x.with_data(y), *moved


@operator("InstanceNormalization", weights=(1, 2), trained=(1, 2))
def instance_norm(node: Node, x: Value, scale: Value, bias: Value) -> Value:
    return x.with_data(F.instance_norm(x.data, None, None, scale.data, bias.data, eps=node.get("epsilon", 1e-5)))


@operator("LayerNormalization", weights=(1, 2), trained=(1, 2))
def layer_norm(node: Node, x: Value, scale: Value, bias: Value | None = None) -> tuple[Value, ...]:
    """Y, and the mean and the inverse standard deviation that it was made with."""
    axis, eps = x.axis(node.get("axis", -1)), node.get("epsilon", 1e-5)
    shape = x.shape[axis:]
    if len(node.outputs) == 1 and scale.shape == shape and (bias is None or bias.shape == shape):
        return (x.with_data(F.layer_norm(x.data, shape, scale.data, None if bias is None else bias.data, eps)),)
    mean, centred, inverse = _standardised(x, list(range(axis, x.ndim)), eps)
    y = F.multiply(F.multiply(centred, inverse), beside(x, scale).reshaped(_front(x, scale)).data)
    if bias is not None:
        y = F.add(y, beside(x, bias).reshaped(_front(x, bias)).data)
    return x.with_data(y), Value(mean), Value(inverse)


def _front(x: Value, operand: Value) -> tuple[int, ...]:
    return (1,) * (x.ndim - operand.ndim) + operand.shape


def _standardised(x: Value, axes: list[int], eps: float) -> tuple[Any, Any, Any]:
    """The mean over the axes, x - mean, and 1 / sqrt(var + eps)."""
    settings: dict[str, Any] = {"function": "mean", "axes": axes, "keepdims": True}
    mean = apply("reduce", settings, x.data)
    centred = F.subtract(x.data, mean)
    var = apply("reduce", settings, F.multiply(centred, centred))
    return mean, centred, F.reciprocal(F.sqrt(F.add(var, eps)))


@operator("GroupNormalization", weights=(1, 2), trained=(1, 2))
def group_norm(node: Node, x: Value, scale: Value, bias: Value) -> Value:
    """Before opset 21, scale and bias were one for each group."""
    groups, eps = node.get("num_groups"), node.get("epsilon", 1e-5)
    if scale.size == x.shape[1] and not (scale.is_symbol or bias.is_symbol):
        return x.with_data(F.group_norm(x.data, groups, scale.data, bias.data, eps))
    shape = (x.shape[0], groups, int(np.prod(x.shape[1:])) // groups)
    _, centred, inverse = _standardised(x.reshaped(shape), [2], eps)
    y = Value(F.multiply(centred, inverse)).reshaped(x.shape)
    scale, bias = (_spread(beside(x, v), x.shape[1] // v.size) for v in (scale, bias))
    return x.with_data(F.add(F.multiply(y.data, per_channel(x, scale)), per_channel(x, bias)))


def _spread(vector: Value, times: int) -> Value:
    """Each value `times` times."""
    if times == 1:
        return vector
    wide = F.expand(vector.reshaped((vector.size, 1)).data, (vector.size, times))
    return Value(wide).reshaped((vector.size * times,))


@operator("LRN")
def local_response_norm(node: Node, x: Value) -> Value:
    size, alpha = node.get("size"), node.get("alpha", 1e-4)
    return x.with_data(F.local_response_norm(x.data, size, alpha, node.get("beta", 0.75), node.get("bias", 1.0)))
