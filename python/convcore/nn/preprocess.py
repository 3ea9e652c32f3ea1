"""What turns images into numbers, as the network's first node."""

from __future__ import annotations

from collections.abc import Sequence

from .. import functional as F
from ..arguments import number, numbers
from ..symbol import Symbol
from .module import Module
from .settings import check_settings


class Normalize(Module):
    """(x * scale - mean) / std. (N, C, H, W), uint8 or float32, to the same shape in float32.

    mean, std: one number, or one per channel, in units of x * scale. Images may so stay bytes until the network.
    Raises TypeError or ValueError for wrong settings; in use, what `functional.normalize` raises.
    Source: torchvision.transforms.Normalize after ToTensor.
    """

    settings = ("mean", "std", "scale")

    def __init__(
        self, mean: float | Sequence[float] = 0.0, std: float | Sequence[float] = 1.0, scale: float = 1 / 255
    ) -> None:
        self.mean = numbers("Normalize", "mean", mean)
        self.std = numbers("Normalize", "std", std)
        self.scale = number("Normalize", "scale", scale)
        check_settings("Normalize", self.forward)

    def forward(self, x: Symbol) -> Symbol:
        return F.normalize(x, self.mean, self.std, self.scale)
