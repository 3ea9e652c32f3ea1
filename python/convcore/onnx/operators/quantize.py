# SPDX-License-Identifier: BSD-3-Clause
"""Numbers as integers times a scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import functional as F
from ..node import Node, Value, aligned
from ..registry import operator

_INTEGERS = {
    np.dtype(t): (np.iinfo(t).min, np.iinfo(t).max) for t in (np.int8, np.uint8, np.int16, np.uint16, np.int32)
}


def along(x: Value, node: Node, value: Value) -> Any:
    """One number, one for each index of the axis, or one for each block of indices, as an operand beside x."""
    array = value.constant("scale and zero point").astype(np.float32)
    if array.size == 1:
        return array.reshape(1)
    axis = x.axis(node.get("axis", 1))
    if array.ndim == 1 and x.ndim > 1:
        array = array.reshape([array.size if i == axis else 1 for i in range(x.ndim)])
    blocks = node.get("block_size", 0)
    return np.take(np.repeat(array, blocks, axis), range(x.shape[axis]), axis) if blocks else array


@operator("QuantizeLinear", shapes=(1, 2))
def quantize(node: Node, x: Value, scale: Value, zero: Value | None = None) -> Value:
    """clamp(round(x / scale) + zero), rounded half to even."""
    import onnx

    dtype = np.dtype(np.uint8)
    if zero is not None:
        dtype = zero.dtype
    elif node.get("output_dtype", 0):
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(node.get("output_dtype")))
    if dtype not in _INTEGERS:
        raise ValueError(f"quantizing to {dtype} is not supported")
    y = F.round(F.divide(*aligned(x, Value(along(x, node, scale)))))
    if zero is not None:
        y = F.add(*aligned(Value(y), Value(along(x, node, zero))))
    return x.with_data(F.clamp(y, *(float(v) for v in _INTEGERS[dtype])), dtype)


@operator("DequantizeLinear", shapes=(1, 2))
def dequantize(node: Node, x: Value, scale: Value, zero: Value | None = None) -> Value:
    """(x - zero) * scale"""
    y = x.data
    if zero is not None:
        y = F.subtract(*aligned(x, Value(along(x, node, zero))))
    y = F.multiply(*aligned(Value(y), Value(along(x, node, scale))))
    return x.with_data(y, scale.dtype)
