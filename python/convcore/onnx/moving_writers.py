# SPDX-License-Identifier: BSD-3-Clause
"""Shapes, parts and reductions in ONNX; as `convcore.onnx.writers`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx

from .writers import Step, Writer, writes


@writes("flatten")
def _flatten(w: Writer, s: Step) -> str:
    return w.node("Flatten", s.inputs, name=s.name, axis=s.attributes.get("start_dim", 1))


@writes("rearrange")
def _rearrange(w: Writer, s: Step) -> str:
    """Seen in another shape, its axes in another order, and in another shape again."""
    x, a, shape = s.inputs[0], s.attributes, s.shapes[0]
    if "view" in a and tuple(a["view"]) != shape:
        shape = tuple(a["view"])
        x = w.node("Reshape", [x, w.ints(shape)], name=f"{s.name}.view", allowzero=1)
    if "perm" in a:
        shape = tuple(shape[p] for p in a["perm"])
        x = w.node("Transpose", [x], name=s.name, perm=list(a["perm"]))
    if shape == s.outputs[0]:
        return x
    return w.node("Reshape", [x, w.ints(s.outputs[0])], name=s.name, allowzero=1)


@writes("slice")
def _slice(w: Writer, s: Step) -> str:
    a = s.attributes
    ends = [
        first + step * size if step > 0 or first + step * size >= 0 else -(1 << 60)
        for first, step, size in zip(a["starts"], a["steps"], a["sizes"], strict=True)
    ]
    axes = list(range(len(ends)))
    return w.node("Slice", [s.inputs[0], *(w.ints(v) for v in (a["starts"], ends, axes, a["steps"]))], name=s.name)


@writes("pad")
def _pad(w: Writer, s: Step) -> str:
    a = s.attributes
    inputs = [s.inputs[0], w.ints(a["pads"]), w.number(a.get("value", 0.0))]
    return w.node("Pad", inputs, name=s.name, mode=a.get("mode", "constant"))


@writes("expand")
def _expand(w: Writer, s: Step) -> str:
    return w.node("Expand", [s.inputs[0], w.ints(s.outputs[0])], name=s.name)


@writes("tile")
def _tile(w: Writer, s: Step) -> str:
    return w.node("Tile", [s.inputs[0], w.ints(s.attributes["repeats"])], name=s.name)


@writes("gather")
def _gather(w: Writer, s: Step) -> str:
    a = s.attributes
    if "indices" in a:
        indices = w.constant(np.array(a["indices"], np.int64).reshape(a.get("index_shape", [-1])), "indices")
    else:
        indices = w.node("Cast", [s.inputs[1]], name=f"{s.name}.indices", to=onnx.TensorProto.INT64)
    taken = w.node("Gather", [s.inputs[0], indices], name=s.name, axis=a.get("axis", 0))
    return _as_inside(w, s, taken, len(s.shapes[0]) - 1 + len(a.get("index_shape", s.shapes[-1])))


def _as_inside(w: Writer, s: Step, value: str, rank: int) -> str:
    """What is of rank 0 in ONNX is (1,) here."""
    return value if rank else w.node("Reshape", [value, w.ints([1])], name=f"{s.name}.vector")


_REDUCTIONS = {
    "sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd",
    "l1": "ReduceL1", "l2": "ReduceL2", "sum_square": "ReduceSumSquare", "log_sum": "ReduceLogSum",
    "log_sum_exp": "ReduceLogSumExp",
}  # fmt: skip


@writes("reduce")
def _reduce(w: Writer, s: Step) -> str:
    a = s.attributes
    axes, kept = list(a.get("axes", [])) or list(range(len(s.shapes[0]))), bool(a.get("keepdims", False))
    inputs = [s.inputs[0], w.ints(axes)]
    y = w.node(_REDUCTIONS[a.get("function", "sum")], inputs, name=s.name, keepdims=int(kept))
    return _as_inside(w, s, y, len(s.shapes[0]) - (0 if kept else len(axes)))


@writes("argmax", "argmin")
def _arg(w: Writer, s: Step) -> str:
    a = s.attributes
    kept = bool(a.get("keepdims", False))
    y = w.node(
        "ArgMax" if s.kind == "argmax" else "ArgMin",
        s.inputs,
        name=f"{s.name}.places",
        axis=a.get("axis", 0),
        keepdims=int(kept),
        select_last_index=int(a.get("select_last_index", False)),
    )
    y = w.node("Cast", [y], name=s.name, to=onnx.TensorProto.FLOAT)
    return _as_inside(w, s, y, len(s.shapes[0]) - (not kept))


@writes("topk")
def _topk(w: Writer, s: Step) -> tuple[str, str]:
    a: dict[str, Any] = s.attributes
    values, places = w.several(
        "TopK",
        [s.inputs[0], w.ints([a["k"]])],
        2,
        name=s.name,
        axis=a.get("axis", -1),
        largest=int(a.get("largest", True)),
        sorted=int(a.get("sorted", True)),
    )
    return values, w.node("Cast", [places], name=f"{s.name}.places", to=onnx.TensorProto.FLOAT)


@writes("resize")
def _resize(w: Writer, s: Step) -> str:
    a = s.attributes
    roi = w.constant(np.array(a["roi"], np.float32)) if a.get("roi") else ""
    sizes = w.ints(a["sizes"])
    scales = [o / i for o, i in zip(a["sizes"], s.shapes[0], strict=True)]
    by_size = not a.get("scales") or all(math.isclose(x, y) for x, y in zip(a["scales"], scales, strict=True))
    ends = ["", sizes] if by_size else [w.constant(np.array(a["scales"], np.float32))]
    names = (
        *("mode", "coordinate_transformation_mode", "nearest_mode", "cubic_coeff_a"),
        *("exclude_outside", "extrapolation_value", "antialias"),
    )
    given: dict[str, Any] = {n: int(a[n]) if n in ("exclude_outside", "antialias") else a[n] for n in names if n in a}
    return w.node("Resize", [s.inputs[0], roi, *ends], name=s.name, **given)
