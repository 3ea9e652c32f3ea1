"""Layer, group and instance norm in float64. Formulas: PyTorch's LayerNorm and GroupNorm pages."""

from collections.abc import Sequence

import numpy as np

from .common import SMALL, Array, Attributes, ReferenceOp


def _layer(a: Attributes, shape: Sequence[int]) -> tuple[Sequence[int], Sequence[int], int]:
    """The shapes in which x and weight are looked at, and the first of x's axes that are normalised."""
    axis = a.get("axis", -1) % len(shape)
    return shape, [1] * axis + list(shape[axis:]), axis


def _groups(count: int, shape: Sequence[int]) -> tuple[Sequence[int], Sequence[int], int]:
    n, c, *space = shape
    return (n, count, c // count, *space), (1, count, c // count, *[1] * len(space)), 2


def make(kind: str) -> ReferenceOp:
    def views(a: Attributes, shape: Sequence[int]) -> tuple[Sequence[int], Sequence[int], int]:
        if kind == "layer_norm":
            return _layer(a, shape)
        return _groups(shape[1] if kind == "instance_norm" else a["num_groups"], shape)

    def parts(
        a: Attributes, x: Array, weight: Array | None, bias: Array | None
    ) -> tuple[Array, Array, Array, tuple[int, ...], Array, Array, float]:
        """x, weight and bias in those shapes, the axes, mean, 1 / sqrt(var + eps), how many values a mean is of."""
        shape, weights, axis = views(a, x.shape)
        v = x.reshape(shape)
        w = np.ones(weights) if weight is None else weight.reshape(weights)
        b = np.zeros(weights) if bias is None else bias.reshape(weights)
        axes = tuple(range(axis, v.ndim))
        inverse = 1 / np.sqrt(v.var(axes, keepdims=True) + a.get("eps", 1e-5))
        return v, w, b, axes, v.mean(axes, keepdims=True), inverse, float(np.prod(v.shape[axis:]))

    def forward(a: Attributes, x: Array, weight: Array | None = None, bias: Array | None = None) -> Array:
        v, w, b, _, mean, inverse, _ = parts(a, x, weight, bias)
        return ((v - mean) * inverse * w + b).reshape(x.shape)

    def ratio(v: Array, axes: tuple[int, ...], inverse: Array) -> Array:
        """The size of x against its spread, which each rounding of the mean feels."""
        return np.abs(v).mean(axes, keepdims=True) * inverse

    def forward_error(a: Attributes, x: Array, weight: Array | None = None, bias: Array | None = None) -> Array:
        v, w, b, axes, mean, inverse, count = parts(a, x, weight, bias)
        shift = np.abs(v) + np.abs(v).mean(axes, keepdims=True)
        spread = np.abs(v - mean) * (1 + ratio(v, axes, inverse))
        bound = (np.sqrt(count) + 4 * SMALL) * ((shift + spread) * inverse * np.abs(w) + np.abs(b))
        return bound.reshape(x.shape)

    def backward(a: Attributes, inputs: Sequence[Array | None], grad: Array) -> list[Array | None]:
        x, weight, bias = (*inputs, None, None)[:3]
        assert x is not None
        v, w, _, axes, mean, inverse, _ = parts(a, x, weight, bias)
        dy, xhat = grad.reshape(v.shape), (v - mean) * inverse
        g = dy * w
        dx = inverse * (g - g.mean(axes, keepdims=True) - xhat * (g * xhat).mean(axes, keepdims=True))
        summed = tuple(i for i, n in enumerate(w.shape) if n == 1)
        dweight = None if weight is None else (dy * xhat).sum(summed, keepdims=True).reshape(weight.shape)
        dbias = None if bias is None else dy.sum(summed, keepdims=True).reshape(bias.shape)
        return [dx.reshape(x.shape), dweight, dbias][: len(inputs)]

    def backward_error(a: Attributes, inputs: Sequence[Array | None], grad: Array) -> list[Array | None]:
        """The backward's sums on absolute values; xhat brings the error of the statistics (ratio) into each of them."""
        x, weight, bias = (*inputs, None, None)[:3]
        assert x is not None
        v, w, _, axes, mean, inverse, count = parts(a, x, weight, bias)
        dy, size = np.abs(grad).reshape(v.shape), 1 + ratio(v, axes, inverse)
        xhat, g = np.abs(v - mean) * inverse * size + size, dy * np.abs(w)
        dx = inverse * size * (g + g.mean(axes, keepdims=True) + xhat * (g * xhat).mean(axes, keepdims=True))
        summed = tuple(i for i, n in enumerate(w.shape) if n == 1)
        repeats = v.size / max(w.size, 1)
        dweight = None if weight is None else (dy * xhat).sum(summed, keepdims=True).reshape(weight.shape)
        dbias = None if bias is None else dy.sum(summed, keepdims=True).reshape(bias.shape)
        bounds = [dx.reshape(x.shape), dweight, dbias][: len(inputs)]
        terms = (np.sqrt(count) + 4 * SMALL, repeats + np.sqrt(count) + SMALL, repeats + SMALL)
        return [None if b is None else n * b for n, b in zip(terms, bounds, strict=False)]

    return ReferenceOp(forward, forward_error, backward, backward_error)


KINDS = ("layer_norm", "group_norm", "instance_norm")
OPS: dict[str, ReferenceOp] = {f"{kind}{mode}": make(kind) for kind in KINDS for mode in ("", " training")}
