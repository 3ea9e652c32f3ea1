# SPDX-License-Identifier: BSD-3-Clause
"""ONNX models for tests: nodes and weights put together, and the light models of the onnx package with weights."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.backend.test
from onnx import helper, numpy_helper

FLOAT = onnx.TensorProto.FLOAT
LIGHT = Path(onnx.backend.test.__file__).parent / "data" / "light"


def make(
    nodes: list[Any],
    inputs: dict[str, tuple[int, list[Any] | None]],
    outputs: dict[str, int],
    weights: dict[str, Any] | None = None,
    opset: int = 21,
) -> Any:
    """A model of nodes; inputs: type and shape by name, outputs: type."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def light(name: str, seed: int = 0) -> Any:
    """A light model with He-scaled weights in place of its constants."""
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    graph, rng = model.graph, np.random.default_rng(seed)
    shapes = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    filled = [n for n in graph.node if n.op_type == "ConstantOfShape" and n.input[0] in shapes]
    variances = {n.input[4] for n in graph.node if n.op_type == "BatchNormalization"}
    weights = {k: v for k, v in shapes.items() if k not in {n.input[0] for n in filled}}
    for node in filled:
        shape, output = tuple(shapes[node.input[0]]), node.output[0]
        if output in variances:
            value = rng.uniform(0.5, 1.5, shape)
        elif len(shape) > 1:
            value = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        else:
            value = rng.uniform(0.8, 1.2, shape)
        weights[output] = value.astype(np.float32)
    nodes = [n for n in graph.node if n not in filled]
    inputs = [i for i in graph.input if i.name not in shapes]
    for field, values in (
        (graph.initializer, [numpy_helper.from_array(v, k) for k, v in weights.items()]),
        (graph.node, nodes),
        (graph.input, inputs),
    ):
        del field[:]
        field.extend(values)
    return model
