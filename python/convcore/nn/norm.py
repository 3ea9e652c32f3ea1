"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import functional as F
from ..arguments import integer, integers, number
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


class BatchNorm3d(_BatchNorm):
    """`BatchNorm2d` for (N, C, D, H, W).

    Raises TypeError or ValueError for wrong settings, ValueError for input of another rank.
    Source: torch.nn.BatchNorm3d.
    """

    _ranks = (5,)


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes of x, whose sizes are normalized_shape.

    weight starts at 1, bias at 0; elementwise_affine=False has neither, bias=False no bias.
    Raises TypeError or ValueError for wrong settings; in use, what `functional.layer_norm` raises.
    Source: torch.nn.LayerNorm.
    """

    settings = ("normalized_shape", "eps", "elementwise_affine")
    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        name, several = "LayerNorm", hasattr(normalized_shape, "__len__")
        read = integers if several else integer
        sizes: Any = read(name, "normalized_shape", normalized_shape)
        self.normalized_shape: list[int] = list(sizes) if several else [sizes]
        self.eps = number(name, "eps", eps)
        self.elementwise_affine = bool(elementwise_affine)
        self.weight, self.bias = _affine(name, self.normalized_shape, self.elementwise_affine, bias)
        check_settings(name, lambda x: F.group_norm(x, 1, eps=self.eps))

    def config(self) -> dict[str, Any]:
        return super().config() | {"bias": self.bias is not None or not self.elementwise_affine}

    def forward(self, x: Symbol) -> Symbol:
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class GroupNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias with statistics of each image's groups of channels. Any (N, C, ...).

    weight starts at 1, bias at 0; affine=False has neither. Source: torch.nn.GroupNorm.
    Raises TypeError or ValueError for wrong settings; in use, what `functional.group_norm` raises.
    """

    settings = ("num_groups", "num_channels", "eps", "affine")
    weight: Parameter | None
    bias: Parameter | None

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        name = "GroupNorm"
        self.num_groups = integer(name, "num_groups", num_groups)
        self.num_channels = integer(name, "num_channels", num_channels)
        self.eps = number(name, "eps", eps)
        self.affine = bool(affine)
        self.weight, self.bias = _affine(name, [self.num_channels], self.affine)
        check_settings(name, self.forward)
        if self.num_channels % self.num_groups:
            raise ValueError(f"{name}: num_groups must divide {num_channels} channels, got {num_groups}")

    def forward(self, x: Symbol) -> Symbol:
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class _InstanceNorm(Module):
    settings = ("num_features", "eps", "momentum", "affine", "track_running_stats")
    weight: Parameter | None
    bias: Parameter | None
    _rank: int

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
    ) -> None:
        name = type(self).__name__
        if track_running_stats:
            raise ValueError(f"{name}: running statistics are not kept; track_running_stats must be False")
        self.num_features = integer(name, "num_features", num_features)
        self.eps = number(name, "eps", eps)
        self.momentum = number(name, "momentum", momentum)
        self.affine = bool(affine)
        self.track_running_stats = False
        self.weight, self.bias = _affine(name, [self.num_features], self.affine)
        check_settings(name, self._normalize)

    def forward(self, x: Symbol) -> Symbol:
        if x.ndim != self._rank:
            raise ValueError(f"{type(self).__name__}: expected {self._rank}-D input, got shape {x.shape}")
        return self._normalize(x)

    def _normalize(self, x: Symbol) -> Symbol:
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


class InstanceNorm1d(_InstanceNorm):
    """(x - mean) / sqrt(var + eps) of each channel of each sequence of (N, C, L), times weight, plus bias if affine.

    Raises TypeError or ValueError for wrong settings and running statistics, ValueError for input of another rank.
    Source: torch.nn.InstanceNorm1d.
    """

    _rank = 3


class InstanceNorm2d(_InstanceNorm):
    """(x - mean) / sqrt(var + eps) of each channel of each image of (N, C, H, W), times weight, plus bias if affine.

    Raises TypeError or ValueError for wrong settings and running statistics, ValueError for input of another rank.
    Source: torch.nn.InstanceNorm2d.
    """

    _rank = 4


def _affine(name: str, sizes: Sequence[int], affine: bool, bias: bool = True) -> tuple[Parameter | None, ...]:
    """Weight and bias, at 1 and 0."""
    if not affine:
        return None, None
    weight = init.empty(name, *sizes)
    init.ones_(weight)
    return weight, init.empty(name, *sizes) if bias else None


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
