# SPDX-License-Identifier: BSD-3-Clause
"""Normalisations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np

from ... import functional as F
from ...functional.dispatch import apply
from ..node import Node, Value, beside, per_channel
from ..registry import OPERATORS, Constants, operator
from .shape import target_shape


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


@operator("GroupNormParts")
def group_norm_parts(node: Node, *inputs: Value) -> Value:
    """Group norm as PyTorch writes it before opset 21: see `convcore.onnx.patterns`. The scale and bias of instance
    norm, one for each group, and those of the Mul and the Add behind it are one weight and one bias for each channel.
    Parts that do not fit are run as they are."""
    parts: list[Node] = node.get("parts")
    values: dict[str, Any] = dict(zip(node.inputs, inputs, strict=True))
    x: Value = values[parts[0].inputs[0]]
    groups = _groups(x, parts, values)
    if groups:
        parts = _joined(x, groups, parts, values)
    for part in parts:
        with x.data.tracer.at(part.name) if x.is_symbol else nullcontext():
            made = OPERATORS[part.op].run(part, *(values[name] for name in part.inputs))
        values[part.outputs[0]] = made if isinstance(made, Value) else made[0]
    y: Value = values[node.outputs[0]]
    return y


def _groups(x: Value, parts: list[Node], values: dict[str, Value]) -> int:
    """How many groups of channels the first three parts normalise; 0 where they do something else."""
    first, norm, second = parts[:3]
    view = target_shape(x.shape, values[first.inputs[1]], bool(first.get("allowzero", 0)))
    back = target_shape(tuple(view), values[second.inputs[1]], bool(second.get("allowzero", 0)))
    if not x.is_symbol or not x.shape == tuple(x.data.shape) == tuple(back) or x.ndim < 2 or len(view) < 3:
        return 0
    if view[0] != x.shape[0] or not view[1] or x.shape[1] % view[1]:
        return 0
    vectors = [values[name] for name in norm.inputs[1:]]
    return 0 if any(v.is_symbol or v.shape != (view[1],) for v in vectors) else view[1]


def _joined(x: Value, groups: int, parts: list[Node], values: dict[str, Value]) -> list[Node]:
    """Computes the first parts as one. Returns those that are left."""
    norm, channels, tracer = parts[1], x.shape[1], x.data.tracer
    wide = (groups, channels // groups)

    def reshaped(data: Any, shape: tuple[int, ...]) -> Any:
        return tracer.emit("rearrange", {"shape": shape}, (data,))

    with tracer.at(f"{norm.name}.weight"):
        weight, bias = (reshaped(values[name].data, (groups, 1)) for name in norm.inputs[1:])
        done = 3
        for part in parts[3:]:
            operand = next(values[name] for name in part.inputs if name in values)
            if operand.is_symbol or _front(x, operand) != (1, channels, *[1] * (x.ndim - 2)):
                break
            vector = reshaped(operand.data, wide)
            if part.op == "Mul":
                weight = F.multiply(weight, vector)
            bias = (F.multiply if part.op == "Mul" else F.add)(bias, vector)
            done += 1
        weight, bias = (v if tuple(v.shape) == wide else F.expand(v, wide) for v in (weight, bias))
        weight, bias = (reshaped(v, (channels,)) for v in (weight, bias))
    with tracer.at(norm.name):
        y = F.group_norm(x.data, groups, weight, bias, norm.get("epsilon", 1e-5))
    values[parts[done - 1].outputs[0]] = x.with_data(y)
    return parts[done:]


@operator("LRN")
def local_response_norm(node: Node, x: Value) -> Value:
    size, alpha = node.get("size"), node.get("alpha", 1e-4)
    return x.with_data(F.local_response_norm(x.data, size, alpha, node.get("beta", 0.75), node.get("bias", 1.0)))
