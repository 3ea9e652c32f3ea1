# SPDX-License-Identifier: BSD-3-Clause
"""Images in another size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ...functional.dispatch import apply
from ..node import Node, Value
from ..registry import Constants, operator


def _ints(name: str, value: Value | None) -> list[int] | None:
    return value.ints(name) if value is not None and value.size else None


def _floats(name: str, value: Value | None) -> list[float] | None:
    return [float(v) for v in value.constant(name).reshape(-1)] if value is not None and value.size else None


def _check(node: Node, known: Constants) -> Iterator[str]:
    if node.get("mode", "nearest") not in ("nearest", "linear", "cubic"):
        yield f"mode={node.get('mode')}"


@operator("Resize", shapes=(1, 2, 3), check=_check)
def resize(
    node: Node, x: Value, roi: Value | None = None, scales: Value | None = None, sizes: Value | None = None
) -> Value:
    """By scales, or to sizes, of the axes given."""
    if node.version < 11:  # X, scales
        return _upsample(x, _floats("scales", roi) or [], node.get("mode", "nearest"))
    axes = [x.axis(a) for a in node.get("axes") or range(x.ndim)]
    factors, wanted = _floats("scales", scales), _ints("sizes", sizes)
    if wanted is not None:
        factors = [w / x.shape[a] for w, a in zip(wanted, axes, strict=True)]
        policy = node.get("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            factor = min(factors) if policy == "not_larger" else max(factors)
            factors = [factor] * len(axes)
            wanted = [math.floor(factor * x.shape[a] + 0.5) for a in axes]
    elif factors is None:
        raise ValueError("scales or sizes must be given")
    else:
        wanted = [math.floor(x.shape[a] * f) for a, f in zip(axes, factors, strict=True)]
    scale, size = [1.0] * x.ndim, list(x.shape)
    for axis, f, w in zip(axes, factors, wanted, strict=True):
        scale[axis], size[axis] = f, w
    transform = node.get("coordinate_transformation_mode", "half_pixel")
    attributes: dict[str, Any] = {
        "sizes": size,
        "scales": scale,
        "mode": node.get("mode", "nearest"),
        "coordinate_transformation_mode": transform,
        "nearest_mode": node.get("nearest_mode", "round_prefer_floor"),
        "cubic_coeff_a": float(node.get("cubic_coeff_a", -0.75)),
        "exclude_outside": bool(node.get("exclude_outside", 0)),
        "extrapolation_value": float(node.get("extrapolation_value", 0.0)),
        "antialias": bool(node.get("antialias", 0)),
    }
    if transform == "tf_crop_and_resize":
        given = _floats("roi", roi) or []
        region = [0.0] * x.ndim + [1.0] * x.ndim
        for i, axis in enumerate(axes):
            region[axis], region[axis + x.ndim] = given[i], given[i + len(axes)]
        attributes["roi"] = region
    return Value(apply("resize", attributes, x.data), x.dtype)


@operator("Upsample", shapes=(1,), check=_check)
def upsample(node: Node, x: Value, scales: Value | None = None) -> Value:
    factors = _floats("scales", scales) if scales is not None else node.get("scales")
    return _upsample(x, factors or [], node.get("mode", "nearest"))


def _upsample(x: Value, factors: list[float], mode: str) -> Value:
    """As all resizing was before opset 11."""
    if len(factors) != x.ndim:
        raise ValueError(f"scales must have {x.ndim} values, got {factors}")
    attributes: dict[str, Any] = {
        "sizes": [math.floor(s * f) for s, f in zip(x.shape, factors, strict=True)],
        "scales": list(factors),
        "mode": mode,
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    return Value(apply("resize", attributes, x.data), x.dtype)
