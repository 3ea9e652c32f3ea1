"""Adding, multiplying, joining and reshaping in float64."""

from collections.abc import Sequence

import numpy as np

from .common import SMALL, Array, Attributes, ReferenceOp


def _reduce_to(grad: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of broadcasting: a sum over the broadcast axes."""
    axes = tuple(i for i, (g, s) in enumerate(zip(grad.shape, shape, strict=True)) if s == 1 and g != 1)
    return grad.sum(axes, keepdims=True)


def _fan(grad: Array, shape: tuple[int, ...]) -> float:
    return grad.size / max(1, int(np.prod(shape)))


def add(a: Attributes, x: Array, y: Array) -> Array:
    return x + y


def add_error(a: Attributes, x: Array, y: Array) -> Array:
    return np.abs(x + y)


def add_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    return [_reduce_to(grad, x.shape) for x in inputs]


def add_backward_error(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    return [_fan(grad, x.shape) * _reduce_to(np.abs(grad), x.shape) for x in inputs]


def multiply(a: Attributes, x: Array, y: Array) -> Array:
    return x * y


def multiply_error(a: Attributes, x: Array, y: Array) -> Array:
    return np.abs(x * y)


def multiply_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    x, y = inputs
    return [_reduce_to(grad * y, x.shape), _reduce_to(grad * x, y.shape)]


def multiply_backward_error(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    x, y = inputs
    bounds = multiply_backward(a, [np.abs(x), np.abs(y)], np.abs(grad))
    return [(_fan(grad, v.shape) + SMALL) * b for b, v in zip(bounds, inputs, strict=True) if b is not None]


def concat(a: Attributes, *inputs: Array) -> Array:
    return np.concatenate(inputs, a.get("axis", 1))


def concat_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    axis = a.get("axis", 1)
    ends = np.cumsum([x.shape[axis] for x in inputs])[:-1]
    return list(np.split(grad, ends, axis))


def flatten(a: Attributes, x: Array) -> Array:
    start = a.get("start_dim", 1)
    return x.reshape(*x.shape[:start], -1) if x.size else x.reshape(*x.shape[:start], int(np.prod(x.shape[start:])))


def flatten_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    return [grad.reshape(inputs[0].shape)]


OPS: dict[str, ReferenceOp] = {
    "add": ReferenceOp(add, add_error, add_backward, add_backward_error),
    "multiply": ReferenceOp(multiply, multiply_error, multiply_backward, multiply_backward_error),
    "concat": ReferenceOp(
        concat,
        lambda a, *inputs: 0 * concat(a, *inputs),
        concat_backward,
        lambda a, inputs, grad: [0 * x for x in inputs],
    ),
    "flatten": ReferenceOp(
        flatten,
        lambda a, x: 0 * flatten(a, x),
        flatten_backward,
        lambda a, inputs, grad: [0 * inputs[0]],
    ),
}
