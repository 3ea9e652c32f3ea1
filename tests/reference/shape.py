"""Ops that move elements about, in float64. Nothing is rounded: every bound is zero."""

from collections.abc import Callable, Sequence

import numpy as np

from .common import Array, Attributes, ReferenceOp


def moves(forward: Callable[..., Array]) -> ReferenceOp:
    """An op of one input whose outputs are elements of it, each used at most once, or constants.

    The gradient comes from the numbers of the elements: forward is run on them.
    """

    def backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
        x = inputs[0]
        places = forward(a, np.arange(1, x.size + 1, dtype=np.float64).reshape(x.shape))
        dx = np.zeros(x.size + 1)
        np.add.at(dx, places.astype(np.int64).ravel(), grad.ravel())
        return [dx[1:].reshape(x.shape)]

    return ReferenceOp(
        forward,
        lambda a, x: 0 * forward(a, x),
        backward,
        lambda a, inputs, grad: [0 * inputs[0]],
    )


def rearrange(a: Attributes, x: Array) -> Array:
    y = x.reshape(a.get("view", x.shape))
    y = y.transpose(a.get("perm", range(y.ndim)))
    return y.reshape(a.get("shape", y.shape))


def channels_last(a: Attributes, x: Array) -> Array:
    return x


OPS: dict[str, ReferenceOp] = {"rearrange": moves(rearrange), "channels_last": moves(channels_last)}
