"""Convolution layers."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import functional as F
from ..arguments import IntOrPair, Padding, integer, padding1d, padding2d, pair, single
from ..parameter import Parameter
from ..symbol import Symbol
from . import init
from .module import Module
from .settings import check_settings


class _Conv(Module):
    """What the convolutions share: channels, groups, weight and bias."""

    settings: ClassVar[tuple[str, ...]] = (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
    )
    bias: Parameter | None

    def _set_up(self, in_channels: int, out_channels: int, window: list[int], groups: int, bias: bool) -> None:
        name = type(self).__name__
        self.in_channels = integer(name, "in_channels", in_channels)
        self.out_channels = integer(name, "out_channels", out_channels)
        self.groups = integer(name, "groups", groups)
        if self.groups < 1 or self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"{name}: in_channels and out_channels must be divisible by groups, "
                f"got {in_channels}, {out_channels} and {groups}"
            )
        self.weight = init.empty(name, *self._weight_shape(), *window)
        self.bias = init.empty(name, self.out_channels) if bias else None
        if not init.is_blank():
            init.default_(self.weight, self.bias)
        check_settings(name, self.forward)

    def _weight_shape(self) -> tuple[int, int]:
        return self.out_channels, self.in_channels // self.groups

    def config(self) -> dict[str, Any]:
        return super().config() | {"bias": self.bias is not None}


class Conv2d(_Conv):
    """2-D convolution, `functional.conv2d`. (N, C, H, W) to (N, O, H', W').

    weight: (O, C/groups, kH, kW) and bias: (O,), both first uniform in +-1 / sqrt(C/groups * kH * kW).
    padding: int | (h, w) | ((top, bottom), (left, right)) | "valid" | "same" | "full".
    algorithm: as in `functional.conv2d`. Source: torch.nn.Conv2d.
    Raises TypeError or ValueError for wrong settings; in use, what `functional.conv2d` raises.
    """

    settings = (*_Conv.settings, "algorithm")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        algorithm: str = "auto",
    ) -> None:
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size)
        self.stride = pair("Conv2d", "stride", stride)
        padding2d("Conv2d", padding)
        self.padding = padding
        self.dilation = pair("Conv2d", "dilation", dilation)
        self.algorithm = algorithm
        self._set_up(in_channels, out_channels, self.kernel_size, groups, bias)

    def forward(self, x: Symbol) -> Symbol:
        return F.conv2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            algorithm=self.algorithm,
        )


class Conv1d(_Conv):
    """1-D convolution, `functional.conv1d`. (N, C, L) to (N, O, L').

    weight: (O, C/groups, k); bias: (O,). padding: int | (left, right) | "valid" | "same" | "full".
    Raises TypeError or ValueError for wrong settings; in use, what `functional.conv1d` raises.
    Source: torch.nn.Conv1d.
    """

    settings = (*_Conv.settings, "algorithm")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        algorithm: str = "auto",
    ) -> None:
        self.kernel_size = single("Conv1d", "kernel_size", kernel_size)
        self.stride = single("Conv1d", "stride", stride)
        padding1d("Conv1d", padding)
        self.padding = padding
        self.dilation = single("Conv1d", "dilation", dilation)
        self.algorithm = algorithm
        self._set_up(in_channels, out_channels, [self.kernel_size], groups, bias)

    def forward(self, x: Symbol) -> Symbol:
        return F.conv1d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            algorithm=self.algorithm,
        )


class ConvTranspose2d(_Conv):
    """Transposed 2-D convolution, `functional.conv_transpose2d`. (N, C, H, W) to (N, O, H', W').

    weight: (C, O/groups, kH, kW); bias: (O,). algorithm: as in `functional.conv2d`. Source: torch.nn.ConvTranspose2d.
    Raises TypeError or ValueError for wrong settings; in use, what `functional.conv_transpose2d` raises.
    """

    settings = (*_Conv.settings, "output_padding", "algorithm")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        output_padding: IntOrPair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntOrPair = 1,
        *,
        algorithm: str = "auto",
    ) -> None:
        name = "ConvTranspose2d"
        self.kernel_size = pair(name, "kernel_size", kernel_size)
        self.stride = pair(name, "stride", stride)
        padding2d(name, padding, names=False)
        self.padding = padding
        self.output_padding = pair(name, "output_padding", output_padding)
        self.dilation = pair(name, "dilation", dilation)
        self.algorithm = algorithm
        self._set_up(in_channels, out_channels, self.kernel_size, groups, bias)

    def _weight_shape(self) -> tuple[int, int]:
        return self.in_channels, self.out_channels // self.groups

    def forward(self, x: Symbol) -> Symbol:
        return F.conv_transpose2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
            algorithm=self.algorithm,
        )
