# SPDX-License-Identifier: BSD-3-Clause
"""Matrix products."""

from __future__ import annotations

from ... import functional as F
from ..node import Node, Value, aligned, beside
from ..registry import operator
from .movement import permute


@operator("Gemm", weights=(2,), trained=(0, 1, 2))
def gemm(node: Node, a: Value, b: Value, c: Value | None = None) -> Value:
    """alpha A B + beta C, where A and B may be transposed."""
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    if node.get("transA", 0):
        a = permute(beside(b, a), (1, 0))
    turned = bool(node.get("transB", 0))
    plain = alpha == 1 and beta == 1
    if a.is_symbol and turned and (c is None or (plain and c.shape == (b.shape[0],) and not c.is_symbol)):
        y = F.linear(a.data, b.data, None if c is None else c.data)
        return Value(y if alpha == 1 else F.multiply(y, alpha), a.dtype)
    if turned:
        b = permute(beside(a, b), (1, 0))
    y = F.matmul(*aligned(a, b))
    if alpha != 1:
        y = F.multiply(y, alpha)
    result = Value(y, a.dtype)
    if c is None or beta == 0:
        return result
    c = beside(result, c)
    term = c if beta == 1 else c.with_data(F.multiply(c.data, beta))
    return result.with_data(F.add(*aligned(result, term)))


@operator("MatMul", trained=(0, 1))
def matmul(node: Node, a: Value, b: Value) -> Value:
    """As numpy.matmul: vectors become matrices of one row, or column, which the result loses again."""
    left = a.reshaped((1, *a.shape)) if a.ndim == 1 and not _is_variable(a) else a
    right = b.reshaped((*b.shape, 1)) if b.ndim == 1 and not _is_variable(b) else b
    if _is_variable(left) and left.ndim == 1:
        left = beside(b, left).reshaped((1, *left.shape))
    if _is_variable(right) and right.ndim == 1:
        right = beside(a, right).reshaped((*right.shape, 1))
    y = Value(F.matmul(*aligned(left, right)), a.dtype)
    shape = list(y.shape)
    if b.ndim == 1:
        del shape[-1]
    if a.ndim == 1:
        del shape[-1 if b.ndim == 1 else -2]
    return y.reshaped(shape)


def _is_variable(x: Value) -> bool:
    return not (x.is_symbol or x.is_constant)
