"""Ops that move elements about, in float64. Nothing is rounded but sums over an element's copies."""

from collections.abc import Callable, Sequence

import numpy as np

from .common import Array, Attributes, ReferenceOp


def moves(forward: Callable[..., Array]) -> ReferenceOp:
    """An op whose outputs are elements of its first input or constants. Other inputs have no gradient.

    The gradient comes from the numbers of the elements: forward is run on them. It is exact for an element that is used
    once, else a sum over its uses.
    """

    def backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
        x, *others = inputs
        numbers = np.arange(1, x.size + 1, dtype=np.float64).reshape(x.shape)
        places = forward({**a, "value": 0}, numbers, *others)
        dx = np.zeros(x.size + 1)
        np.add.at(dx, places.astype(np.int64).ravel(), grad.ravel())
        return [dx[1:].reshape(x.shape), *[None for _ in others]]

    def backward_error(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
        uses, size = backward(a, inputs, np.ones_like(grad))[0], backward(a, inputs, np.abs(grad))[0]
        assert uses is not None
        assert size is not None
        return [np.maximum(uses - 1, 0) * size, *[None for _ in inputs[1:]]]

    return ReferenceOp(forward, lambda a, *inputs: 0 * forward(a, *inputs), backward, backward_error)


def rearrange(a: Attributes, x: Array) -> Array:
    y = x.reshape(a.get("view", x.shape))
    y = y.transpose(a.get("perm", range(y.ndim)))
    return y.reshape(a.get("shape", y.shape))


def channels_last(a: Attributes, x: Array) -> Array:
    return x


def part(a: Attributes, x: Array) -> Array:
    for axis, (start, step, size) in enumerate(zip(a["starts"], a["steps"], a["sizes"], strict=True)):
        x = np.take(x, start + step * np.arange(size), axis)
    return x


def pad(a: Attributes, x: Array) -> Array:
    rank, mode = x.ndim, a.get("mode", "constant")
    for axis in range(rank):
        before, behind = a["pads"][axis], a["pads"][axis + rank]
        widths = [(0, 0)] * rank
        widths[axis] = (max(before, 0), max(behind, 0))
        more = {"constant_values": a.get("value", 0)} if mode == "constant" else {}
        x = np.pad(x, widths, mode, **more)
        kept = np.arange(max(-before, 0), x.shape[axis] + min(behind, 0))
        x = np.take(x, kept, axis)
    return x


def expand(a: Attributes, x: Array) -> Array:
    return x * np.ones(a["shape"])


def tile(a: Attributes, x: Array) -> Array:
    return np.tile(x, a["repeats"])


def gather(a: Attributes, x: Array, indices: Array | None = None) -> Array:
    if indices is None:
        indices = np.asarray(a["indices"], np.int64).reshape(a.get("index_shape", -1))
    return np.atleast_1d(np.take(x, indices, a.get("axis", 0)))


OPS: dict[str, ReferenceOp] = {
    "rearrange": moves(rearrange),
    "channels_last": moves(channels_last),
    "slice": moves(part),
    "pad": moves(pad),
    "expand": moves(expand),
    "tile": moves(tile),
    "gather": moves(gather),
}
