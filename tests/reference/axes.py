"""Functions along axes in float64: folds, softmax, places of extremes, matrix products."""

from collections.abc import Sequence

import numpy as np

from .common import SMALL, Array, Attributes, ReferenceOp, sum_of_products
from .elementwise import reduce_to

# --- reduce ------------------------------------------------------------------------------------------------------


def _axes(a: Attributes, x: Array) -> tuple[int, ...]:
    return tuple(axis % x.ndim for axis in a.get("axes", range(x.ndim)))


def _count(a: Attributes, x: Array) -> int:
    return int(np.prod([x.shape[axis] for axis in _axes(a, x)]))


def _like_result(a: Attributes, y: Array, x: Array) -> Array:
    """y, which has all axes, as the op gives it."""
    if a.get("keepdims", False):
        return y
    return y.reshape([size for axis, size in enumerate(x.shape) if axis not in _axes(a, x)] or [1])


def _kept(a: Attributes, x: Array) -> Array:
    """The result with all axes."""
    axes, name = _axes(a, x), a.get("function", "sum")
    if name == "log_sum_exp":
        top = x.max(axes, keepdims=True, initial=-1e300)
        return top + np.log(np.exp(x - top).sum(axes, keepdims=True))
    if name in ("max", "min"):
        start = -np.inf if name == "max" else np.inf
        return getattr(x, name)(axes, keepdims=True, initial=start)
    if name in ("l1", "l2", "sum_square", "log_sum"):
        total = (np.abs(x) if name == "l1" else x if name == "log_sum" else x * x).sum(axes, keepdims=True)
        return np.sqrt(total) if name == "l2" else np.log(total) if name == "log_sum" else total
    return getattr(x, name)(axes, keepdims=True)


def _kept_error(a: Attributes, x: Array) -> Array:
    axes, name, n = _axes(a, x), a.get("function", "sum"), _count(a, x)
    y = _kept(a, x)
    if name in ("sum", "mean"):
        return (n + SMALL) * np.abs(x).sum(axes, keepdims=True) / (n if name == "mean" else 1)
    if name in ("max", "min"):
        return 0 * y
    if name == "log_sum":
        return n + SMALL + np.abs(y)
    if name == "log_sum_exp":  # each difference is rounded, and enters the sum relatively
        return n + SMALL + np.abs(y) + np.ptp(x, axes, keepdims=True) + np.abs(x).max(axes, keepdims=True)
    return (n + SMALL) * np.abs(y)


def reduce(a: Attributes, x: Array) -> Array:
    return _like_result(a, _kept(a, x), x)


def reduce_error(a: Attributes, x: Array) -> Array:
    return _like_result(a, _kept_error(a, x), x)


def _others(axes: tuple[int, ...], x: Array) -> Array:
    """The product of all others, without division."""
    lines = np.moveaxis(x, axes, range(-len(axes), 0))
    shape = lines.shape
    rows = lines.reshape(-1, int(np.prod(shape[len(shape) - len(axes) :])))
    others = np.stack([np.delete(rows, j, 1).prod(1) for j in range(rows.shape[1])], 1)
    return np.moveaxis(others.reshape(shape), range(-len(axes), 0), axes)


def _slope(a: Attributes, x: Array) -> tuple[Array, Array]:
    """Of each element, and its rounding errors' size in terms of it."""
    axes, name, n = _axes(a, x), a.get("function", "sum"), _count(a, x)
    y = _kept(a, x)
    if name in ("sum", "mean"):
        return np.ones(x.shape) / (n if name == "mean" else 1), np.ones(x.shape)
    if name in ("max", "min"):
        return (x == y) / (x == y).sum(axes, keepdims=True), np.ones(x.shape)
    if name == "l1":
        return np.sign(x), 0 * x
    if name == "l2":
        return x / np.where(y, y, 1), n + SMALL + 0 * x
    if name == "sum_square":
        return 2 * x, np.ones(x.shape)
    if name == "prod":
        return _others(axes, x), n + SMALL + 0 * x
    error = _kept_error(a, x) + SMALL
    return (np.exp(-y) + 0 * x, error + 0 * x) if name == "log_sum" else (np.exp(x - y), error + np.abs(x - y))


def _grad(a: Attributes, x: Array, grad: Array) -> Array:
    return grad.reshape([1 if axis in _axes(a, x) else size for axis, size in enumerate(x.shape)])


def reduce_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    x = inputs[0]
    return [_grad(a, x, grad) * _slope(a, x)[0] if x.size else 0 * x]


def reduce_backward_error(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    x = inputs[0]
    if not x.size:
        return [0 * x]
    slope, terms = _slope(a, x)
    return [np.abs(_grad(a, x, grad) * slope) * (terms + SMALL)]


# --- softmax -----------------------------------------------------------------------------------------------------


def _softmax_parts(axis: int, x: Array) -> tuple[Array, Array, Array]:
    shifted = x - x.max(axis, keepdims=True)
    exps = np.exp(shifted)
    total = exps.sum(axis, keepdims=True)
    return shifted, exps / total, np.log(total)


def softmax(a: Attributes, x: Array) -> Array:
    return _softmax_parts(a.get("axis", 1), x)[1] if x.size else np.zeros_like(x)


def log_softmax(a: Attributes, x: Array) -> Array:
    if not x.size:
        return np.zeros_like(x)
    shifted, _, logs = _softmax_parts(a.get("axis", 1), x)
    return shifted - logs


def _softmax_terms(axis: int, x: Array) -> Array:
    """x - max is rounded (its size enters relatively through exp), C exponentials are summed, one division."""
    shifted = x - x.max(axis, keepdims=True) if x.size else x
    return np.abs(shifted) + np.abs(shifted).max(axis, keepdims=True, initial=0) + x.shape[axis] + 2 * SMALL


def softmax_error(a: Attributes, x: Array) -> Array:
    return _softmax_terms(a.get("axis", 1), x) * softmax(a, x)


def log_softmax_error(a: Attributes, x: Array) -> Array:
    return _softmax_terms(a.get("axis", 1), x) + np.abs(log_softmax(a, x))


def softmax_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    y = softmax(a, inputs[0])
    return [y * (grad - (grad * y).sum(a.get("axis", 1), keepdims=True))]


def softmax_backward_error(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    y, axis = softmax(a, inputs[0]), a.get("axis", 1)
    terms = _softmax_terms(axis, inputs[0])
    sums = ((terms + y.shape[axis]) * np.abs(grad) * y).sum(axis, keepdims=True)
    return [y * (terms * np.abs(grad) + sums + terms * (np.abs(grad) * y).sum(axis, keepdims=True))]


def log_softmax_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    return [grad - softmax(a, inputs[0]) * grad.sum(a.get("axis", 1), keepdims=True)]


def log_softmax_backward_error(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    """exp(log_softmax) adds the absolute error of the logarithm to softmax's relative one."""
    x, axis = inputs[0], a.get("axis", 1)
    terms = 2 * _softmax_terms(axis, x) + np.abs(log_softmax(a, x))
    total = np.abs(grad).sum(axis, keepdims=True)
    return [SMALL * np.abs(grad) + (terms + x.shape[axis]) * softmax(a, x) * total]


# --- places ------------------------------------------------------------------------------------------------------


def _place(a: Attributes, x: Array) -> Array:
    """Of the largest, with all axes."""
    axis = a.get("axis", -1)
    if a.get("select_last_index", False):
        return x.shape[axis] - 1 - np.flip(x, axis).argmax(axis, keepdims=True)
    return x.argmax(axis, keepdims=True)


def argmax(a: Attributes, x: Array) -> Array:
    place = _place(a, x).astype(np.float64)
    return place if a.get("keepdims", False) else _like_result({"axes": [a.get("axis", -1)]}, place, x)


def hardmax(a: Attributes, x: Array) -> Array:
    axis = a.get("axis", -1) % x.ndim
    shape = [1] * x.ndim
    shape[axis] = -1
    return (np.arange(x.shape[axis]).reshape(shape) == x.argmax(axis, keepdims=True)) * 1.0 if x.size else 0 * x


# --- matmul ------------------------------------------------------------------------------------------------------


def _fits(grad: Array, x: Array) -> Array:
    """The gradient summed over the axes in which x was repeated, in x's shape."""
    return reduce_to(grad, (1,) * (grad.ndim - x.ndim) + x.shape).reshape(x.shape)


def matmul_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    x, y = inputs
    return [_fits(grad @ y.swapaxes(-1, -2), x), _fits(x.swapaxes(-1, -2) @ grad, y)]


def _lengths(a: Attributes, x: Array, y: Array) -> tuple[float, list[float]]:
    batch = float(np.prod(np.broadcast_shapes(x.shape[:-2], y.shape[:-2])))
    return x.shape[-1], [y.shape[-1] * batch, x.shape[-2] * batch]


OPS: dict[str, ReferenceOp] = {
    "reduce": ReferenceOp(reduce, reduce_error, reduce_backward, reduce_backward_error),
    "softmax": ReferenceOp(softmax, softmax_error, softmax_backward, softmax_backward_error),
    "log_softmax": ReferenceOp(log_softmax, log_softmax_error, log_softmax_backward, log_softmax_backward_error),
    "argmax": ReferenceOp(argmax, lambda a, x: 0 * argmax(a, x)),
    "argmin": ReferenceOp(lambda a, x: argmax(a, -x), lambda a, x: 0 * argmax(a, x)),
    "hardmax": ReferenceOp(hardmax, lambda a, x: 0 * x),
    "matmul": sum_of_products(lambda a, x, y: x @ y, matmul_backward, _lengths),
}
