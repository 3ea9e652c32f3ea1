"""Convolutions and what belongs to them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import IntOrPair, Padding, integer, padding1d, padding2d, pair, single
from ..symbol import Array, Operand, T
from .dispatch import Planned, apply, apply_planned, arrays, expect, expect_arrays, named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

Gradients = tuple["Array | None", "Array | None", "Array | None"]


def _conv2d(op: str, stride: Any, padding: Any, dilation: Any, groups: Any, algorithm: str) -> dict[str, Any]:
    return {
        "stride": pair(op, "stride", stride),
        "padding": padding2d(op, padding),
        "dilation": pair(op, "dilation", dilation),
        "groups": integer(op, "groups", groups),
        "algorithm": algorithm,
    }


def _conv1d(op: str, stride: Any, padding: Any, dilation: Any, groups: Any, algorithm: str) -> dict[str, Any]:
    return {
        "stride": [1, single(op, "stride", stride)],
        "padding": padding1d(op, padding),
        "dilation": [1, single(op, "dilation", dilation)],
        "groups": integer(op, "groups", groups),
        "algorithm": algorithm,
    }


def _is_plain(value: Any) -> bool:
    """An int, a name, or a tuple of ints: equal ones mean the same, which is not so of 1 and 1.0."""
    kind = type(value)
    return kind is int or kind is str or (kind is tuple and all(type(item) is int for item in value))


_kept_conv2d = lru_cache(maxsize=256)(lambda *settings: Planned("conv2d", _conv2d("conv2d", *settings)))


def _conv2d_op(*settings: Any) -> Planned:
    """The op of these settings, the same at each call if they are plain: preparing takes longer than a small call."""
    for value in settings:
        if not _is_plain(value):
            return Planned("conv2d", _conv2d("conv2d", *settings))
    return _kept_conv2d(*settings)


def conv2d(
    x: T,
    weight: Operand,
    bias: Operand | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
) -> T:
    """2-D cross-correlation: y[n,o,i,j] = bias[o] + sum_{c,u,v} weight[o,c,u,v] x[n,c,i*s+u*d-p,j*s+v*d-p].

    x: (N, C, H, W); weight: (O, C/groups, kH, kW); bias: (O,) or None. Returns (N, O, H', W'), where
    H' = (H + top + bottom - dilation*(kH-1) - 1) // stride + 1.
    padding: int | (h, w) | ((top, bottom), (left, right)) | "valid" (none) | "same" (H' = ceil(H / stride); the odd
    one goes below and right) | "full" (dilation*(k-1) on every side).
    algorithm: "auto": the fastest; "exact": the fastest but Winograd, whose results differ from the exact ones by up to
    2e-5 of the largest output; or "winograd", "depthwise", "grouped", "direct", "im2col" where they serve.
    Raises ShapeError where shapes do not fit, ValueError for settings out of range, TypeError for wrong types.
    Source: torch.nn.functional.conv2d.
    """
    expect("conv2d", "(N, C, H, W)", x=x)
    expect("conv2d", "(O, C/groups, kH, kW)", weight=weight)
    return apply_planned(_conv2d_op(stride, padding, dilation, groups, algorithm), x, weight, bias)


def conv2d_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    output_mask: Sequence[bool] = (True, True, True),
    algorithm: str = "auto",
) -> Gradients:
    """The gradients (dx, dweight, dbias) of `conv2d`; None where output_mask says False.

    grad_output: (N, O, H', W'), the shape of conv2d's result for these x and weight.
    Raises ShapeError where shapes do not fit, ValueError for settings out of range, TypeError for symbols.
    Source: torch.ops.aten.convolution_backward.
    """
    expect_arrays("conv2d", "(N, C, H, W)", x=x)
    expect_arrays("conv2d", "(O, C/groups, kH, kW)", weight=weight)
    op = _conv2d_op(stride, padding, dilation, groups, algorithm)
    return _backward(op, grad_output, x, weight, 0, output_mask)


def conv1d(
    x: T,
    weight: Operand,
    bias: Operand | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
) -> T:
    """1-D cross-correlation: `conv2d` with H = 1.

    x: (N, C, L); weight: (O, C/groups, k); bias: (O,) or None. Returns (N, O, L').
    padding: int | (left, right) | "valid" | "same" | "full". Source: torch.nn.functional.conv1d.
    Raises ShapeError where shapes do not fit, ValueError for settings out of range, TypeError for wrong types.
    """
    expect("conv1d", "(N, C, L)", x=x)
    expect("conv1d", "(O, C/groups, k)", weight=weight)
    attributes = _conv1d("conv1d", stride, padding, dilation, groups, algorithm)
    with named("conv1d", "conv2d"):
        return apply("conv2d", attributes, x, weight, bias)


def conv1d_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    output_mask: Sequence[bool] = (True, True, True),
    algorithm: str = "auto",
) -> Gradients:
    """The gradients (dx, dweight, dbias) of `conv1d`; None where output_mask says False. grad_output: (N, O, L').

    Raises as conv2d_backward. Source: torch.ops.aten.convolution_backward.
    """
    expect_arrays("conv1d", "(N, C, L)", x=x)
    expect_arrays("conv1d", "(O, C/groups, k)", weight=weight)
    attributes = _conv1d("conv1d", stride, padding, dilation, groups, algorithm)
    with named("conv1d", "conv2d"):
        return _backward(Planned("conv2d", attributes), grad_output, x, weight, 0, output_mask)


def _conv_transpose2d(
    stride: Any, padding: Any, output_padding: Any, groups: Any, dilation: Any, algorithm: Any
) -> dict[str, Any]:
    op = "conv_transpose2d"
    return {
        "stride": pair(op, "stride", stride),
        "padding": padding2d(op, padding, names=False),
        "output_padding": pair(op, "output_padding", output_padding),
        "dilation": pair(op, "dilation", dilation),
        "groups": integer(op, "groups", groups),
        "algorithm": algorithm,
    }


def conv_transpose2d(
    x: T,
    weight: Operand,
    bias: Operand | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    output_padding: IntOrPair = 0,
    groups: int = 1,
    dilation: IntOrPair = 1,
    *,
    algorithm: str = "auto",
) -> T:
    """The transpose of `conv2d` as a linear map (its gradient for x), often called deconvolution.

    x: (N, C, H, W); weight: (C, O/groups, kH, kW); bias: (O,) or None. Returns (N, O, H', W'), where
    H' = (H-1)*stride - top - bottom + dilation*(kH-1) + output_padding + 1.
    padding: int | (h, w) | ((top, bottom), (left, right)). algorithm: as in `conv2d`.
    Raises ShapeError where shapes do not fit, ValueError for settings out of range, TypeError for wrong types.
    Source: torch.nn.functional.conv_transpose2d.
    """
    expect("conv_transpose2d", "(N, C, H, W)", x=x)
    expect("conv_transpose2d", "(C, O/groups, kH, kW)", weight=weight)
    attributes = _conv_transpose2d(stride, padding, output_padding, groups, dilation, algorithm)
    return apply("conv_transpose2d", attributes, x, weight, bias)


def conv_transpose2d_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    output_padding: IntOrPair = 0,
    groups: int = 1,
    dilation: IntOrPair = 1,
    *,
    output_mask: Sequence[bool] = (True, True, True),
    algorithm: str = "auto",
) -> Gradients:
    """The gradients (dx, dweight, dbias) of `conv_transpose2d`; None where output_mask says False.

    Raises as conv2d_backward. Source: torch.ops.aten.convolution_backward.
    """
    expect_arrays("conv_transpose2d", "(N, C, H, W)", x=x)
    expect_arrays("conv_transpose2d", "(C, O/groups, kH, kW)", weight=weight)
    attributes = _conv_transpose2d(stride, padding, output_padding, groups, dilation, algorithm)
    return _backward(Planned("conv_transpose2d", attributes), grad_output, x, weight, 1, output_mask)


def _backward(
    op: Planned,
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    channel_axis: int,
    output_mask: Sequence[bool],
) -> Gradients:
    """channel_axis: of the weight, where the output channels (per group, unless it is axis 0) stand."""
    if isinstance(output_mask, (bool, str)) or not hasattr(output_mask, "__len__") or len(output_mask) != 3:
        raise ValueError(f"{op.kind}: output_mask must hold three bools (dx, dweight, dbias), got {output_mask!r}")
    shape = np.shape(arrays([weight])[0])
    bias = None
    if output_mask[2] and len(shape) > channel_axis:
        groups = op.attributes["groups"] if channel_axis else 1
        bias = np.zeros(max(shape[channel_axis] * groups, 0), np.float32)
    dx, dw, db = op.gradients((x, weight, bias), grad_output, [bool(m) for m in output_mask])
    return dx, dw, db


def _window(op: str, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> dict[str, Any]:
    return {
        "kernel_size": pair(op, "kernel_size", kernel_size),
        "stride": pair(op, "stride", stride),
        "padding": padding2d(op, padding, names=False),
        "dilation": pair(op, "dilation", dilation),
    }


def im2col(x: T, kernel_size: IntOrPair, stride: IntOrPair = 1, padding: Padding = 0, dilation: IntOrPair = 1) -> T:
    """Receptive fields stretched into columns: convolution becomes one matrix product with them.

    x: (N, C, H, W). Returns (N, C*kH*kW, L), L = H'*W' output places: a 227x227x3 image under 11x11 windows of stride 4
    gives 363 x 3025. Source: torch.nn.functional.unfold; CS231n, "Implementation as Matrix Multiplication".
    Raises ShapeError unless x is 4-D and the window fits into it, ValueError for settings out of range.
    """
    expect("im2col", "(N, C, H, W)", x=x)
    return apply("im2col", _window("im2col", kernel_size, stride, padding, dilation), x)


def col2im(
    cols: T,
    output_size: IntOrPair,
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
) -> T:
    """The transpose of `im2col`: columns are added up where their receptive fields overlap.

    cols: (N, C*kH*kW, L). Returns (N, C, *output_size). Source: torch.nn.functional.fold.
    Raises ShapeError where cols does not fit the output and the window, ValueError for settings out of range.
    """
    attributes = _window("col2im", kernel_size, stride, padding, dilation)
    attributes["output_size"] = pair("col2im", "output_size", output_size)
    return apply("col2im", attributes, cols)
