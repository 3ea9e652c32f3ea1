"""Activations: elementwise functions, and the softmax over channels."""

from __future__ import annotations

from typing import Any

from ..arguments import integer, number
from ..symbol import T
from .dispatch import apply


def relu(x: T, inplace: bool = False) -> T:
    """max(x, 0). x: (N, C), (N, C, L) or (N, C, H, W).

    Raises ShapeError for x of other ranks than 2 to 4, TypeError for what is no array of real numbers.
    Source: torch.nn.functional.relu.
    """
    return apply("relu", {}, x)


def leaky_relu(x: T, negative_slope: float = 0.01, inplace: bool = False) -> T:
    """x where x > 0, negative_slope * x elsewhere.

    Raises ShapeError for x of other ranks than 2 to 4, TypeError for what is no array of real numbers.
    Source: torch.nn.functional.leaky_relu.
    """
    return apply("leaky_relu", {"negative_slope": number("leaky_relu", "negative_slope", negative_slope)}, x)


def relu6(x: T, inplace: bool = False) -> T:
    """min(max(x, 0), 6).

    Raises ShapeError for x of other ranks than 2 to 4, TypeError for what is no array of real numbers.
    Source: torch.nn.functional.relu6.
    """
    return apply("relu6", {}, x)


def sigmoid(x: T) -> T:
    """1 / (1 + exp(-x)).

    Raises ShapeError for x of other ranks than 2 to 4, TypeError for what is no array of real numbers.
    Source: torch.nn.functional.sigmoid.
    """
    return apply("sigmoid", {}, x)


def tanh(x: T) -> T:
    """The hyperbolic tangent.

    Raises ShapeError for x of other ranks than 2 to 4, TypeError for what is no array of real numbers.
    Source: torch.nn.functional.tanh.
    """
    return apply("tanh", {}, x)


def silu(x: T, inplace: bool = False) -> T:
    """x * sigmoid(x), also called swish.

    Raises ShapeError for x of other ranks than 2 to 4, TypeError for what is no array of real numbers.
    Source: torch.nn.functional.silu.
    """
    return apply("silu", {}, x)


def gelu(x: T, approximate: str = "none") -> T:
    """x * Phi(x) with the normal distribution's Phi; approximate="tanh" uses the tanh formula.

    Raises ShapeError for x of other ranks than 2 to 4, ValueError for other approximations.
    Source: torch.nn.functional.gelu; Hendrycks and Gimpel, "Gaussian Error Linear Units".
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f'gelu: approximate must be "none" or "tanh", got {approximate!r}')
    return apply("gelu", {"approximate": approximate}, x)


def hardswish(x: T, inplace: bool = False) -> T:
    """x * min(max(x + 3, 0), 6) / 6.

    Raises ShapeError for x of other ranks than 2 to 4, TypeError for what is no array of real numbers.
    Source: torch.nn.functional.hardswish.
    """
    return apply("hardswish", {}, x)


def softmax(x: T, dim: int = 1) -> T:
    """exp(x_c) / sum_k exp(x_k) over the channels. x: (N, C, ...). dim: 1 (or the same axis from the end).

    Raises ShapeError for x of other ranks than 2 to 4, ValueError for another dim.
    Source: torch.nn.functional.softmax.
    """
    _channels("softmax", x, dim)
    return apply("softmax", {}, x)


def log_softmax(x: T, dim: int = 1) -> T:
    """x_c - log(sum_k exp(x_k)) over the channels. x: (N, C, ...). dim: 1 (or the same axis from the end).

    Raises ShapeError for x of other ranks than 2 to 4, ValueError for another dim.
    Source: torch.nn.functional.log_softmax.
    """
    _channels("log_softmax", x, dim)
    return apply("log_softmax", {}, x)


def _channels(op: str, x: Any, dim: int) -> None:
    """Checks that dim is the channel axis."""
    axis = integer(op, "dim", dim)
    if axis != 1 and not (axis < 0 and axis + getattr(x, "ndim", 0) == 1):
        raise ValueError(f"{op}: dim must be 1, the channels, got {axis}")
