"""Functions along axes: sums, means, extremes and where they are; matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from .. import _core
from ..arguments import integer, integers
from ..symbol import Operand, Symbol, T, same_rank
from .dispatch import apply, arrays, named, shape_of
from .shape import reshape, squeeze

Axes = int | Sequence[int] | None


def sum(x: T, dim: Axes = None, keepdim: bool = False) -> T:
    """The sum over axes; None: over all, which gives shape (1,) unless keepdim.

    Raises ValueError for axes that x has not, or given twice. Source: torch.sum.
    """
    return _reduce("sum", "sum", x, dim, keepdim)


def mean(x: T, dim: Axes = None, keepdim: bool = False) -> T:
    """The mean over axes; None: over all, which gives shape (1,) unless keepdim.

    Raises ValueError for axes that x has not, or given twice. Source: torch.mean.
    """
    return _reduce("mean", "mean", x, dim, keepdim)


def amax(x: T, dim: Axes = None, keepdim: bool = False) -> T:
    """The largest element over axes, NaN where there is one. Equals share the gradient.

    Raises ValueError for axes that x has not, or given twice. Source: torch.amax.
    """
    return _reduce("amax", "max", x, dim, keepdim)


def amin(x: T, dim: Axes = None, keepdim: bool = False) -> T:
    """The smallest element over axes, NaN where there is one. Equals share the gradient.

    Raises ValueError for axes that x has not, or given twice. Source: torch.amin.
    """
    return _reduce("amin", "min", x, dim, keepdim)


def prod(x: T, dim: Axes = None, keepdim: bool = False) -> T:
    """The product over axes; None: over all, which gives shape (1,) unless keepdim.

    Raises ValueError for axes that x has not, or given twice. Source: torch.prod, which takes one axis.
    """
    return _reduce("prod", "prod", x, dim, keepdim)


def norm(x: T, p: int = 2, dim: Axes = None, keepdim: bool = False) -> T:
    """The sum of absolute values (p = 1), or the root of the sum of squares (p = 2), over axes.

    Raises ValueError for another p, and for axes that x has not, or given twice. Source: torch.linalg.vector_norm.
    """
    if p not in (1, 2):
        raise ValueError(f"norm: p must be 1 or 2, got {p!r}")
    return _reduce("norm", f"l{int(p)}", x, dim, keepdim)


def logsumexp(x: T, dim: Axes = None, keepdim: bool = False) -> T:
    """log(sum(exp(x))) over axes. Nothing overflows on the way.

    Raises ValueError for axes that x has not, or given twice. Source: torch.logsumexp.
    """
    return _reduce("logsumexp", "log_sum_exp", x, dim, keepdim)


def argmax(x: T, dim: int | None = None, keepdim: bool = False, select_last_index: bool = False) -> T:
    """Where the largest element is along an axis, as float32; None: in x as one row. Of equals the first, or the last.

    Raises ValueError for an axis that x has not, ShapeError where it is empty. Source: torch.argmax; ONNX's ArgMax.
    """
    return _extreme("argmax", x, dim, keepdim, select_last_index)


def argmin(x: T, dim: int | None = None, keepdim: bool = False, select_last_index: bool = False) -> T:
    """Where the smallest element is along an axis, as float32; None: in x as one row. Of equals the first, or the last.

    Raises ValueError for an axis that x has not, ShapeError where it is empty. Source: torch.argmin; ONNX's ArgMin.
    """
    return _extreme("argmin", x, dim, keepdim, select_last_index)


def topk(x: T, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[T, T]:
    """The k largest (or smallest) elements along an axis, best first, and where they were, as float32.

    Of equals the first comes first. `sorted` is PyTorch's; the result always is.
    Raises ValueError for an axis that x has not, and for k beyond its size. Source: torch.topk.
    """
    attributes = {"k": integer("topk", "k", k), "axis": integer("topk", "dim", dim), "largest": bool(largest)}
    if isinstance(x, Symbol):
        return x.tracer.emit_all("topk", attributes, (x,))  # type: ignore[return-value]
    values, indices = _core.forward("topk", attributes, arrays([x]))
    return values, indices


def hardmax(x: T, dim: int = -1) -> T:
    """1 at the first largest element along an axis, 0 elsewhere. It has no gradient.

    Raises ValueError for an axis that x has not. Source: ONNX's Hardmax.
    """
    return apply("hardmax", {"axis": integer("hardmax", "dim", dim)}, x)


def matmul(a: T, b: Operand) -> T:
    """a @ b: matrices (..., M, K) and (..., K, N), whose axes in front are repeated as NumPy repeats them. A vector is
    a row in front, a column behind, and leaves no axis.

    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.matmul.
    """
    product: Any = _product(a, b)
    return cast("T", product)


def _product(a: Any, b: Any) -> Any:
    left, right = shape_of(a), shape_of(b)
    operands = [a, b]
    symbol = next((x for x in operands if isinstance(x, Symbol)), None)
    if len(left) == 1 or len(right) == 1:
        operands[0] = _reshaped(symbol, a, (1, *left)) if len(left) == 1 else a
        operands[1] = _reshaped(symbol, b, (*right, 1)) if len(right) == 1 else b
        gone = [axis for axis, shape in ((-2, left), (-1, right)) if len(shape) == 1]
        return squeeze(_product(*operands), gone)
    if len(right) == 2 and not isinstance(b, Symbol):  # a layer's weight
        return apply("matmul", {"dense": True}, a, b)
    if symbol is not None:
        operands = same_rank(operands)
    else:
        rank = max(len(left), len(right))
        shapes = [(1,) * (rank - len(shape)) + shape for shape in (left, right)]
        operands = [_reshaped(None, x, shape) for x, shape in zip(operands, shapes, strict=True)]
    return apply("matmul", {}, *operands)


def _reshaped(symbol: Symbol | None, x: Any, shape: tuple[int, ...]) -> Any:
    """x in another shape; beside a symbol a node, through which a parameter's gradient comes back."""
    if symbol is not None:
        return symbol.tracer.emit("rearrange", {"shape": list(shape)}, (x,))
    return np.asarray(*arrays([x])).reshape(shape)


def _reduce(op: str, function: str, x: T, dim: Axes, keepdim: bool) -> T:
    attributes: dict[str, Any] = {"function": function, "keepdims": bool(keepdim)}
    if dim is not None:
        attributes["axes"] = (
            [integer(op, "dim", dim)] if isinstance(dim, (int, np.integer)) else (integers(op, "dim", dim))
        )
    with named(op, "reduce"):
        return apply("reduce", attributes, x)


def _extreme(op: str, x: T, dim: int | None, keepdim: bool, last: bool) -> T:
    attributes = {"keepdims": bool(keepdim), "select_last_index": bool(last)}
    if dim is not None:
        return apply(op, {"axis": integer(op, "dim", dim), **attributes}, x)
    place = apply(op, {"axis": 0, **attributes}, reshape(x, [-1]))
    return reshape(place, [1] * len(shape_of(x))) if keepdim else place
