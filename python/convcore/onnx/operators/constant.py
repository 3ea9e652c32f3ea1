# SPDX-License-Identifier: BSD-3-Clause
"""Ops on arrays that are known already, those that shape arithmetic is made of: without convcore, in any type.

All others are folded by ONNX's own reference, which is slower to set up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..node import Node, Value
from ..registry import OPERATORS
from ..tensors import to_array

Array = NDArray[Any]
Fold = Callable[..., "Array | Sequence[Array]"]

MAX_ELEMENTS = 1 << 28  # of what ConstantOfShape, Expand and Tile may make of a few bytes


def _by_value(node: Node, *inputs: Array | None) -> Array | Sequence[Array]:
    """Handlers that only reshape serve arrays too."""
    made = OPERATORS[node.op].run(node, *(None if x is None else Value(x) for x in inputs))
    assert isinstance(made, Value)
    return np.asarray(made.data)


def _constant(node: Node) -> Array:
    for name, value in node.attributes.items():
        if name == "value":
            return to_array(value, None)
        if name in ("value_float", "value_floats"):
            return np.array(value, np.float32)
        if name in ("value_int", "value_ints"):
            return np.array(value, np.int64)
    raise ValueError("a Constant must have a value of numbers")


def _full(node: Node, shape: Array) -> Array:
    value = node.get("value")
    fill = to_array(value, None).reshape(-1)[:1] if value is not None else np.zeros(1, np.float32)
    return np.broadcast_to(fill, limited(shape)).copy()


def limited(shape: Any) -> tuple[int, ...]:
    """The shape, where it is one of bearable size."""
    sizes = tuple(int(s) for s in shape)
    if any(s < 0 for s in sizes) or float(np.prod([float(s) for s in sizes])) > MAX_ELEMENTS:
        raise ValueError(f"a constant of shape {sizes} is too large")
    return sizes


def _range(node: Node, start: Array, limit: Array, delta: Array) -> Array:
    first, last, step = (v.reshape(-1)[0] for v in (start, limit, delta))
    limited([max((float(last) - float(first)) / float(step), 0)] if step else [-1])
    return np.arange(first, last, step, dtype=start.dtype)


def _gather(node: Node, x: Array, indices: Array) -> Array:
    return np.asarray(np.take(x, indices, axis=node.get("axis", 0)))


def _concat(node: Node, *xs: Array) -> Array:
    return np.concatenate(xs, axis=node.get("axis", 1))


def _cast(node: Node, x: Array, like: Array | None = None) -> Array:
    from .arithmetic import cast_dtype

    with np.errstate(all="ignore"):
        return x.astype(cast_dtype(node, None if like is None else Value(like)))


def _slice(node: Node, x: Array, *given: Array | None) -> Array:
    starts: Any
    ends: Any
    axes: Any
    steps: Any
    starts, ends, axes, steps = (None if v is None else v.reshape(-1).tolist() for v in (*given, *[None] * 4)[:4])
    starts = node.get("starts") if starts is None else starts
    ends = node.get("ends") if ends is None else ends
    axes = (node.get("axes") or range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


def _divide(node: Node, a: Array, b: Array) -> Array:
    with np.errstate(all="ignore"):
        if a.dtype.kind == "f":
            return np.asarray(a / b)
        if not np.all(b):
            raise ValueError("a division of integers by 0")
        return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)


def _dequantize(node: Node, x: Array, scale: Array, zero: Array | None = None) -> Array:
    """(x - zero) * scale; of weights, once."""
    from .quantize import along

    value, factor = Value(x), along(Value(x), node, Value(scale))
    shift = 0 if zero is None else along(value, node, Value(zero))
    made = np.asarray((x.astype(np.float32) - shift) * factor)
    return made.reshape(x.shape).astype(scale.dtype)


def _plain(function: Callable[..., Any]) -> Fold:
    def fold(node: Node, *inputs: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(function(*inputs))

    return fold


def _expand(node: Node, x: Array, shape: Array) -> Array:
    to = np.broadcast_shapes(x.shape, tuple(shape.reshape(-1).tolist()))
    return np.broadcast_to(x, limited(to)).copy()


def _tile(node: Node, x: Array, repeats: Array) -> Array:
    limited([s * t for s, t in zip(x.shape, repeats.reshape(-1).tolist(), strict=True)])
    return np.tile(x, repeats.reshape(-1))


FOLDED: dict[str, Fold] = {
    "Constant": _constant,
    "ConstantOfShape": _full,
    "Range": _range,
    "Gather": _gather,
    "Concat": _concat,
    "Cast": _cast,
    "CastLike": _cast,
    "Slice": _slice,
    "Div": _divide,
    "Expand": _expand,
    "Tile": _tile,
    "DequantizeLinear": _dequantize,
    "Identity": lambda node, x: x,
    "Add": _plain(np.add),
    "Sub": _plain(np.subtract),
    "Mul": _plain(np.multiply),
    "Equal": _plain(np.equal),
    "Less": _plain(np.less),
    "Greater": _plain(np.greater),
    "Where": _plain(np.where),
    "Sqrt": _plain(np.sqrt),
    "Floor": _plain(np.floor),
    "Ceil": _plain(np.ceil),
    **dict.fromkeys(("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Shape", "Size", "Flatten"), _by_value),
}
