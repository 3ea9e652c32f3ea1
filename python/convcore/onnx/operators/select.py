# SPDX-License-Identifier: BSD-3-Clause
"""Ops that take parts of tensors, put them together, or put something around them."""

from __future__ import annotations

import numpy as np

from ... import functional as F
from ...functional.dispatch import apply
from ..node import Node, Value, beside
from ..registry import operator
from .movement import pad


@operator("Concat", trained=range(64))
def concat(node: Node, *xs: Value) -> Value:
    axis = xs[0].axis(node.get("axis", 1))
    parts = [x for x in xs if x.shape[axis]] or list(xs[:1])
    if len(parts) == 1:
        return parts[0]
    symbol = next((x for x in parts if x.is_symbol), None)
    if symbol is None:
        raise ValueError("none of its inputs depends on those of the model")
    return Value(F.concat([beside(symbol, x).data for x in parts], axis), xs[0].dtype)


@operator("Split", shapes=(1,))
def split(node: Node, x: Value, parts: Value | None = None) -> list[Value]:
    """Equal parts where sizes are not given; the last is smaller if they cannot be equal."""
    axis, count = x.axis(node.get("axis", 0)), len(node.outputs)
    sizes = parts.ints("split") if parts is not None else node.get("split")
    if sizes is None:
        each = -(-x.shape[axis] // count)
        sizes = [each] * (count - 1) + [x.shape[axis] - each * (count - 1)]
    if sum(sizes) != x.shape[axis] or len(sizes) != count or min(sizes) < 0:
        raise ValueError(f"split into {sizes} does not fit {x.shape[axis]} in {count} outputs")
    starts = np.cumsum([0, *sizes])
    return [_slice(x, {axis: slice(int(a), int(a) + s)}) for a, s in zip(starts, sizes, strict=False)]


@operator("Slice", shapes=(1, 2, 3, 4))
def slice_(
    node: Node,
    x: Value,
    starts: Value | None = None,
    ends: Value | None = None,
    axes: Value | None = None,
    steps: Value | None = None,
) -> Value:
    first = starts.ints("starts") if starts is not None else node.get("starts")
    last = ends.ints("ends") if ends is not None else node.get("ends")
    over = axes.ints("axes") if axes is not None else node.get("axes") or range(len(first))
    by = steps.ints("steps") if steps is not None else [1] * len(first)
    return _slice(x, {x.axis(a): slice(b, e, s) for a, b, e, s in zip(over, first, last, by, strict=True)})


def _slice(x: Value, slices: dict[int, slice]) -> Value:
    """x[...] with NumPy's slices at these axes."""
    ranges = [range(*slices.get(i, slice(None)).indices(s)) for i, s in enumerate(x.shape)]
    if all(len(r) == s and r.step > 0 for r, s in zip(ranges, x.shape, strict=True)):
        return x
    attributes = {
        "starts": [r.start if len(r) else 0 for r in ranges],
        "steps": [r.step if len(r) > 1 else 1 for r in ranges],
        "sizes": [len(r) for r in ranges],
    }
    return Value(apply("slice", attributes, x.data), x.dtype)


@operator("Pad", shapes=(1, 2, 3))
def pad_(
    node: Node, x: Value, pads: Value | None = None, fill: Value | None = None, axes: Value | None = None
) -> Value:
    given = pads.ints("pads") if pads is not None else node.get("pads")
    value = float(fill.constant("constant_value").reshape(-1)[0]) if fill is not None else node.get("value", 0.0)
    over = [x.axis(a) for a in (axes.ints("axes") if axes is not None else range(x.ndim))]
    if len(given) != 2 * len(over):
        raise ValueError(f"pads must have {2 * len(over)} values, got {given}")
    around = [0] * (2 * x.ndim)
    for i, axis in enumerate(over):
        around[axis], around[axis + x.ndim] = given[i], given[i + len(over)]
    return pad(x, around, node.get("mode", "constant"), value)


@operator("Gather", trained=(0,))
def gather(node: Node, x: Value, indices: Value) -> Value:
    axis = x.axis(node.get("axis", 0))
    if indices.is_constant:
        found = F.take(x.data, indices.data.reshape(-1), axis)
    else:
        found = F.take(x.data, indices.reshaped((indices.size,)).data, axis)
    return Value(found, x.dtype).reshaped((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))
