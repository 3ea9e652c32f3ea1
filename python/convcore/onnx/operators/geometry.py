# SPDX-License-Identifier: BSD-3-Clause
"""Windows as ONNX gives them: kernel, strides, dilations and pads of each axis, or auto_pad's name of a rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..node import Node


@dataclass(frozen=True)
class Window:
    """One axis. size: of the input; output: how many windows there are."""

    size: int
    kernel: int
    stride: int
    dilation: int
    begin: int
    end: int
    output: int

    @property
    def reach(self) -> int:
        return self.dilation * (self.kernel - 1) + 1


def windows(node: Node, space: Sequence[int], kernel: Sequence[int]) -> list[Window]:
    """The windows of a convolution or a pooling over an image of this size."""
    rank = len(space)
    if len(kernel) != rank:
        raise ValueError(f"kernel_shape must have {rank} values, got {list(kernel)}")
    strides, dilations = each(node, "strides", rank, 1), each(node, "dilations", rank, 1)
    pads = each(node, "pads", 2 * rank, 0)
    rule, ceil = node.get("auto_pad", "NOTSET"), bool(node.get("ceil_mode", 0))
    found = []
    for i, (size, k, stride, dilation) in enumerate(zip(space, kernel, strides, dilations, strict=True)):
        reach = dilation * (k - 1) + 1
        begin, end = pads[i], pads[i + rank]
        if rule in ("SAME_UPPER", "SAME_LOWER"):
            begin, end = same(rule, max((-(-size // stride) - 1) * stride + reach - size, 0))
        elif rule == "VALID":
            begin = end = 0
        over = size + begin + end - reach
        if over < 0 or k < 1:
            raise ValueError(f"a window of {reach} does not fit into {size} + {begin} + {end}")
        output = over // stride + 1
        if ceil and over % stride and output * stride < size + begin:  # the last one must not begin in the padding
            output += 1
        found.append(Window(size, k, stride, dilation, begin, end, output))
    return found


def same(rule: str, total: int) -> tuple[int, int]:
    """Padding before and behind; the odd one is behind for SAME_UPPER."""
    small, large = total // 2, total - total // 2
    return (small, large) if rule == "SAME_UPPER" else (large, small)


def each(node: Node, name: str, count: int, default: int) -> list[int]:
    """An attribute of `count` values, none of which is less than the default, 0 or 1."""
    values = node.get(name) or [default] * count
    if len(values) != count or min(values) < default:
        raise ValueError(f"{name} must have {count} values of at least {default}, got {values}")
    return [int(v) for v in values]


def flat(values: Sequence[int], front: int) -> list[int]:
    """A setting of one axis as one of two, the first of which does nothing."""
    return [front, *values] if len(values) == 1 else list(values)
