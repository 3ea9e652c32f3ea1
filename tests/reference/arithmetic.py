"""Joining and reshaping in float64."""

from collections.abc import Sequence

import numpy as np

from .common import Array, Attributes, ReferenceOp


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
