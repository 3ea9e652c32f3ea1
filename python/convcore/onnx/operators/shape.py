# SPDX-License-Identifier: BSD-3-Clause
"""Ops that change places but no values."""

from __future__ import annotations

import math

import numpy as np

from ... import functional as F
from ...functional.dispatch import apply
from ..node import Node, Value
from ..registry import operator
from .movement import permute


@operator("Reshape", shapes=(1,))
def reshape(node: Node, x: Value, shape: Value) -> Value:
    return x.reshaped(target_shape(x.shape, shape, bool(node.get("allowzero", 0))))


def target_shape(own: tuple[int, ...], shape: Value, allow_zero: bool) -> list[int]:
    """The shape that Reshape gives: 0 keeps a size, unless allowed; one size may be -1, what the others leave."""
    given, size = shape.ints("shape"), math.prod(own)
    sizes = given if allow_zero else [own[i] if s == 0 and i < len(own) else s for i, s in enumerate(given)]
    if sizes.count(-1) == 1:
        known = math.prod(s for s in sizes if s != -1)
        sizes = [s if s != -1 else size // known if known else 0 for s in sizes]
    if math.prod(sizes) != size or any(s < 0 for s in sizes):
        raise ValueError(f"{own} cannot be made {given}")
    return sizes


@operator("Rearrange", shapes=(1, 2))
def rearrange(node: Node, x: Value, first: Value, second: Value) -> Value:
    """Reshape, Transpose and Reshape as one: see `convcore.onnx.patterns`."""
    view = target_shape(x.shape, first, bool(node.get("view_allowzero")))
    turned = tuple(view[p] for p in node.get("perm"))
    shape = target_shape(turned, second, bool(node.get("allowzero")))
    attributes = {"view": view, "perm": node.get("perm"), "shape": shape or [1]}
    return Value(apply("rearrange", attributes, x.data), x.dtype, shape)


@operator("Flatten")
def flatten(node: Node, x: Value) -> Value:
    axis = node.get("axis", 1)
    axis = axis if axis == x.ndim else x.axis(axis)
    return x.reshaped((math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@operator("Transpose")
def transpose(node: Node, x: Value) -> Value:
    return permute(x, node.get("perm") or range(x.ndim - 1, -1, -1)) if x.ndim else x


@operator("Squeeze", shapes=(1,))
def squeeze(node: Node, x: Value, axes: Value | None = None) -> Value:
    given = axes.ints("axes") if axes is not None else node.get("axes")
    over = {x.axis(a) for a in given} if given is not None else {i for i, s in enumerate(x.shape) if s == 1}
    if any(x.shape[a] != 1 for a in over):
        raise ValueError(f"axes {sorted(over)} of {x.shape} are not all of size 1")
    return x.reshaped([s for i, s in enumerate(x.shape) if i not in over])


@operator("Unsqueeze", shapes=(1,))
def unsqueeze(node: Node, x: Value, axes: Value | None = None) -> Value:
    given = axes.ints("axes") if axes is not None else node.get("axes")
    new = {x.axis(a, len(given)) for a in given}
    if len(new) < len(given):
        raise ValueError(f"axes must differ, got {list(given)}")
    rest = iter(x.shape)
    return x.reshaped([1 if i in new else next(rest) for i in range(x.ndim + len(given))])


@operator("Expand", shapes=(1,))
def expand(node: Node, x: Value, shape: Value) -> Value:
    sizes = np.broadcast_shapes(x.shape, tuple(shape.ints("shape")))
    return x.reshaped(sizes) if math.prod(sizes) == x.size else Value(F.expand(x.data, sizes), x.dtype)


@operator("Tile", shapes=(1,))
def tile(node: Node, x: Value, repeats: Value) -> Value:
    times = repeats.ints("repeats")
    return x if all(t == 1 for t in times) else Value(F.tile(x.data, times), x.dtype)


@operator("Shape")
def shape(node: Node, x: Value) -> Value:
    """Known when the model is traced."""
    return Value(np.array(x.shape[slice(node.get("start", 0), node.get("end"))], np.int64))


@operator("Size")
def size(node: Node, x: Value) -> Value:
    return Value(np.array(x.size, np.int64))


@operator("Constant", "ConstantOfShape", "Range", shapes=(0, 1, 2))
def constant(node: Node, *inputs: Value) -> Value:
    """Computed with NumPy, when the model is traced at the latest."""
    for value in inputs:
        value.constant("the inputs")
    raise ValueError("its inputs must be known")


@operator("DepthToSpace", "SpaceToDepth")
def depth_to_space(node: Node, x: Value) -> Value:
    """One rearrangement: (N, C, H, W) seen with the blocks' axes, those in another order, and as maps again."""
    (n, c, h, w), r = x.shape, node.get("blocksize")
    if node.op == "SpaceToDepth":
        perm = [0, 3, 5, 1, 2, 4] if node.get("mode", "DCR") == "DCR" else [0, 1, 3, 5, 2, 4]
        view, to = [n, c, h // r, r, w // r, r], [n, c * r * r, h // r, w // r]
    elif node.get("mode", "DCR") == "DCR":
        view, perm, to = [n, r, r, c // (r * r), h, w], [0, 3, 4, 1, 5, 2], [n, c // (r * r), h * r, w * r]
    else:
        view, perm, to = [n, c // (r * r), r, r, h, w], [0, 1, 4, 2, 5, 3], [n, c // (r * r), h * r, w * r]
    return Value(apply("rearrange", {"view": view, "perm": perm, "shape": to}, x.data), x.dtype)
