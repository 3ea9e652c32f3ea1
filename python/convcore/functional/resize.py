"""Resizing maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import _core
from ..arguments import integers, numbers
from ..symbol import T
from .dispatch import apply, shape_of

_LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}
_MODES = ("nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area")


def interpolate(
    x: T,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    antialias: bool = False,
) -> T:
    """The maps of x in another size. x: (N, C, L), (N, C, H, W) or (N, C, D, H, W).

    size or scale_factor, one number or one per axis: with scale_factor s, sides are floor(s * side), and positions are
    computed with s. mode: "nearest" (which takes the left one, and above), "nearest-exact", "linear" (rank 3),
    "bilinear" and "bicubic" (4), "trilinear" (5), "area" (means; ranks 3 and 4).
    align_corners: the first and last values stand at the corners, for the four interpolating modes.
    antialias: shrinking, filters are widened; for "bilinear" and "bicubic".
    Raises ShapeError for x of other ranks and empty results, ValueError for settings that do not go together.
    Source: torch.nn.functional.interpolate.
    """
    op = "interpolate"
    shape: tuple[int, ...] = shape_of(x)
    if len(shape) not in _LINEAR:
        raise _core.ShapeError(f"{op}: x must be (N, C, L), (N, C, H, W) or (N, C, D, H, W), got shape {shape}")
    filters = {"nearest": "nearest", "nearest-exact": "nearest", _LINEAR[len(shape)]: "linear"}
    if len(shape) == 4:
        filters["bicubic"] = "cubic"
    if mode not in filters and not (mode == "area" and len(shape) < 5):
        raise ValueError(f"{op}: mode must be one of {', '.join(_MODES)}, and of x's rank {len(shape)}, got {mode!r}")
    interpolates = filters.get(mode) in ("linear", "cubic")
    if align_corners is not None and not interpolates:
        raise ValueError(f"{op}: align_corners is for interpolating modes, got mode {mode!r}")
    if antialias and (mode not in ("bilinear", "bicubic") or align_corners):
        raise ValueError(f'{op}: antialias is for modes "bilinear" and "bicubic" without align_corners, got {mode!r}')
    sizes: list[int]
    scales: list[float]
    sizes, scales = _sizes(op, shape[2:], size, scale_factor)
    if mode == "area":
        return apply("adaptive_avg_pool2d", {"output_size": sizes if len(shape) == 4 else [1, *sizes]}, x)
    attributes: dict[str, Any] = {"sizes": [*shape[:2], *sizes], "mode": filters[mode]}
    if scales and not align_corners:
        attributes["scales"] = [1.0, 1.0, *scales]
    if mode == "nearest":
        attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    elif mode == "nearest-exact":
        attributes["nearest_mode"] = "round_prefer_ceil"
    elif align_corners:
        attributes["coordinate_transformation_mode"] = "align_corners"
    if antialias:
        attributes |= {"antialias": True, "exclude_outside": True, "cubic_coeff_a": -0.5}
    return apply("resize", attributes, x)


def _sizes(op: str, sides: Sequence[int], size: Any, scale_factor: Any) -> tuple[list[int], list[float]]:
    """The output's sides, and the scales that were given."""
    if (size is None) == (scale_factor is None):
        raise ValueError(f"{op}: one of size and scale_factor must be given, got size {size}, factor {scale_factor}")
    scales: list[float] = []
    if size is not None:
        sizes = integers(op, "size", size if hasattr(size, "__len__") else [size] * len(sides))
    else:
        scales = numbers(op, "scale_factor", scale_factor)
        scales = scales * len(sides) if len(scales) == 1 else scales
        if not all(math.isfinite(s) and s > 0 for s in scales):
            raise ValueError(f"{op}: scale_factor must be positive and finite, got {scale_factor}")
        sizes = [math.floor(side * s) for side, s in zip(sides, scales, strict=False)]
    if len(sizes) != len(sides):
        raise ValueError(f"{op}: size and scale_factor must hold {len(sides)} values for maps {tuple(sides)}")
    if not all(s > 0 for s in sizes):
        raise _core.ShapeError(f"{op}: the result's sides must be positive, got {sizes} of {tuple(sides)}")
    return sizes, scales
