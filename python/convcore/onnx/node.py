# SPDX-License-Identifier: BSD-3-Clause
"""Nodes of an ONNX graph, and the values between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from .. import functional as F
from ..parameter import Variable
from ..symbol import Symbol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True)
class Node:
    """One node. name: its own, or what its op and its first result make. version: the opset that it is of."""

    name: str
    op: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    proto: onnx.NodeProto

    @classmethod
    def read(cls, proto: onnx.NodeProto, version: int) -> Node:
        attributes = {a.name: _plain(onnx.helper.get_attribute_value(a)) for a in proto.attribute}
        first = next((name for name in proto.output if name), "")
        name = proto.name or f"{proto.op_type}:{first}"
        return cls(name, proto.op_type, version, tuple(proto.input), tuple(proto.output), attributes, proto)

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute: a number, a str, or a list of them."""
        return self.attributes.get(name, default)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, (str, int, float)) or hasattr(value, "DESCRIPTOR"):
        return value
    return [_plain(item) for item in value]


MAX_RANK = 6  # of the core's tensors


class Value:
    """What a name of the graph stands for: an array known while tracing, a variable of the model, or a symbol.

    dtype, shape: ONNX's. Symbols are float32 inside whatever the dtype, and of shape (1,) where the shape is ().
    """

    __slots__ = ("data", "dtype", "shape")

    def __init__(
        self, data: Symbol | Variable | NDArray[Any], dtype: DTypeLike | None = None, shape: Sequence[int] | None = None
    ) -> None:
        self.data: Any = data
        self.dtype: np.dtype[Any] = np.dtype(data.dtype if dtype is None else dtype)
        self.shape: tuple[int, ...] = tuple(data.shape if shape is None else shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def is_constant(self) -> bool:
        return isinstance(self.data, np.ndarray)

    @property
    def is_symbol(self) -> bool:
        return isinstance(self.data, Symbol)

    def constant(self, what: str) -> NDArray[Any]:
        """The array. Raises ValueError where it is only known when the model runs."""
        if isinstance(self.data, Symbol):
            raise ValueError(f"{what} must not depend on the values of the model's inputs")
        return np.asarray(self.data)

    def ints(self, what: str) -> list[int]:
        return [int(v) for v in self.constant(what).reshape(-1)]

    def axis(self, axis: int, more: int = 0) -> int:
        """An axis of this value (or of one of `more` axes more), counted from the front."""
        rank = self.ndim + more
        if not -rank <= axis < max(rank, 1):
            raise ValueError(f"axis must be from {-rank} to {rank - 1}, got {axis}")
        return axis % rank if rank else 0

    def reshaped(self, shape: Sequence[int]) -> Value:
        """The same elements in another shape, which may be ()."""
        shape = tuple(shape)
        if self.shape == shape:
            return self
        if self.is_constant:
            return Value(self.data.reshape(shape), self.dtype)
        inside = shape or (1,)
        if len(inside) > MAX_RANK:  # only its shape is of so many axes
            return Value(self.data, self.dtype, shape)
        data = self.data if tuple(self.data.shape) == inside else F.reshape(self.data, inside)
        return Value(data, self.dtype, shape)

    def with_data(self, data: Any, dtype: DTypeLike | None = None) -> Value:
        """The result of an op that keeps the shape, and the type unless given."""
        return Value(data, self.dtype if dtype is None else dtype, self.shape)


def aligned(*values: Value) -> list[Any]:
    """What the values hold, symbols with axes of 1 in front up to the greatest rank: as NumPy broadcasts. The tracer
    does the same for the others."""
    rank = max(1, *(v.ndim for v in values))
    return [v.reshaped((1,) * (rank - v.ndim) + v.shape).data if v.is_symbol else v.data for v in values]


def broadcast(*values: Value) -> tuple[int, ...]:
    """The shape that the values have together."""
    return np.broadcast_shapes(*(v.shape for v in values))


def elementwise(data: Any, dtype: DTypeLike, *values: Value) -> Value:
    """The result of an op on broadcast values."""
    return Value(data, dtype, broadcast(*values))


def computable(array: NDArray[Any]) -> NDArray[Any]:
    """NumPy has no bfloat16 of its own."""
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def beside(x: Value, value: Value) -> Value:
    """The value as a symbol of x's trace, so that functions of one tensor keep a parameter's gradient."""
    if value.is_symbol or not x.is_symbol:
        return value
    data = value.data.reshape(value.shape or (1,)) if value.is_constant else value.data
    return Value(x.data.tracer.emit("channels_last", {}, (data,)), value.dtype, value.shape)


def per_channel(x: Value, vector: Value) -> Any:
    """A vector (C,) as an operand of elementwise functions beside x (N, C, ...)."""
    return beside(x, vector).reshaped((1, vector.size, *[1] * (x.ndim - 2))).data
