# SPDX-License-Identifier: BSD-3-Clause
"""Functions of two and more tensors, element by element, broadcast as NumPy does."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from ... import functional as F
from ...functional.dispatch import apply
from ..node import Node, Value, aligned, broadcast, elementwise
from ..registry import operator

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "Equal": lambda a, b: F.equal(a, b),
    "Less": lambda a, b: F.less(a, b),
    "LessOrEqual": lambda a, b: F.less_equal(a, b),
    "Greater": lambda a, b: F.greater(a, b),
    "GreaterOrEqual": lambda a, b: F.greater_equal(a, b),
    "And": lambda a, b: F.logical_and(a, b),
    "Or": lambda a, b: F.logical_or(a, b),
    "Xor": lambda a, b: F.logical_xor(a, b),
}
_JOINS: dict[str, Callable[[Any, Any], Any]] = {
    "Max": lambda a, b: F.maximum(a, b),
    "Min": lambda a, b: F.minimum(a, b),
    "Sum": lambda a, b: F.add(a, b),
    "Mean": lambda a, b: F.add(a, b),
}
_EVERY = range(64)  # inputs


@operator("Add", trained=_EVERY)
def add(node: Node, a: Value, b: Value) -> Value:
    return elementwise(F.add(*aligned(a, b)), a.dtype, a, b)


@operator("Sub", trained=_EVERY)
def subtract(node: Node, a: Value, b: Value) -> Value:
    return elementwise(F.subtract(*aligned(a, b)), a.dtype, a, b)


@operator("Mul", trained=_EVERY)
def multiply(node: Node, a: Value, b: Value) -> Value:
    return elementwise(F.multiply(*aligned(a, b)), a.dtype, a, b)


@operator("Div", trained=_EVERY)
def divide(node: Node, a: Value, b: Value) -> Value:
    """Integers are divided towards zero."""
    y = F.divide(*aligned(a, b))
    return elementwise(truncate(y) if a.dtype.kind in "iu" else y, a.dtype, a, b)


@operator("Pow")
def power(node: Node, a: Value, b: Value) -> Value:
    y = F.power(*aligned(a, b))
    return elementwise(truncate(y) if a.dtype.kind in "iu" else y, a.dtype, a, b)


@operator("Mod")
def modulo(node: Node, a: Value, b: Value) -> Value:
    """fmod=1 has the dividend's sign, else the divisor's."""
    run: Callable[[Any, Any], Any] = F.fmod if node.get("fmod", 0) else F.remainder
    return elementwise(run(*aligned(a, b)), a.dtype, a, b)


@operator("PRelu", trained=(1,))
def prelu(node: Node, x: Value, slope: Value) -> Value:
    return elementwise(apply("prelu", {}, *aligned(x, slope)), x.dtype, x, slope)


@operator(*_COMPARISONS)
def compare(node: Node, a: Value, b: Value) -> Value:
    return elementwise(_COMPARISONS[node.op](*aligned(a, b)), bool, a, b)


@operator(*_JOINS, trained=_EVERY)
def join(node: Node, *xs: Value) -> Value:
    run = _JOINS[node.op]
    y = reduce(run, aligned(*xs))
    if node.op == "Mean" and len(xs) > 1:
        y = F.multiply(y, 1 / len(xs))
    return elementwise(y, xs[0].dtype, *xs)


@operator("Where", trained=(1, 2))
def where(node: Node, condition: Value, x: Value, y: Value) -> Value:
    if condition.is_constant:  # a choice known already
        chosen = x if condition.data.all() else y if not condition.data.any() else None
        if chosen is not None and chosen.shape == broadcast(condition, x, y):
            return chosen
    return elementwise(F.where(*aligned(condition, x, y)), x.dtype, condition, x, y)


@operator("Cast", "CastLike")
def cast(node: Node, x: Value, like: Value | None = None) -> Value:
    """To bool: whether it is not 0; to integers: towards 0; of integers the low 8 or 16 bits, while those of 32 and 64
    stay as they are. All floating-point types are float32 inside."""
    dtype = cast_dtype(node, like)
    if x.dtype == dtype or dtype.kind not in "biu":
        return x.with_data(x.data, dtype)
    if dtype.kind == "b":
        return x.with_data(F.logical_not(F.logical_not(x.data)), dtype)
    if x.dtype.kind not in "biu":
        return x.with_data(truncate(x.data), dtype)
    fits = x.dtype.kind == "b" or np.can_cast(x.dtype, dtype)
    return x.with_data(x.data if fits or dtype.itemsize > 2 else _wrapped(x.data, dtype), dtype)


def _wrapped(x: Any, dtype: np.dtype[Any]) -> Any:
    """Integers modulo 2^bits, from the type's least value on. No sum leaves the integers that float32 has."""
    low, count = float(np.iinfo(dtype).min), float(1 << 8 * dtype.itemsize)
    bits = F.remainder(x, count)
    return F.add(F.remainder(F.subtract(bits, low), count), low) if low else bits


def cast_dtype(node: Node, like: Value | None) -> np.dtype[Any]:
    import onnx

    return like.dtype if like is not None else np.dtype(onnx.helper.tensor_dtype_to_np_dtype(node.get("to")))


def truncate(x: Any) -> Any:
    """Rounded towards 0."""
    return F.multiply(F.sign(x), F.floor(F.abs(x)))
