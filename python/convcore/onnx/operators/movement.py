# SPDX-License-Identifier: BSD-3-Clause
"""The core's ops that move elements, on values."""

from __future__ import annotations

from collections.abc import Sequence

from ... import functional as F
from ...functional.dispatch import apply
from ..node import Value
from .geometry import Window


def pad(x: Value, pads: Sequence[int], mode: str = "constant", fill: float = 0.0) -> Value:
    """pads: how much in front of each axis, then behind each; negative ones cut off."""
    if not any(pads):
        return x
    return Value(apply("pad", {"pads": list(pads), "mode": mode, "value": fill}, x.data), x.dtype)


def pad_image(x: Value, axes: Sequence[Window], fill: float) -> Value:
    """The image with as much around it as its windows reach."""
    front = [0] * (x.ndim - len(axes))
    ends = [max((w.output - 1) * w.stride + w.reach - w.size - w.begin, 0) for w in axes]
    return pad(x, [*front, *(w.begin for w in axes), *front, *ends], "constant", fill)


def permute(x: Value, dims: Sequence[int]) -> Value:
    if list(dims) == list(range(x.ndim)):
        return x
    if x.is_constant:
        return Value(x.data.transpose(dims), x.dtype)
    return Value(F.permute(x.data, dims), x.dtype)
