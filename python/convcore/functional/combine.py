"""Layers without memory that are neither windows nor activations: products, sums, joins, reshapes, normalisations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core, rng
from ..arguments import axis, integer, number, numbers
from ..parameter import Variable, clock
from ..symbol import Array, Operand, Symbol, T
from .dispatch import apply, arrays, shape_of
from .shape import reshape

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def linear(x: T, weight: Operand, bias: Operand | None = None) -> T:
    """x @ weight.T + bias. x: (N, I); weight: (O, I); bias: (O,) or None. Returns (N, O).

    Raises ShapeError where shapes do not fit, TypeError for wrong types.
    Source: torch.nn.functional.linear.
    """
    return apply("linear", {}, x, weight, bias)


def flatten(x: T, start_dim: int = 1, end_dim: int = -1) -> T:
    """(N, C, H, W) to (N, C*H*W), in PyTorch's order: channels first, then rows.

    Raises ValueError for axes that x has not, or that are not the last ones. Source: torch.flatten.
    """
    if integer("flatten", "end_dim", end_dim) not in (-1, getattr(x, "ndim", 0) - 1):
        raise ValueError(f"flatten: end_dim must be -1, the last axis, got {end_dim}")
    return apply("flatten", {"start_dim": integer("flatten", "start_dim", start_dim)}, x)


def concat(xs: Sequence[T], dim: int = 1) -> T:
    """Joins along an axis, by default the channels. xs: one or more of one rank that agree in all other axes.

    Raises ShapeError where shapes do not agree, ValueError for no arrays or a dim they have not, TypeError for no list.
    Source: torch.cat.
    """
    if isinstance(xs, (str, bytes, Symbol, np.ndarray)) or not isinstance(xs, Sequence):
        raise TypeError(f"concat: xs must be a list or tuple of arrays, got {type(xs).__name__}")
    if not xs:
        raise ValueError("concat: xs must hold at least one array, got none")
    return apply("concat", {"axis": axis("concat", dim, len(shape_of(xs[0])))}, xs[0], *xs[1:])


def normalize(
    x: T, mean: float | Sequence[float] = 0.0, std: float | Sequence[float] = 1.0, scale: float = 1 / 255
) -> T:
    """(x * scale - mean) / std: the first node of a network, which takes the images' bytes.

    x: (N, C, H, W), uint8 or float32; mean, std: one number, or one per channel, in units of x * scale.
    Raises ShapeError where mean or std have another length, ValueError for settings out of range.
    Source: torchvision.transforms.Normalize after ToTensor.
    """
    op = "normalize"
    attributes: dict[str, Any] = {
        "scale": number(op, "scale", scale),
        "mean": numbers(op, "mean", mean),
        "std": numbers(op, "std", std),
    }
    return apply(op, attributes, x)


def batch_norm(
    x: T,
    running_mean: Operand | None,
    running_var: Operand | None,
    weight: Operand | None = None,
    bias: Operand | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> T:
    """(x - mean) / sqrt(var + eps) * weight + bias, per channel. x: (N, C, ...), rank 2 to 5; the others (C,) or None.

    training: mean and (biased) variance are the batch's, and the running ones move towards them (the variance
    unbiased) by `momentum`, in place: arrays must then be float32 and writable. Else mean and variance are the running
    ones.
    On symbols the program's mode decides instead.
    Raises ShapeError where shapes do not fit, ValueError for settings out of range and for running arrays that cannot
    be written to.
    Source: torch.nn.functional.batch_norm; Ioffe and Szegedy, "Batch Normalization".
    """
    op, shape = "batch_norm", shape_of(x)
    if len(shape) == 5:
        n, c, d, h, w = shape
        maps = reshape(x, (n, c, d, h * w))
        y = batch_norm(maps, running_mean, running_var, weight, bias, training, momentum, eps)
        return reshape(y, shape)
    attributes = {"eps": number(op, "eps", eps), "momentum": number(op, "momentum", momentum)}
    if running_mean is None and running_var is None and training and not isinstance(x, Symbol):
        channels = shape[1] if len(shape) > 1 else 1
        running_mean, running_var = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    if running_mean is None or running_var is None:
        raise TypeError(f"{op}: running_mean and running_var are needed (both may be None with arrays in training)")
    if isinstance(x, Symbol):
        return apply(op, attributes, x, weight, bias, running_mean, running_var)
    running: list[Any] = [s.memory if isinstance(s, Variable) else s for s in (running_mean, running_var)]
    result: Array = _core.forward(op, attributes, [*arrays([x, weight, bias]), *running], bool(training))[0]
    if training:
        clock.stamp([s for s in (running_mean, running_var) if isinstance(s, Variable)])
    return result


def local_response_norm(x: T, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> T:
    """x_c / (k + alpha/size * sum of x^2 over the `size` channels around c) ** beta. x: (N, C, ...).

    Raises ShapeError for x without maps, ValueError for settings out of range.
    Source: torch.nn.functional.local_response_norm; Krizhevsky et al., "ImageNet Classification with Deep CNNs".
    """
    op = "local_response_norm"
    attributes = {
        "size": integer(op, "size", size),
        "alpha": number(op, "alpha", alpha),
        "beta": number(op, "beta", beta),
        "k": number(op, "k", k),
    }
    return apply(op, attributes, x)


def dropout(x: T, p: float = 0.5, training: bool = True, inplace: bool = False) -> T:
    """Zeroes each element with probability p and scales the rest by 1 / (1 - p), in training; else returns x.

    The random numbers follow `manual_seed`. On symbols the program's mode decides.
    Raises ShapeError for x of other ranks than 2 to 4, ValueError unless p is in [0, 1].
    Source: torch.nn.functional.dropout; Srivastava et al., "Dropout".
    """
    attributes = {"p": number("dropout", "p", p)}
    if isinstance(x, Symbol):
        return apply("dropout", attributes, x)
    y: Array = _core.forward("dropout", attributes, arrays([x]), bool(training), rng.initial_seed(), rng.next_step())[0]
    return y


def correct_count(logits: T, labels: ArrayLike | Symbol) -> T:
    """How many rows of logits (N, C) have their largest value at the label (N,). A scalar float32.

    Raises ShapeError where shapes do not fit, TypeError for labels that are no integers. Source: CS231n, "Image
    Classification": accuracy.
    """
    return apply("correct_count", {}, logits, labels)
