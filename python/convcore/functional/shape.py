"""Functions that change nothing but places: shapes, the order of axes, channels into space and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .. import _core
from ..arguments import axis as axis_of
from ..arguments import integer, integers
from ..symbol import T
from .dispatch import apply, shape_of


def reshape(x: T, shape: Sequence[int]) -> T:
    """x's elements, in the order of its axes, in another shape. One size may be -1: what the others leave.

    Raises ShapeError where the number of elements differs, ValueError for more than one -1. Source: torch.reshape.
    """
    sizes = integers("reshape", "shape", shape)
    total, unknown = math.prod(shape_of(x)), [i for i, size in enumerate(sizes) if size == -1]
    if len(unknown) > 1:
        raise ValueError(f"reshape: shape may hold one -1, got {sizes}")
    if unknown:
        known = math.prod(size for size in sizes if size != -1)
        if known == 0 or total % known:
            raise _core.ShapeError(f"reshape: {shape_of(x)} cannot be made {sizes}")
        sizes[unknown[0]] = total // known
    return apply("rearrange", {"shape": sizes}, x)


def permute(x: T, dims: Sequence[int]) -> T:
    """The axes of x in another order: axis i of the result is axis dims[i] of x.

    Raises ValueError unless dims holds each axis once. Source: torch.permute.
    """
    rank = len(shape_of(x))
    axes = [axis_of("permute", dim, rank) for dim in integers("permute", "dims", dims)]
    return apply("rearrange", {"perm": axes}, x)


def squeeze(x: T, dim: int | Sequence[int] | None = None) -> T:
    """x without its axes of size 1, or without those of `dim` that are of size 1. What is left has one axis at least.

    Raises ValueError for axes that x has not. Source: torch.squeeze.
    """
    shape = shape_of(x)
    if dim is None:
        axes = list(range(len(shape)))
    else:
        given = [dim] if isinstance(dim, int) else integers("squeeze", "dim", dim)
        axes = [axis_of("squeeze", d, len(shape)) for d in given]
    kept = [size for axis, size in enumerate(shape) if axis not in axes or size != 1]
    return apply("rearrange", {"shape": kept or [1]}, x)


def unsqueeze(x: T, dim: int) -> T:
    """x with a new axis of size 1 at `dim`. Raises ValueError unless dim is an axis of the result.

    Source: torch.unsqueeze.
    """
    shape = list(shape_of(x))
    shape.insert(axis_of("unsqueeze", dim, len(shape) + 1), 1)
    return apply("rearrange", {"shape": shape}, x)


def channel_shuffle(x: T, groups: int) -> T:
    """Channels (groups, C / groups) in the order (C / groups, groups). x: (N, C, ...).

    Raises ShapeError unless groups divides C. Source: torch.nn.functional.channel_shuffle; Zhang et al., "ShuffleNet".
    """
    n, c, *space = _image("channel_shuffle", x)
    groups = _divisor("channel_shuffle", "groups", groups, c)
    area = math.prod(space)
    attributes = {"view": [n, groups, c // groups, area], "perm": [0, 2, 1, 3], "shape": [n, c, *space]}
    return apply("rearrange", attributes, x)


def pixel_shuffle(x: T, upscale_factor: int) -> T:
    """(N, C r^2, H, W) to (N, C, H r, W r). Raises ShapeError unless r^2 divides the channels.

    Source: torch.nn.functional.pixel_shuffle; Shi et al., "Real-Time Single Image and Video Super-Resolution".
    """
    n, c, h, w = _image("pixel_shuffle", x, 4)
    r = integer("pixel_shuffle", "upscale_factor", upscale_factor)
    _divisor("pixel_shuffle", "upscale_factor squared", r * r, c)
    view = {"view": [n, c // (r * r), r, r, h, w], "perm": [0, 1, 4, 2, 5, 3], "shape": [n, c // (r * r), h * r, w * r]}
    return apply("rearrange", view, x)


def pixel_unshuffle(x: T, downscale_factor: int) -> T:
    """(N, C, H r, W r) to (N, C r^2, H, W). Raises ShapeError unless r divides H and W.

    Source: torch.nn.functional.pixel_unshuffle.
    """
    n, c, h, w = _image("pixel_unshuffle", x, 4)
    r = _divisor("pixel_unshuffle", "downscale_factor", downscale_factor, math.gcd(h, w))
    view = {"view": [n, c, h // r, r, w // r, r], "perm": [0, 1, 3, 5, 2, 4], "shape": [n, c * r * r, h // r, w // r]}
    return apply("rearrange", view, x)


def _image(op: str, x: object, rank: int | None = None) -> tuple[int, ...]:
    shape = shape_of(x)
    if len(shape) < 3 or (rank and len(shape) != rank):
        raise _core.ShapeError(f"{op}: x must be {'(N, C, H, W)' if rank else '(N, C, ...)'}, got shape {shape}")
    return shape


def _divisor(op: str, name: str, value: int, size: int) -> int:
    value = integer(op, name, value)
    if value < 1 or size % value:
        raise _core.ShapeError(f"{op}: {name} must divide {size}, got {value}")
    return value
