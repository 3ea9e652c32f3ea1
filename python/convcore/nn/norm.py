"""Normalisation layers."""

from __future__ import annotations

from .. import functional as F
from ..arguments import integer, number
from ..parameter import Buffer, Parameter
from ..symbol import Symbol
from . import init
from .module import Module
from .settings import check_settings


class _BatchNorm(Module):
    settings = ("num_features", "eps", "momentum", "affine")
    weight: Parameter | None
    bias: Parameter | None
    _ranks: tuple[int, ...]

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> None:
        name = type(self).__name__
        self.num_features = integer(name, "num_features", num_features)
        self.eps = number(name, "eps", eps)
        self.momentum = number(name, "momentum", momentum)
        self.affine = bool(affine)
        self.weight = init.empty(name, self.num_features) if affine else None
        self.bias = init.empty(name, self.num_features) if affine else None
        self.running_mean = Buffer(init.empty(name, self.num_features).data)
        self.running_var = Buffer(init.empty(name, self.num_features).data)
        init.ones_(self.running_var)
        if self.weight is not None:
            init.ones_(self.weight)
        check_settings(name, self._normalize)

    def forward(self, x: Symbol) -> Symbol:
        if x.ndim not in self._ranks:
            expected = " or ".join(f"{rank}-D" for rank in self._ranks)
            raise ValueError(f"{type(self).__name__}: expected {expected} input, got shape {x.shape}")
        return self._normalize(x)

    def _normalize(self, x: Symbol) -> Symbol:
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            momentum=self.momentum,
            eps=self.eps,
        )


class BatchNorm2d(_BatchNorm):
    """Per channel of (N, C, H, W): (x - mean) / sqrt(var + eps) * weight + bias.

    Training uses the batch's statistics and moves running_mean and running_var towards them by `momentum`; inference
    uses the running ones. weight starts at 1, bias at 0; affine=False has neither. Source: torch.nn.BatchNorm2d.
    Raises TypeError or ValueError for wrong settings, ValueError for input of another rank.
    """

    _ranks = (4,)


class BatchNorm1d(_BatchNorm):
    """`BatchNorm2d` for (N, C) and (N, C, L).

    Raises TypeError or ValueError for wrong settings, ValueError for input of another rank.
    Source: torch.nn.BatchNorm1d.
    """

    _ranks = (2, 3)


class LocalResponseNorm(Module):
    """x_c / (k + alpha/size * sum of x^2 over the `size` channels around c) ** beta. Any (N, C, ...).

    Raises TypeError or ValueError for wrong settings; in use, what `functional.local_response_norm` raises.
    Source: torch.nn.LocalResponseNorm.
    """

    settings = ("size", "alpha", "beta", "k")

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        name = "LocalResponseNorm"
        self.size = integer(name, "size", size)
        self.alpha = number(name, "alpha", alpha)
        self.beta = number(name, "beta", beta)
        self.k = number(name, "k", k)
        check_settings(name, self.forward)

    def forward(self, x: Symbol) -> Symbol:
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)
