"""Normalisations within one image: of layers, groups and channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from ..arguments import integer, integers, number
from ..parameter import Variable
from ..symbol import Operand, Symbol, T
from .combine import batch_norm
from .dispatch import apply, shape_of
from .shape import reshape


def layer_norm(
    x: T,
    normalized_shape: int | Sequence[int],
    weight: Operand | None = None,
    bias: Operand | None = None,
    eps: float = 1e-5,
) -> T:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes of x, whose sizes are normalized_shape.

    weight and bias: of normalized_shape, or None. The variance is the biased one.
    Raises ShapeError where shapes do not fit, ValueError unless eps is positive.
    Source: torch.nn.functional.layer_norm; Ba, Kiros and Hinton, "Layer Normalization".
    """
    op, shape = "layer_norm", shape_of(x)
    sizes = _shape_of(op, normalized_shape)
    axis = len(shape) - len(sizes)
    if axis < 0 or not sizes or list(shape[axis:]) != sizes:
        raise _core.ShapeError(f"{op}: normalized_shape must be the last sizes of x, got {sizes} for x of {shape}")
    traced, given = isinstance(x, Symbol), (("weight", weight), ("bias", bias))
    weights = [_in_front(op, name, w, axis, sizes, traced) for name, w in given]
    return apply(op, {"axis": axis, "eps": number(op, "eps", eps)}, x, *weights)


def _shape_of(op: str, normalized_shape: Any) -> list[int]:
    if hasattr(normalized_shape, "__len__"):
        return integers(op, "normalized_shape", normalized_shape)
    return [integer(op, "normalized_shape", normalized_shape)]


def _in_front(op: str, name: str, w: Any, axis: int, sizes: Sequence[int], traced: bool) -> Any:
    """w with x's rank. The tracer does this for parameters."""
    if w is None:
        return None
    if list(shape_of(w)) != list(sizes):
        raise _core.ShapeError(f"{op}: {name} must have shape {tuple(sizes)}, got {tuple(shape_of(w))}")
    padded = [1] * axis + list(sizes)
    if isinstance(w, Symbol):
        return reshape(w, padded)
    return w if traced and isinstance(w, Variable) else np.asarray(w).reshape(padded)


def group_norm(
    x: T, num_groups: int, weight: Operand | None = None, bias: Operand | None = None, eps: float = 1e-5
) -> T:
    """(x - mean) / sqrt(var + eps) * weight + bias: mean and biased variance of each image's groups of channels.

    x: (N, C, ...); weight and bias: (C,), or None.
    Raises ShapeError where shapes do not fit or num_groups does not divide C, ValueError unless eps is positive.
    Source: torch.nn.functional.group_norm; Wu and He, "Group Normalization".
    """
    op = "group_norm"
    attributes = {"num_groups": integer(op, "num_groups", num_groups), "eps": number(op, "eps", eps)}
    return apply(op, attributes, x, weight, bias)


def instance_norm(
    x: T,
    running_mean: Operand | None = None,
    running_var: Operand | None = None,
    weight: Operand | None = None,
    bias: Operand | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> T:
    """(x - mean) / sqrt(var + eps) * weight + bias: mean and biased variance of each image's channels.

    x: (N, C, ...); weight and bias: (C,), or None. use_input_stats=False: running_mean and running_var, (C,), instead.
    Running statistics are not updated: beside use_input_stats they are refused, and momentum is ignored.
    Raises ShapeError where shapes do not fit, ValueError for settings out of range and refused statistics.
    Source: torch.nn.functional.instance_norm; Ulyanov et al., "Instance Normalization".
    """
    op = "instance_norm"
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, eps=eps)
    if running_mean is not None or running_var is not None:
        raise ValueError(f"{op}: running statistics are not updated; give them with use_input_stats=False")
    return apply(op, {"eps": number(op, "eps", eps)}, x, weight, bias)
