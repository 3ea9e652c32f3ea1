"""What all reference ops share: their interface, and how the rounding error of an op is bounded.

The bound. Let u = 2**-24 be float32's unit roundoff and eps = 2u. A sum of n products, evaluated in float32 in any
order, with or without fused multiply-adds, differs from the exact value by at most gamma_n * sum |a_i b_i|, where
gamma_n = n u / (1 - n u) (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1). For n u < 1/2 this is
at most eps * n * sum |a_i b_i|, and `sum |a_i b_i|` is the same op run on absolute values. So for every op that is
linear in each input: error <= eps * (n + small) * op(|inputs|), element by element, with n the length of its reduction;
`small` pays for what follows the sum (bias, scale, store). Functions that are not sums of products state their own
magnitude: that of each intermediate value that is rounded, times the derivative that carries its error to the result.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Attributes = Mapping[str, Any]
SMALL = 4  # roundings after a sum: bias, scale, conversion, store


@dataclass(frozen=True)
class ReferenceOp:
    """An op in float64. Errors are elementwise bounds in units of float32's eps, one per output or gradient."""

    forward: Callable[..., Array]  # (attributes, *inputs) -> output
    forward_error: Callable[..., Array]  # (attributes, *inputs) -> bound
    backward: Callable[..., list[Array | None]] | None = None  # (attributes, inputs, grad_output) -> gradients
    backward_error: Callable[..., list[Array | None]] | None = None  # (attributes, inputs, grad_output) -> bounds


def absolute(inputs: Sequence[Array | None]) -> list[Array | None]:
    return [None if x is None else np.abs(x) for x in inputs]


def sum_of_products(
    forward: Callable[..., Array],
    backward: Callable[..., list[Array | None]],
    lengths: Callable[..., tuple[float, Sequence[float]]],
) -> ReferenceOp:
    """An op linear in each of its inputs. lengths(attributes, *inputs): terms in an output, and in each gradient."""

    def forward_error(a: Attributes, *inputs: Array | None) -> Array:
        return (lengths(a, *inputs)[0] + SMALL) * forward(a, *absolute(inputs))

    def backward_error(a: Attributes, inputs: Sequence[Array | None], grad: Array) -> list[Array | None]:
        bounds = backward(a, absolute(inputs), np.abs(grad))
        terms = lengths(a, *inputs)[1]
        return [None if b is None else (n + SMALL) * b for b, n in zip(bounds, terms, strict=False)]

    return ReferenceOp(forward, forward_error, backward, backward_error)


def elementwise(
    function: Callable[..., Array],
    derivative: Callable[..., Array],
    magnitude: Callable[..., Array],
    derivative_magnitude: Callable[..., Array],
    terms: float = 8,
) -> ReferenceOp:
    """y = f(x), dx = dy f'(x), each with the magnitudes of the intermediate values it is made of."""
    return ReferenceOp(
        function,
        lambda a, x: terms * magnitude(a, x),
        lambda a, inputs, grad: [grad * derivative(a, inputs[0])],
        lambda a, inputs, grad: [terms * np.abs(grad) * derivative_magnitude(a, inputs[0])],
    )


def as_images(x: Array) -> Array:
    """(N, C, L) as (N, C, 1, L), (N, F) as (N, F, 1, 1)."""
    if x.ndim == 2:
        return x[:, :, None, None]
    return x[:, :, None, :] if x.ndim == 3 else x


def like(y: Array, rank: int) -> Array:
    """Undoes as_images for a result of a rank-`rank` input."""
    if rank == 3:
        return y[:, :, 0, :]
    return y.reshape(y.shape[:2]) if rank == 2 else y


def pair(a: Attributes, key: str, fallback: Sequence[int] = (1, 1)) -> tuple[int, int]:
    h, w = a.get(key, fallback)
    return int(h), int(w)
