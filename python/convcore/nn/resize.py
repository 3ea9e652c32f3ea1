"""Resizing layers."""

from __future__ import annotations

from collections.abc import Sequence

from .. import functional as F
from ..arguments import integer, integers, number, numbers
from ..symbol import Symbol
from .module import Module


class Upsample(Module):
    """Maps in another size, `functional.interpolate`. (N, C, ...) to (N, C, ...).

    size or scale_factor: one number, or one per axis. mode: "nearest", "linear", "bilinear", "bicubic", "trilinear".
    Raises TypeError for wrong types, ValueError unless one of size and scale_factor is given; in use, what
    `functional.interpolate` raises.
    Source: torch.nn.Upsample.
    """

    settings = ("size", "scale_factor", "mode", "align_corners")

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        name = "Upsample"
        if (size is None) == (scale_factor is None):
            raise ValueError(f"{name}: one of size and scale_factor must be given, got {size} and {scale_factor}")
        self.size = size
        if size is not None:
            self.size = integers(name, "size", size) if hasattr(size, "__len__") else integer(name, "size", size)
        self.scale_factor = scale_factor
        if scale_factor is not None:
            several = hasattr(scale_factor, "__len__")
            self.scale_factor = (numbers if several else number)(name, "scale_factor", scale_factor)
        self.mode = str(mode)
        self.align_corners = align_corners

    def forward(self, x: Symbol) -> Symbol:
        return F.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)
