"""Linear, Flatten and Identity."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..arguments import integer
from ..parameter import Parameter
from ..symbol import Symbol
from . import init
from .module import Module


class Linear(Module):
    """x @ weight.T + bias. (N, in_features) to (N, out_features).

    weight: (out_features, in_features) and bias: (out_features,), both first uniform in +-1 / sqrt(in_features).
    Raises TypeError or ValueError for wrong settings; in use, what `functional.linear` raises.
    Source: torch.nn.Linear.
    """

    settings = ("in_features", "out_features")
    bias: Parameter | None

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.in_features = integer("Linear", "in_features", in_features)
        self.out_features = integer("Linear", "out_features", out_features)
        self.weight = init.empty("Linear", self.out_features, self.in_features)
        self.bias = init.empty("Linear", self.out_features) if bias else None
        if not init.is_blank():
            init.default_(self.weight, self.bias)

    def config(self) -> dict[str, Any]:
        return super().config() | {"bias": self.bias is not None}

    def forward(self, x: Symbol) -> Symbol:
        return F.linear(x, self.weight, self.bias)


class Flatten(Module):
    """(N, C, H, W) to (N, C*H*W), channels first as in PyTorch.

    Raises TypeError or ValueError for wrong settings; in use, what `functional.flatten` raises.
    Source: torch.nn.Flatten.
    """

    settings = ("start_dim",)

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = integer("Flatten", "start_dim", start_dim)
        if integer("Flatten", "end_dim", end_dim) != -1:
            raise ValueError(f"Flatten: end_dim must be -1, the last axis, got {end_dim}")

    def forward(self, x: Symbol) -> Symbol:
        return F.flatten(x, self.start_dim)


class Identity(Module):
    """Gives what it takes, to stand in for another layer: arguments are ignored. Raises nothing.

    Source: torch.nn.Identity.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, x: Symbol) -> Symbol:
        return x
