# SPDX-License-Identifier: BSD-3-Clause
"""Convolutions. Those of one and two axes with known weights are the core's own; three axes, and weights that are
computed while the model runs, go through columns and a matrix product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ... import functional as F
from ...functional.dispatch import apply
from ..node import Node, Value, beside, per_channel
from ..registry import operator
from .geometry import Window, each, flat, same, windows
from .movement import pad, permute


def _attributes(axes: Sequence[Window], **more: Any) -> dict[str, Any]:
    """As the core's ops of one and two axes take them."""
    return {
        "stride": flat([a.stride for a in axes], 1),
        "padding": [0, 0] * (2 - len(axes)) + [v for a in axes for v in (a.begin, a.end)],
        "dilation": flat([a.dilation for a in axes], 1),
        **more,
    }


@operator("Conv", weights=(1, 2), trained=(1, 2))
def conv(node: Node, x: Value, w: Value, b: Value | None = None) -> Value:
    axes = windows(node, x.shape[2:], node.get("kernel_shape") or w.shape[2:])
    groups = node.get("group", 1)
    if w.is_symbol or len(axes) > 2:
        return _with_bias(_conv_by_columns(x, w, axes, groups), b)
    later = b if b is not None and b.is_symbol else None
    bias = None if b is None or later else b.data
    attributes = _attributes(axes, groups=groups, algorithm="auto")
    return _with_bias(Value(apply("conv2d", attributes, x.data, w.data, bias), x.dtype), later)


def _with_bias(y: Value, b: Value | None) -> Value:
    return y if b is None else y.with_data(F.add(y.data, per_channel(y, b)))


@operator("ConvTranspose", weights=(1, 2), trained=(1, 2))
def conv_transpose(node: Node, x: Value, w: Value, b: Value | None = None) -> Value:
    axes, more = _transposed_windows(node, x.shape[2:], node.get("kernel_shape") or w.shape[2:])
    groups = node.get("group", 1)
    inside = [min(extra, max(a.stride, a.dilation) - 1) for a, extra in zip(axes, more, strict=True)]
    outside = [extra - own for extra, own in zip(more, inside, strict=True)]  # nothing but bias
    if w.is_symbol or len(axes) > 2:
        y = _conv_transpose_by_columns(x, w, axes, groups)
        outside, later = more, b
    else:
        later = b if b is not None and (b.is_symbol or any(outside)) else None
        bias = None if b is None or later else b.data
        attributes = _attributes(axes, groups=groups, algorithm="auto", output_padding=flat(inside, 0))
        y = Value(apply("conv_transpose2d", attributes, x.data, w.data, bias), x.dtype)
    return _with_bias(pad(y, [0] * (2 + y.ndim) + outside), later)


def _transposed_windows(node: Node, space: Sequence[int], kernel: Sequence[int]) -> tuple[list[Window], list[int]]:
    """Of the convolution that this one transposes: sizes and outputs change places. And output beyond its reach."""
    rank = len(space)
    strides, dilations = each(node, "strides", rank, 1), each(node, "dilations", rank, 1)
    pads, more = each(node, "pads", 2 * rank, 0), each(node, "output_padding", rank, 0)
    rule, wanted = node.get("auto_pad", "NOTSET"), node.get("output_shape")
    axes = []
    for i, (count, k, stride, dilation) in enumerate(zip(space, kernel, strides, dilations, strict=True)):
        full = stride * (count - 1) + dilation * (k - 1) + 1
        begin, end = pads[i], pads[i + rank]
        if wanted or rule.startswith("SAME"):
            size = wanted[i - rank] if wanted else count * stride
            total = full + more[i] - size
            begin, end = same("SAME_UPPER" if rule == "SAME_UPPER" else "SAME_LOWER", max(total, 0))
            more[i] += max(-total, 0)
        cut = min(more[i], end)  # padding that output_padding takes back
        axes.append(Window(full - begin - end + cut, k, stride, dilation, begin, end - cut, count))
        more[i] -= cut
    return axes, more


# --- columns ------------------------------------------------------------------------------------------------------


def _kernel(axes: Sequence[Window]) -> dict[str, Any]:
    return {"kernel_size": flat([a.kernel for a in axes], 1)}


def _conv_by_columns(x: Value, w: Value, axes: Sequence[Window], groups: int) -> Value:
    """y = w as a matrix times the receptive fields as columns. The fields' third axis is made into channels first."""
    n, channels, filters = x.shape[0], x.shape[1], w.shape[0]
    space = [a.output for a in axes]
    if len(axes) == 3:
        depth = axes[0]
        x = _depth_last(x, n)
        x = Value(apply("im2col", _attributes([depth], **_kernel([depth])), x.data))
        x = x.reshaped((n, axes[1].size, axes[2].size, channels * depth.kernel, depth.output))
        x = permute(x, (0, 4, 3, 1, 2)).reshaped(
            (n * depth.output, channels * depth.kernel, axes[1].size, axes[2].size)
        )
    image = axes[-2:]
    columns = Value(apply("im2col", _attributes(image, **_kernel(image)), x.data))
    m, length = columns.shape[0], columns.shape[2]
    weight = beside(columns, w).reshaped((1, groups, filters // groups, columns.shape[1] // groups))
    columns = columns.reshaped((m, groups, columns.shape[1] // groups, length))
    y = Value(F.matmul(weight.data, columns.data)).reshaped((m, filters, *space[-2:]))
    if len(axes) == 3:
        y = permute(y.reshaped((n, space[0], filters, *space[1:])), (0, 2, 1, 3, 4))
    return y


def _conv_transpose_by_columns(x: Value, w: Value, axes: Sequence[Window], groups: int) -> Value:
    """The transpose of `_conv_by_columns`: columns are added up where they overlap."""
    n, channels = x.shape[:2]
    filters = w.shape[1] * groups
    image, taps = axes[-2:], math.prod(w.shape[2:])
    if len(axes) == 3:
        x = permute(x, (0, 2, 1, 3, 4))
    m, length = n * math.prod(a.output for a in axes[:-2]), math.prod(a.output for a in image)
    weight = permute(beside(x, w).reshaped((1, groups, channels // groups, w.shape[1] * taps)), (0, 1, 3, 2))
    x = x.reshaped((m, groups, channels // groups, length))
    columns = Value(F.matmul(weight.data, x.data)).reshaped((m, filters * taps, length))
    y = Value(_add_up(columns.data, image))
    if len(axes) == 3:
        depth, space = axes[0], y.shape[2:]
        y = permute(y.reshaped((n, depth.output, filters * depth.kernel, *space)), (0, 3, 4, 2, 1))
        y = y.reshaped((n * math.prod(space), filters * depth.kernel, depth.output))
        y = Value(_add_up(y.data, [depth])).reshaped((n, *space, filters, depth.size))
        return permute(y, (0, 3, 4, 1, 2))
    return y if len(axes) == 2 else y.reshaped((n, filters, axes[0].size))


def _add_up(columns: Any, axes: Sequence[Window]) -> Any:
    size = flat([a.size for a in axes], 1)
    return apply("col2im", _attributes(axes, **_kernel(axes), output_size=size), columns)


def _depth_last(x: Value, n: int) -> Value:
    """(N, C, D, H, W) as (N H W, C, D)."""
    _, c, d, h, w = x.shape
    return permute(x, (0, 3, 4, 1, 2)).reshaped((n * h * w, c, d))


@operator("Col2Im", shapes=(1, 2))
def col2im(node: Node, x: Value, image_shape: Value, block_shape: Value) -> Value:
    """Blocks of one and two axes are the core's; of three, the last two are added up first."""
    sizes, kernel = image_shape.ints("image_shape"), block_shape.ints("block_shape")
    rank = len(sizes)
    strides, dilations = each(node, "strides", rank, 1), each(node, "dilations", rank, 1)
    pads = each(node, "pads", 2 * rank, 0)
    axes = []
    for i, (size, k) in enumerate(zip(sizes, kernel, strict=True)):
        over = size + pads[i] + pads[i + rank] - dilations[i] * (k - 1) - 1
        axes.append(Window(size, k, strides[i], dilations[i], pads[i], pads[i + rank], over // strides[i] + 1))
    n, rows, _ = x.shape
    filters = rows // math.prod(kernel)
    if rank <= 2:
        return Value(_add_up(x.data, axes), x.dtype).reshaped((n, filters, *sizes))
    depth, image = axes[0], axes[1:]
    y = x.reshaped((n, filters * depth.kernel, kernel[1] * kernel[2], depth.output, image[0].output * image[1].output))
    y = permute(y, (0, 3, 1, 2, 4)).reshaped((n * depth.output, rows, image[0].output * image[1].output))
    y = Value(_add_up(y.data, image)).reshaped((n, depth.output, filters * depth.kernel, *sizes[1:]))
    y = permute(y, (0, 3, 4, 2, 1)).reshaped((n * sizes[1] * sizes[2], filters * depth.kernel, depth.output))
    y = Value(_add_up(y.data, [depth])).reshaped((n, *sizes[1:], filters, depth.size))
    return permute(y, (0, 3, 4, 1, 2))
