"""Activation layers: `functional`'s functions of the same names. Any shape of 1 to 6 axes in, the same
out.

`inplace` is PyTorch's and changes nothing: what memory a program needs, it plans itself.
"""

from __future__ import annotations

from .. import functional as F
from ..arguments import integer, number
from ..symbol import Symbol
from .module import Module
from .settings import check_settings


class ReLU(Module):
    """max(x, 0).

    Raises, in use, what `functional.relu` raises. Source: torch.nn.ReLU.
    """

    def __init__(self, inplace: bool = False) -> None:
        pass

    def forward(self, x: Symbol) -> Symbol:
        return F.relu(x)


class LeakyReLU(Module):
    """x where x > 0, negative_slope * x elsewhere.

    Raises TypeError or ValueError for wrong settings; in use, what `functional.leaky_relu` raises.
    Source: torch.nn.LeakyReLU.
    """

    settings = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope = number("LeakyReLU", "negative_slope", negative_slope)

    def forward(self, x: Symbol) -> Symbol:
        return F.leaky_relu(x, self.negative_slope)


class ReLU6(Module):
    """min(max(x, 0), 6).

    Raises, in use, what `functional.relu6` raises. Source: torch.nn.ReLU6.
    """

    def __init__(self, inplace: bool = False) -> None:
        pass

    def forward(self, x: Symbol) -> Symbol:
        return F.relu6(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x)).

    Raises, in use, what `functional.sigmoid` raises. Source: torch.nn.Sigmoid.
    """

    def forward(self, x: Symbol) -> Symbol:
        return F.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent.

    Raises, in use, what `functional.tanh` raises. Source: torch.nn.Tanh.
    """

    def forward(self, x: Symbol) -> Symbol:
        return F.tanh(x)


class SiLU(Module):
    """x * sigmoid(x).

    Raises, in use, what `functional.silu` raises. Source: torch.nn.SiLU.
    """

    def __init__(self, inplace: bool = False) -> None:
        pass

    def forward(self, x: Symbol) -> Symbol:
        return F.silu(x)


class GELU(Module):
    """x * Phi(x); approximate: "none" or "tanh".

    Raises TypeError or ValueError for wrong settings; in use, what `functional.gelu` raises. Source: torch.nn.GELU.
    """

    settings = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate
        check_settings("GELU", self.forward)

    def forward(self, x: Symbol) -> Symbol:
        return F.gelu(x, self.approximate)


class Hardswish(Module):
    """x * min(max(x + 3, 0), 6) / 6.

    Raises, in use, what `functional.hardswish` raises. Source: torch.nn.Hardswish.
    """

    def __init__(self, inplace: bool = False) -> None:
        pass

    def forward(self, x: Symbol) -> Symbol:
        return F.hardswish(x)


class Softmax(Module):
    """exp(x_c) / sum_k exp(x_k) along an axis; by default the channels of (N, C, ...).

    Raises TypeError or ValueError for wrong settings; in use, what `functional.softmax` raises.
    Source: torch.nn.Softmax.
    """

    settings = ("dim",)

    def __init__(self, dim: int = 1) -> None:
        self.dim = integer("Softmax", "dim", dim)

    def forward(self, x: Symbol) -> Symbol:
        return F.softmax(x, self.dim)


class LogSoftmax(Module):
    """x_c - log(sum_k exp(x_k)) along an axis; by default the channels of (N, C, ...).

    Raises TypeError or ValueError for wrong settings; in use, what `functional.log_softmax` raises.
    Source: torch.nn.LogSoftmax.
    """

    settings = ("dim",)

    def __init__(self, dim: int = 1) -> None:
        self.dim = integer("LogSoftmax", "dim", dim)

    def forward(self, x: Symbol) -> Symbol:
        return F.log_softmax(x, self.dim)
