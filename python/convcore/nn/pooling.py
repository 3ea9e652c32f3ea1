"""Pooling layers."""

from __future__ import annotations

from .. import functional as F
from ..arguments import IntOrPair, pair, single
from ..symbol import Symbol
from .module import Module
from .settings import check_settings


class MaxPool2d(Module):
    """The largest value of each window, `functional.max_pool2d`. (N, C, H, W) to (N, C, H', W').

    stride: kernel_size by default. Source: torch.nn.MaxPool2d.
    Raises TypeError or ValueError for wrong settings; in use, what `functional.max_pool2d` raises.
    """

    settings = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = pair("MaxPool2d", "kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else pair("MaxPool2d", "stride", stride)
        self.padding = pair("MaxPool2d", "padding", padding)
        self.dilation = pair("MaxPool2d", "dilation", dilation)
        self.ceil_mode = ceil_mode
        check_settings("MaxPool2d", self.forward)

    def forward(self, x: Symbol) -> Symbol:
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class MaxPool1d(Module):
    """The largest value of each window, `functional.max_pool1d`. (N, C, L) to (N, C, L').

    Raises TypeError or ValueError for wrong settings; in use, what `functional.max_pool1d` raises.
    Source: torch.nn.MaxPool1d.
    """

    settings = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = single("MaxPool1d", "kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else single("MaxPool1d", "stride", stride)
        self.padding = single("MaxPool1d", "padding", padding)
        self.dilation = single("MaxPool1d", "dilation", dilation)
        self.ceil_mode = ceil_mode
        check_settings("MaxPool1d", self.forward)

    def forward(self, x: Symbol) -> Symbol:
        return F.max_pool1d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class AvgPool2d(Module):
    """The mean of each window, `functional.avg_pool2d`. (N, C, H, W) to (N, C, H', W').

    Raises TypeError or ValueError for wrong settings; in use, what `functional.avg_pool2d` raises.
    Source: torch.nn.AvgPool2d.
    """

    settings = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self.kernel_size = pair("AvgPool2d", "kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else pair("AvgPool2d", "stride", stride)
        self.padding = pair("AvgPool2d", "padding", padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        check_settings("AvgPool2d", self.forward)

    def forward(self, x: Symbol) -> Symbol:
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class AvgPool1d(Module):
    """The mean of each window, `functional.avg_pool1d`. (N, C, L) to (N, C, L').

    Raises TypeError or ValueError for wrong settings; in use, what `functional.avg_pool1d` raises.
    Source: torch.nn.AvgPool1d.
    """

    settings = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self.kernel_size = single("AvgPool1d", "kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else single("AvgPool1d", "stride", stride)
        self.padding = single("AvgPool1d", "padding", padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        check_settings("AvgPool1d", self.forward)

    def forward(self, x: Symbol) -> Symbol:
        return F.avg_pool1d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class SumPool2d(Module):
    """The sum of each window, `functional.sum_pool2d`. (N, C, H, W) to (N, C, H', W').

    Raises TypeError or ValueError for wrong settings; in use, what `functional.sum_pool2d` raises.
    Source: torch.nn.AvgPool2d, with divisor_override=1.
    """

    settings = ("kernel_size", "stride", "padding", "ceil_mode")

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = pair("SumPool2d", "kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else pair("SumPool2d", "stride", stride)
        self.padding = pair("SumPool2d", "padding", padding)
        self.ceil_mode = ceil_mode
        check_settings("SumPool2d", self.forward)

    def forward(self, x: Symbol) -> Symbol:
        return F.sum_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode)


class AdaptiveAvgPool2d(Module):
    """Means of windows that cover the map evenly. (N, C, H, W) to (N, C, *output_size).

    Raises TypeError or ValueError for wrong settings; in use, what `functional.adaptive_avg_pool2d` raises.
    Source: torch.nn.AdaptiveAvgPool2d.
    """

    settings = ("output_size",)

    def __init__(self, output_size: IntOrPair) -> None:
        self.output_size = pair(type(self).__name__, "output_size", output_size)
        check_settings("AdaptiveAvgPool2d", self.forward)

    def forward(self, x: Symbol) -> Symbol:
        return F.adaptive_avg_pool2d(x, self.output_size)


class AdaptiveMaxPool2d(Module):
    """Maxima of windows that cover the map evenly. (N, C, H, W) to (N, C, *output_size).

    Raises TypeError or ValueError for wrong settings; in use, what `functional.adaptive_max_pool2d` raises.
    Source: torch.nn.AdaptiveMaxPool2d.
    """

    settings = ("output_size",)

    def __init__(self, output_size: IntOrPair) -> None:
        self.output_size = pair(type(self).__name__, "output_size", output_size)
        check_settings("AdaptiveMaxPool2d", self.forward)

    def forward(self, x: Symbol) -> Symbol:
        return F.adaptive_max_pool2d(x, self.output_size)


class GlobalAvgPool2d(Module):
    """The mean of each map. (N, C, H, W) to (N, C, 1, 1).

    Raises, in use, what `functional.global_avg_pool2d` raises. Source: Lin et al., "Network in Network".
    """

    def forward(self, x: Symbol) -> Symbol:
        return F.global_avg_pool2d(x)


class GlobalMaxPool2d(Module):
    """The maximum of each map. (N, C, H, W) to (N, C, 1, 1).

    Raises, in use, what `functional.global_max_pool2d` raises. Source: torch.nn.AdaptiveMaxPool2d(1).
    """

    def forward(self, x: Symbol) -> Symbol:
        return F.global_max_pool2d(x)
