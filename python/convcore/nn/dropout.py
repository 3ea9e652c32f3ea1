"""Dropout."""

from __future__ import annotations

from .. import functional as F
from ..arguments import number
from ..symbol import Symbol
from .module import Module


class Dropout(Module):
    """In training, zeroes each element with probability p and scales the rest by 1 / (1 - p); else does nothing.

    Raises TypeError or ValueError for wrong settings; in use, what `functional.dropout` raises.
    Source: torch.nn.Dropout.
    """

    settings = ("p",)

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        self.p = number("Dropout", "p", p)
        if not 0 <= self.p <= 1:
            raise ValueError(f"Dropout: p must be in [0, 1], got {p!r}")

    def forward(self, x: Symbol) -> Symbol:
        return F.dropout(x, self.p)
