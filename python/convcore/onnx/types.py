# SPDX-License-Identifier: BSD-3-Clause
"""Types of tensors: those that are computed with, and where a graph has others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from .node import Node

_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}
_INTEGERS = {
    TensorProto.INT64, TensorProto.INT32, TensorProto.INT16, TensorProto.INT8, TensorProto.UINT8, TensorProto.UINT16,
    TensorProto.UINT32, TensorProto.UINT64, TensorProto.BOOL,
}  # fmt: skip


def problem_of(kind: onnx.TypeProto) -> str | None:
    """What of a value's type cannot be computed with."""
    if not kind.HasField("tensor_type"):
        return "that is no tensor"
    element = kind.tensor_type.elem_type
    if element in _FLOATS | _INTEGERS:
        return None
    return f"of type {TensorProto.DataType.Name(element) if element in TensorProto.DataType.values() else 'unknown'}"


def wrong_results(
    nodes: Sequence[Node], inputs: Iterable[onnx.ValueInfoProto], constants: Mapping[str, NDArray[Any]], opset: int
) -> list[str]:
    """Results of nodes whose types, as ONNX infers them, cannot be computed with."""
    read = {name for node in nodes for name in node.inputs}
    known = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in constants.items()
        if name in read
    ]
    graph = onnx.helper.make_graph([n.proto for n in nodes], "types", [*inputs, *known], [])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    try:
        inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    except Exception:  # what does not fit together is said by the op that finds it
        return []
    maker = {name: node for node in nodes for name in node.outputs if name}
    problems = []
    for value in inferred:
        node, problem = maker.get(value.name), problem_of(value.type)
        if node is not None and problem is not None and value.type.WhichOneof("value") is not None:
            problems.append(f"node {node.name!r}: {node.op} with a result {problem}")
    return problems
