# SPDX-License-Identifier: BSD-3-Clause
"""What is left of a file once it is read: the nodes to run, and what is known already.

A graph is made from a file, with all that does not depend on the inputs folded; and again from its own ONNX model
without weights, which saved models carry.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from .errors import UnsupportedError
from .fold import RANDOM, fold
from .node import Node, computable
from .patterns import recognise
from .reader import Source
from .registry import OPERATORS
from .types import problem_of, wrong_results

_PARAMETER, _BUFFER = "parameter", "buffer"
_MAX_FOLDED = 1 << 32  # bytes of constants that are computed


@dataclass(frozen=True)
class Port:
    """An input or an output. shape: as the file declares it, None where it does not; None for a free dimension."""

    name: str
    type: int
    shape: tuple[int | None, ...] | None

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(self.type))


@dataclass(frozen=True)
class Graph:
    """variables: by name, "parameter" or "buffer", and the shape. static: inputs whose values must be known to trace;
    labels: those that are read as class numbers only. steps: the nodes, with patterns put together."""

    opset: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[Any]]
    variables: dict[str, tuple[str, tuple[int, ...]]]
    static: frozenset[str]
    labels: frozenset[str]
    steps: tuple[Node, ...]

    def encoded(self) -> str:
        """The graph without its variables' values, as text."""
        initializers = [onnx.numpy_helper.from_array(a, n) for n, a in self.constants.items()]
        for name, (kind, shape) in self.variables.items():
            initializers.append(TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, doc_string=kind))
        inputs = [_port_proto(p) for p in self.inputs]
        outputs = [_port_proto(p) for p in self.outputs]
        graph = onnx.helper.make_graph([n.proto for n in self.nodes], "convcore", inputs, outputs, initializers)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", self.opset)])
        return base64.b64encode(model.SerializeToString()).decode()


def _port_proto(port: Port) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(port.name, port.type, port.shape)


def build(source: Source) -> tuple[Graph, dict[str, NDArray[np.float32]]]:
    """The graph of a checked file, and the values of its variables.

    Raises UnsupportedError, which lists all that cannot be computed, and ValueError for what does not fit together.
    """
    proto, problems = source.proto.graph, list[str]()
    constants = dict(source.arrays)
    inputs = _ports([i for i in proto.input if i.name not in constants], "input", problems)
    outputs = _ports(proto.output, "output", problems)
    weights = set(constants)
    nodes = _fold_nodes([_node(n, source.opset) for n in proto.node], constants, weights, problems)
    nodes = _needed(nodes, {o.name for o in outputs})
    problems += _unsupported(nodes, constants)
    problems += wrong_results(nodes, map(_port_proto, inputs), constants, source.opset)
    if problems:
        raise UnsupportedError(problems)
    read = {name for n in nodes for name in n.inputs} | {o.name for o in outputs}
    constants = {name: computable(array) for name, array in constants.items() if name in read}
    static, demanded = _static(nodes, {i.name for i in inputs})
    kinds = _variables(nodes, constants, weights, demanded)
    values = {name: constants.pop(name).astype(np.float32, copy=False) for name in kinds}
    variables = {name: (kind, values[name].shape) for name, kind in kinds.items()}
    constants = {name: np.array(array) for name, array in constants.items()}  # none of the file's memory
    return _graph(source.opset, inputs, outputs, nodes, constants, variables, static), values


def rebuild(source: Source, proto: onnx.ModelProto) -> Graph:
    """The graph that `Graph.encoded` wrote."""
    kinds = {t.name: (t.doc_string, tuple(t.dims)) for t in proto.graph.initializer if t.doc_string}
    if any(kind not in (_PARAMETER, _BUFFER) for kind, _ in kinds.values()):
        raise ValueError("onnx: a variable must be a parameter or a buffer")
    problems: list[str] = []
    known = set(source.arrays)
    inputs = _ports([i for i in source.proto.graph.input if i.name not in known], "input", problems)
    outputs = _ports(source.proto.graph.output, "output", problems)
    nodes = [_node(n, source.opset) for n in source.proto.graph.node]
    problems += _unsupported(nodes, source.arrays)
    if problems:
        raise UnsupportedError(problems)
    constants = {name: array for name, array in source.arrays.items() if name not in kinds}
    static, _ = _static(nodes, {i.name for i in inputs})
    return _graph(source.opset, inputs, outputs, nodes, constants, kinds, static)


def _graph(
    opset: int,
    inputs: list[Port],
    outputs: list[Port],
    nodes: list[Node],
    constants: dict[str, NDArray[Any]],
    variables: dict[str, tuple[str, tuple[int, ...]]],
    static: frozenset[str],
) -> Graph:
    labels = _labels(nodes, {i.name for i in inputs} - static - {o.name for o in outputs})
    steps = recognise(nodes, constants, static, [o.name for o in outputs])
    return Graph(opset, tuple(inputs), tuple(outputs), tuple(nodes), constants, variables, static, labels, tuple(steps))


def _node(proto: onnx.NodeProto, opset: int) -> Node:
    return Node.read(proto, opset)


def _ports(infos: Any, role: str, problems: list[str]) -> list[Port]:
    ports = []
    for info in infos:
        tensor = info.type.tensor_type
        problem = problem_of(info.type)
        if problem is not None:
            problems.append(f"{role} {info.name!r} {problem}")
            continue
        shape = None
        if tensor.HasField("shape"):
            shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
        ports.append(Port(info.name, tensor.elem_type, shape))
    return ports


def _is_onnx(node: Node) -> bool:
    return node.proto.domain in ("", "ai.onnx")


def _fold_nodes(
    nodes: list[Node], constants: dict[str, NDArray[Any]], weights: set[str], problems: list[str]
) -> list[Node]:
    """Computes the nodes whose inputs are constants; the others are left. weights: the names that initializers have
    part in. Raises ValueError where they would fill the memory."""
    left, room = [], _MAX_FOLDED
    for node in nodes:
        known = all(name in constants for name in node.inputs if name)
        if not known or not _is_onnx(node) or node.op in RANDOM or _has_graph(node):
            left.append(node)
            continue
        try:
            made = fold(node, [constants[name] if name else None for name in node.inputs])
        except NotImplementedError:
            left.append(node)
            continue
        room -= sum(array.nbytes for array in made)
        if room < 0:
            raise ValueError(f"onnx: {node.name} ({node.op}): constants of more than {_MAX_FOLDED} bytes")
        for name, array in zip(node.outputs, made, strict=False):
            if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
                problems.append(f"node {node.name!r}: {node.op} of type {array.dtype}")
            elif name:
                constants[name] = array
                if weights & set(node.inputs):
                    weights.add(name)
    return left


def _has_graph(node: Node) -> bool:
    return any(a.HasField("g") or a.graphs for a in node.proto.attribute)


def _needed(nodes: list[Node], wanted: set[str]) -> list[Node]:
    """Without the nodes that nothing depends on."""
    kept = []
    for node in reversed(nodes):
        if wanted & set(node.outputs):
            wanted |= set(node.inputs) - {""}
            kept.append(node)
    return kept[::-1]


def _unsupported(nodes: list[Node], constants: Mapping[str, NDArray[Any]]) -> list[str]:
    problems = []
    for node in nodes:
        operator = OPERATORS.get(node.op) if _is_onnx(node) else None
        if operator is None:
            name = node.op if _is_onnx(node) else f"{node.proto.domain}.{node.op}"
            problems.append(f"node {node.name!r}: op {name}")
        elif operator.check is not None:
            problems += [f"node {node.name!r}: {node.op} with {what}" for what in operator.check(node, constants)]
    return problems


def _static(nodes: list[Node], inputs: set[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The inputs whose values must be known when the model is traced, and all names of which that is true."""
    demanded: set[str] = set()
    static: set[str] = set()
    for node in reversed(nodes):
        operator = OPERATORS[node.op]
        if node.op in ("Shape", "Size"):
            continue
        if demanded & set(node.outputs):
            demanded |= set(node.inputs) - {""}
        demanded |= {name for i, name in enumerate(node.inputs) if name and i in operator.shapes}
        static |= {name for i, name in enumerate(node.inputs) if name and i in operator.weights}
    return frozenset((demanded | static) & inputs), frozenset(demanded)


def _labels(nodes: list[Node], inputs: set[str]) -> frozenset[str]:
    losses = ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
    labels, others = set[str](), set[str]()
    for node in nodes:
        for i, name in enumerate(node.inputs):
            (labels if node.op in losses and i == 1 else others).add(name)
    return frozenset(labels & inputs - others)


def _variables(
    nodes: list[Node], constants: dict[str, NDArray[Any]], weights: set[str], demanded: frozenset[str]
) -> dict[str, str]:
    """Which constants are trained, and which are kept beside them. Single numbers, and what no initializer has part in
    (the grid of a detector), are trained in layers that are made of weights only."""
    kinds: dict[str, str] = {}
    for node in nodes:
        operator = OPERATORS[node.op]
        for i, name in enumerate(node.inputs):
            array = constants.get(name)
            if array is None or name in demanded or array.dtype.kind != "f" or not array.ndim or not array.size:
                continue
            layer = bool(operator.weights) or node.op in ("MatMul", "PRelu")
            if i in operator.trained and (layer or (array.size > 1 and name in weights)):
                kinds[name] = _PARAMETER
            elif i in operator.kept:
                kinds.setdefault(name, _BUFFER)
    return kinds
