"""Pooling: windows, and whole maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from ..arguments import IntOrPair, integers, number, pair, single
from ..symbol import Array, Operand, T
from .dispatch import apply, expect, expect_arrays, input_gradient, named, shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike


def _flag(op: str, name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{op}: {name} must be a bool, got {value!r}")
    return value


def _pool(op: str, kernel_size: Any, stride: Any, padding: Any, ceil_mode: Any, **more: Any) -> dict[str, Any]:
    return {
        "kernel_size": pair(op, "kernel_size", kernel_size),
        "stride": pair(op, "stride", kernel_size if stride is None else stride),
        "padding": pair(op, "padding", padding),
        "ceil_mode": _flag(op, "ceil_mode", ceil_mode),
        **more,
    }


def _row(op: str, name: str, value: Any, first: int) -> list[int]:
    """A 1-D setting as a 2-D one."""
    return [first, single(op, name, value)]


@overload
def max_pool2d(
    x: T,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
) -> T: ...
@overload
def max_pool2d(
    x: T,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
) -> tuple[T, T]: ...
def max_pool2d(
    x: T,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> T | tuple[T, T]:
    """The largest value of each window. x: (N, C, H, W). Returns (N, C, H', W').

    stride: kernel_size by default; smaller strides make windows overlap. padding: at most half the kernel; it never
    wins. ceil_mode: windows may hang over the far border.
    return_indices: also the int64 positions h*W + w of the maxima in x's maps, of the result's shape.
    Raises ShapeError unless x is 4-D and the window fits into it, ValueError for settings out of range.
    Source: torch.nn.functional.max_pool2d.
    """
    op = "max_pool2d"
    expect(op, "(N, C, H, W)", x=x)
    attributes = _pool(op, kernel_size, stride, padding, ceil_mode, dilation=pair(op, "dilation", dilation))
    y: T = apply(op, attributes, x)
    if return_indices:
        return y, apply("max_pool2d_indices", attributes, x)
    return y


def max_pool2d_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> Array:
    """The gradient of `max_pool2d` for x: each window's gradient goes to its (first) maximum.

    Raises as max_pool2d, and ShapeError where grad_output is not of its result's shape.
    Source: torch.ops.aten.max_pool2d_with_indices_backward.
    """
    op = "max_pool2d"
    expect_arrays(op, "(N, C, H, W)", x=x)
    attributes = _pool(op, kernel_size, stride, padding, ceil_mode, dilation=pair(op, "dilation", dilation))
    return input_gradient(op, attributes, x, grad_output)


def max_pool1d(
    x: T,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> T:
    """`max_pool2d` with H = 1. x: (N, C, L). Returns (N, C, L').

    Raises ShapeError unless x is 3-D and the window fits into it, ValueError for settings out of range.
    Source: torch.nn.functional.max_pool1d.
    """
    op = "max_pool1d"
    expect(op, "(N, C, L)", x=x)
    kernel = _row(op, "kernel_size", kernel_size, 1)
    step = kernel if stride is None else _row(op, "stride", stride, 1)
    attributes = _pool(op, kernel, step, _row(op, "padding", padding, 0), ceil_mode)
    attributes["dilation"] = _row(op, "dilation", dilation, 1)
    with named(op, "max_pool2d"):
        return apply("max_pool2d", attributes, x)


def avg_pool2d(
    x: T,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    dilation: IntOrPair = 1,
) -> T:
    """The mean of each window. x: (N, C, H, W). Returns (N, C, H', W').

    count_include_pad: padded zeros count in the divisor.
    Source: torch.nn.functional.avg_pool2d; of dilation: ONNX AveragePool.
    Raises ShapeError unless x is 4-D and the window fits into it, ValueError for settings out of range.
    """
    op = "avg_pool2d"
    expect(op, "(N, C, H, W)", x=x)
    count = _flag(op, "count_include_pad", count_include_pad)
    attributes = _pool(op, kernel_size, stride, padding, ceil_mode, count_include_pad=count)
    attributes["dilation"] = pair(op, "dilation", dilation)
    return apply(op, attributes, x)


def avg_pool2d_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    dilation: IntOrPair = 1,
) -> Array:
    """The gradient of `avg_pool2d` for x: each window's gradient is spread evenly over it.

    Raises as avg_pool2d, and ShapeError where grad_output is not of its result's shape.
    Source: torch.ops.aten.avg_pool2d_backward.
    """
    op = "avg_pool2d"
    expect_arrays(op, "(N, C, H, W)", x=x)
    count = _flag(op, "count_include_pad", count_include_pad)
    attributes = _pool(op, kernel_size, stride, padding, ceil_mode, count_include_pad=count)
    attributes["dilation"] = pair(op, "dilation", dilation)
    return input_gradient(op, attributes, x, grad_output)


def avg_pool1d(
    x: T,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> T:
    """`avg_pool2d` with H = 1. x: (N, C, L). Returns (N, C, L').

    Raises ShapeError unless x is 3-D and the window fits into it, ValueError for settings out of range.
    Source: torch.nn.functional.avg_pool1d.
    """
    op = "avg_pool1d"
    expect(op, "(N, C, L)", x=x)
    kernel = _row(op, "kernel_size", kernel_size, 1)
    step = kernel if stride is None else _row(op, "stride", stride, 1)
    attributes = _pool(op, kernel, step, _row(op, "padding", padding, 0), ceil_mode)
    attributes["count_include_pad"] = _flag(op, "count_include_pad", count_include_pad)
    with named(op, "avg_pool2d"):
        return apply("avg_pool2d", attributes, x)


def sum_pool2d(
    x: T,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
) -> T:
    """The sum of each window. x: (N, C, H, W). Returns (N, C, H', W'). As torch's lp_pool2d of power 1 for x >= 0.

    Raises ShapeError unless x is 4-D and the window fits into it, ValueError for settings out of range.
    Source: torch.nn.functional.avg_pool2d, with divisor_override=1.
    """
    expect("sum_pool2d", "(N, C, H, W)", x=x)
    return apply("sum_pool2d", _pool("sum_pool2d", kernel_size, stride, padding, ceil_mode), x)


def sum_pool2d_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
) -> Array:
    """The gradient of `sum_pool2d` for x.

    Raises as sum_pool2d, and ShapeError where grad_output is not of its result's shape.
    Source: torch.ops.aten.avg_pool2d_backward, with divisor_override=1.
    """
    expect_arrays("sum_pool2d", "(N, C, H, W)", x=x)
    attributes = _pool("sum_pool2d", kernel_size, stride, padding, ceil_mode)
    return input_gradient("sum_pool2d", attributes, x, grad_output)


def lp_pool2d(
    x: T,
    norm_type: float,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    ceil_mode: bool = False,
    *,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
) -> T:
    """(sum |x|^p)^(1/p) of each window, p = norm_type. x: (N, C, H, W). Returns (N, C, H', W').

    Raises ShapeError unless x is 4-D and the window fits into it, ValueError for p below 1 and settings out of range.
    Source: torch.nn.functional.lp_pool2d, for even p; ONNX LpPool.
    """
    op = "lp_pool2d"
    expect(op, "(N, C, H, W)", x=x)
    attributes = _pool(op, kernel_size, stride, padding, ceil_mode, p=number(op, "norm_type", norm_type))
    attributes["dilation"] = pair(op, "dilation", dilation)
    return apply(op, attributes, x)


def max_unpool2d(
    x: T,
    indices: Operand,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    output_size: Sequence[int] | None = None,
) -> T:
    """Puts each element where `max_pool2d` found it, with zeros elsewhere. x: (N, C, H, W). Returns (N, C, H', W').

    indices: of x's shape, the positions h W' + w that `max_pool2d(..., return_indices=True)` gives, with its settings.
    output_size: (H', W'), or all of the result's shape; (H - 1) stride - 2 padding + kernel_size by default.
    Raises ShapeError unless x is 4-D, ValueError for positions outside of the map and an output_size that is off by a
    stride or more. Source: torch.nn.functional.max_unpool2d.
    """
    op = "max_unpool2d"
    expect(op, "(N, C, H, W)", x=x)
    kernel, pad = pair(op, "kernel_size", kernel_size), pair(op, "padding", padding)
    step = kernel if stride is None else pair(op, "stride", stride)
    sizes = zip(shape_of(x)[2:], step, pad, kernel, strict=True)
    size = [(n - 1) * s - 2 * p + k for n, s, p, k in sizes]
    if output_size is not None:
        wanted = integers(op, "output_size", output_size)[-2:]
        if len(wanted) != 2 or any(abs(w - n) >= s for w, n, s in zip(wanted, size, step, strict=True)):
            raise ValueError(f"{op}: output_size must be within a stride of {size}, got {output_size}")
        size = wanted
    return apply(op, {"output_size": size}, x, indices)


def adaptive_avg_pool2d(x: T, output_size: IntOrPair) -> T:
    """The means of output_size windows that cover the map evenly. x: (N, C, H, W). Returns (N, C, *output_size).

    Raises ShapeError unless x is 4-D, ValueError for settings out of range.
    Source: torch.nn.functional.adaptive_avg_pool2d.
    """
    expect("adaptive_avg_pool2d", "(N, C, H, W)", x=x)
    return apply("adaptive_avg_pool2d", _adaptive("adaptive_avg_pool2d", output_size), x)


def adaptive_max_pool2d(x: T, output_size: IntOrPair) -> T:
    """The maxima of output_size windows that cover the map evenly. x: (N, C, H, W). Returns (N, C, *output_size).

    Raises ShapeError unless x is 4-D, ValueError for settings out of range.
    Source: torch.nn.functional.adaptive_max_pool2d.
    """
    expect("adaptive_max_pool2d", "(N, C, H, W)", x=x)
    return apply("adaptive_max_pool2d", _adaptive("adaptive_max_pool2d", output_size), x)


def _adaptive(op: str, output_size: Any) -> dict[str, Any]:
    return {"output_size": pair(op, "output_size", output_size)}


def global_avg_pool2d(x: T) -> T:
    """The mean of each map. x: (N, C, H, W). Returns (N, C, 1, 1).

    Raises ShapeError unless x is 4-D. Source: Lin et al., "Network in Network".
    """
    expect("global_avg_pool2d", "(N, C, H, W)", x=x)
    with named("global_avg_pool2d", "adaptive_avg_pool2d"):
        return adaptive_avg_pool2d(x, 1)


def global_max_pool2d(x: T) -> T:
    """The maximum of each map. x: (N, C, H, W). Returns (N, C, 1, 1).

    Raises ShapeError unless x is 4-D. Source: torch.nn.AdaptiveMaxPool2d(1).
    """
    expect("global_max_pool2d", "(N, C, H, W)", x=x)
    with named("global_max_pool2d", "adaptive_max_pool2d"):
        return adaptive_max_pool2d(x, 1)
