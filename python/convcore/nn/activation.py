"""Activation layers: `functional`'s functions of the same names. Any shape in, the same shape out."""

from __future__ import annotations

from .. import functional as F
from ..arguments import integer, number
from ..symbol import Symbol
from .module import Module


class ReLU(Module):
    """max(x, 0). Source: torch.nn.ReLU."""

    def forward(self, x: Symbol) -> Symbol:
        return F.relu(x)


class LeakyReLU(Module):
    """x where x > 0, negative_slope * x elsewhere. Source: torch.nn.LeakyReLU."""

    settings = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = number("LeakyReLU", "negative_slope", negative_slope)

    def forward(self, x: Symbol) -> Symbol:
        return F.leaky_relu(x, self.negative_slope)


class ReLU6(Module):
    """min(max(x, 0), 6). Source: torch.nn.ReLU6."""

    def forward(self, x: Symbol) -> Symbol:
        return F.relu6(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x)). Source: torch.nn.Sigmoid."""

    def forward(self, x: Symbol) -> Symbol:
        return F.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent. Source: torch.nn.Tanh."""

    def forward(self, x: Symbol) -> Symbol:
        return F.tanh(x)


class SiLU(Module):
    """x * sigmoid(x). Source: torch.nn.SiLU."""

    def forward(self, x: Symbol) -> Symbol:
        return F.silu(x)


class GELU(Module):
    """x * Phi(x); approximate: "none" or "tanh". Source: torch.nn.GELU."""

    settings = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Symbol) -> Symbol:
        return F.gelu(x, self.approximate)


class Hardswish(Module):
    """x * min(max(x + 3, 0), 6) / 6. Source: torch.nn.Hardswish."""

    def forward(self, x: Symbol) -> Symbol:
        return F.hardswish(x)


class Softmax(Module):
    """exp(x_c) / sum_k exp(x_k) over the channels of (N, C, ...). dim: 1. Source: torch.nn.Softmax."""

    settings = ("dim",)

    def __init__(self, dim: int = 1) -> None:
        self.dim = integer("Softmax", "dim", dim)

    def forward(self, x: Symbol) -> Symbol:
        return F.softmax(x, self.dim)


class LogSoftmax(Module):
    """x_c - log(sum_k exp(x_k)) over the channels of (N, C, ...). dim: 1. Source: torch.nn.LogSoftmax."""

    settings = ("dim",)

    def __init__(self, dim: int = 1) -> None:
        self.dim = integer("LogSoftmax", "dim", dim)

    def forward(self, x: Symbol) -> Symbol:
        return F.log_softmax(x, self.dim)
