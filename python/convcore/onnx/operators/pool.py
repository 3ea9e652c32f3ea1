# SPDX-License-Identifier: BSD-3-Clause
"""Pooling. Windows of three axes are pooled along the last two, then along the first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np

from ... import functional as F
from ...functional.dispatch import apply
from ..node import Node, Value
from ..registry import Constants, operator
from .geometry import Window, flat, windows
from .movement import pad_image


class Indices(Value):
    """Places of maxima in the planes of what was pooled: int64 symbols. `finish` makes of them ONNX's, in x."""

    __slots__ = ("axes", "column_major", "planes")

    def __init__(self, data: Any, planes: tuple[int, ...], axes: Sequence[Window], column_major: bool) -> None:
        super().__init__(data, np.int64)
        self.planes, self.axes, self.column_major = planes, axes, column_major

    def finish(self, places: Any) -> Any:
        space = tuple(a.size for a in self.axes)
        inside = np.unravel_index(places, self.planes)
        at = [i - (p > s) * a.begin for i, p, s, a in zip(inside, self.planes, space, self.axes, strict=True)]
        if self.column_major:
            at, space = at[::-1], space[::-1]
        planes = np.arange(math.prod(places.shape[:2])).reshape(*places.shape[:2], *[1] * len(space))
        return np.ravel_multi_index(at, space) + planes * math.prod(space)


def _by_axes(x: Value, axes: Sequence[Window], run: Callable[[Value, Sequence[Window]], Value]) -> Value:
    if len(axes) < 3:
        return run(x, axes)
    n, c, d, h, w = x.shape
    y = run(x.reshaped((n, c * d, h, w)), axes[1:])
    area = y.shape[2] * y.shape[3]
    along = Window(area, 1, 1, 1, 0, 0, area)
    out = run(y.reshaped((n, c, d, area)), [axes[0], along])
    return out.reshaped((n, c, axes[0].output, *y.shape[2:]))


def _ceil_mode(axes: Sequence[Window]) -> bool | None:
    """Whether windows may hang over, in the core's terms, whose padding is the same on both sides and at most half a
    kernel; None where that does not give these windows."""
    fits = {False: True, True: True}
    for a in axes:
        over = a.size + 2 * a.begin - a.reach
        most = -(-over // a.stride) + 1
        most -= (most - 1) * a.stride >= a.size + a.begin
        fits[False] &= over >= 0 and over // a.stride + 1 == a.output and 2 * a.begin <= a.kernel
        fits[True] &= over >= 0 and most == a.output and 2 * a.begin <= a.kernel
    return False if fits[False] else True if fits[True] else None


def _settings(axes: Sequence[Window], ceil: bool | None, **more: Any) -> dict[str, Any]:
    """ceil: None where the image is padded already."""
    return {
        "kernel_size": flat([a.kernel for a in axes], 1),
        "stride": flat([a.stride for a in axes], 1),
        "padding": flat([0 if ceil is None else a.begin for a in axes], 0),
        "ceil_mode": bool(ceil),
        **more,
    }


def _dilation(axes: Sequence[Window]) -> dict[str, Any]:
    return {"dilation": flat([a.dilation for a in axes], 1)}


def _check_max_pool(node: Node, known: Constants) -> Iterator[str]:
    if len(node.outputs) > 1 and len(node.get("kernel_shape") or ()) > 2:
        yield "Indices of windows of more than two axes"


@operator("MaxPool", check=_check_max_pool)
def max_pool(node: Node, x: Value) -> Value | tuple[Value, Value]:
    axes = windows(node, x.shape[2:], node.get("kernel_shape"))

    def run(x: Value, axes: Sequence[Window]) -> Value:
        ceil = _ceil_mode(axes)
        image = pad_image(x, axes, -math.inf) if ceil is None else x
        return Value(apply("max_pool2d", _settings(axes, ceil, **_dilation(axes)), image.data), x.dtype)

    y = _by_axes(x, axes, run)
    if len(node.outputs) < 2:
        return y
    ceil = _ceil_mode(axes)
    image = pad_image(x, axes, -math.inf) if ceil is None else x
    places = apply("max_pool2d_indices", _settings(axes, ceil, **_dilation(axes)), image.data)
    return y, Indices(places, image.shape[2:], axes, bool(node.get("storage_order", 0)))


@operator("AveragePool")
def average_pool(node: Node, x: Value) -> Value:
    axes = windows(node, x.shape[2:], node.get("kernel_shape"))
    include = bool(node.get("count_include_pad", 0))

    def run(x: Value, axes: Sequence[Window]) -> Value:
        ceil = _ceil_mode(axes)
        plain = all(a.dilation == 1 and (not include or a.begin == a.end) for a in axes)
        if ceil is not None and plain:
            return Value(apply("avg_pool2d", _settings(axes, ceil, count_include_pad=include), x.data), x.dtype)
        image = pad_image(x, axes, 0.0)
        if all(a.dilation == 1 for a in axes):
            sums = apply("sum_pool2d", _settings(axes, None), image.data)
        else:
            ones = np.ones((x.shape[1], 1, *[a.kernel for a in axes]), np.float32)
            settings = {"stride": flat([a.stride for a in axes], 1), **_dilation(axes)}
            sums = apply("conv2d", settings | {"groups": x.shape[1], "padding": [0] * 4}, image.data, ones)
        counts: Any = reduce(np.multiply.outer, [_counts(a, include) for a in axes])
        return Value(F.multiply(sums, (1 / counts).astype(np.float32)[None, None]), x.dtype)

    return _by_axes(x, axes, run)


def _counts(axis: Window, include: bool) -> Any:
    """How many places of each window count."""
    at = np.arange(axis.output)[:, None] * axis.stride + np.arange(axis.kernel) * axis.dilation - axis.begin
    low, high = (-axis.begin, axis.size + axis.end) if include else (0, axis.size)
    return np.maximum(((at >= low) & (at < high)).sum(1), 1).astype(np.float64)


@operator("LpPool")
def lp_pool(node: Node, x: Value) -> Value:
    axes = windows(node, x.shape[2:], node.get("kernel_shape"))
    p = node.get("p", 2)

    def run(x: Value, axes: Sequence[Window]) -> Value:
        ceil = _ceil_mode(axes)
        image = pad_image(x, axes, 0.0) if ceil is None else x
        return Value(apply("lp_pool2d", _settings(axes, ceil, p=p, **_dilation(axes)), image.data), x.dtype)

    return _by_axes(x, axes, run)


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pool(node: Node, x: Value) -> Value:
    average = node.op == "GlobalAveragePool"
    if x.ndim > 4:
        attributes = {"function": "mean" if average else "max", "axes": list(range(2, x.ndim)), "keepdims": True}
        return Value(apply("reduce", attributes, x.data), x.dtype)
    kind = "adaptive_avg_pool2d" if average else "adaptive_max_pool2d"
    return Value(apply(kind, {"output_size": [1, 1]}, x.data), x.dtype)


@operator("MaxUnpool", shapes=(2,), weights=(1,))
def max_unpool(node: Node, x: Value, indices: Value, output_shape: Value | None = None) -> Value:
    kernel = node.get("kernel_shape")
    rank = len(kernel)
    strides, pads = node.get("strides") or [1] * rank, node.get("pads") or [0] * 2 * rank
    space = [
        (size - 1) * s + k - pads[i] - pads[i + rank]
        for i, (size, k, s) in enumerate(zip(x.shape[2:], kernel, strides, strict=True))
    ]
    shape = output_shape.ints("output_shape") if output_shape is not None else [*x.shape[:2], *space]
    if isinstance(indices, Indices):
        if len(indices.planes) != 2 or list(indices.planes) != shape[2:] or indices.column_major:
            raise ValueError(f"indices count in maps of {indices.planes}, the result's are {tuple(shape[2:])}")
        return Value(F.max_unpool2d(x.data, indices.data, kernel, strides, 0, shape[2:]), x.dtype)
    places = indices.constant("indices").reshape(-1)
    # Indices count in the shape that the pooling had, which output_shape may exceed.
    at = np.ravel_multi_index(np.unravel_index(places, (*x.shape[:2], *space)), shape)
    source = np.full(math.prod(shape), x.size)
    source[at] = np.arange(x.size)
    padded = apply("pad", {"pads": [0, 1], "mode": "constant", "value": 0.0}, x.reshaped((x.size,)).data)
    return Value(F.take(padded, source, 0), x.dtype).reshaped(shape)
