# SPDX-License-Identifier: BSD-3-Clause
"""From a file to a checked graph: whatever is wrong with a file is a ValueError that says what."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from .tensors import to_array
from .wire import split

MIN_OPSET = 7
MAX_FILE = (1 << 31) - 1  # bytes: protobuf's own limit
MAX_NODES = 200_000


@dataclass(frozen=True)
class Source:
    """A checked model. proto: without the values of its initializers, which are in `arrays`; these may lie in the file
    itself, and are not to be kept."""

    proto: ModelProto
    arrays: dict[str, NDArray[Any]]
    opset: int


def read(source: str | os.PathLike[str] | bytes | ModelProto) -> Source:
    """Reads and checks a model. Raises FileNotFoundError, TypeError for what is no source, ValueError for the rest."""
    if isinstance(source, ModelProto):
        return _checked(source, None, {})
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _checked(*_parse(memoryview(source), "onnx", None))
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        return _checked(*_parse(_bytes(path), f"onnx: {path}", os.path.dirname(os.path.abspath(path))))
    raise TypeError(f"onnx: expected a path, bytes or a ModelProto, got {type(source).__name__}")


def _bytes(path: Path) -> memoryview:
    if not path.exists():
        raise FileNotFoundError(f"onnx: there is no file {path}")
    if not path.is_file():
        raise ValueError(f"onnx: {path} is not a file")
    if path.stat().st_size > MAX_FILE:
        raise ValueError(f"onnx: {path} is larger than {MAX_FILE} bytes; keep the weights as external data")
    if not path.stat().st_size:
        raise ValueError(f"onnx: {path} is empty")
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _parse(data: memoryview, who: str, folder: str | None) -> tuple[ModelProto, str | None, dict[int, memoryview]]:
    """The model without the data of its large initializers, and these by number."""
    try:
        light, raw = split(data)
        model: ModelProto = ModelProto.FromString(light)
    except Exception:  # protobuf's DecodeError, which is of no public type
        raise ValueError(f"{who}: not an ONNX file, or a damaged one") from None
    if not model.HasField("graph"):
        raise ValueError(f"{who}: not an ONNX file: it holds no graph")
    return model, folder, raw


def _checked(model: ModelProto, folder: str | None, raw: dict[int, memoryview]) -> Source:
    opset = _opset(model)
    graph = model.graph
    if len(graph.node) > MAX_NODES:
        raise ValueError(f"onnx: more than {MAX_NODES} nodes")
    if graph.sparse_initializer:
        raise ValueError("onnx: sparse initializers are not supported")
    arrays: dict[str, NDArray[Any]] = {}
    for i, tensor in enumerate(graph.initializer):
        if not tensor.name or tensor.name in arrays:
            raise ValueError(f"onnx: initializer {tensor.name!r} must have a name of its own")
        arrays[tensor.name] = to_array(tensor, folder, raw.get(i))
    light = _without_values(model)
    if light.functions:
        light = _inlined(light)
    ports = [*light.graph.input, *light.graph.output]
    shapeless = [p.type.tensor_type for p in ports if _is_shapeless(p)]
    for port in shapeless:  # many files do without, but the checker does not
        port.shape.SetInParent()
    try:
        onnx.checker.check_model(light)
    except Exception as error:  # ValidationError, or what a damaged message does to the checker
        raise ValueError(f"onnx: not a sound model: {str(error).strip()}") from None
    for port in shapeless:
        port.ClearField("shape")
    _check_names(light)
    return Source(light, arrays, opset)


def _is_shapeless(port: onnx.ValueInfoProto) -> bool:
    return port.type.HasField("tensor_type") and not port.type.tensor_type.HasField("shape")


def _opset(model: ModelProto) -> int:
    newest = onnx.defs.onnx_opset_version()
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if len(versions) != 1:
        raise ValueError(f"onnx: the model must import one opset of ONNX's operators, got {versions}")
    if not MIN_OPSET <= versions[0] <= newest:
        raise ValueError(f"onnx: opset {versions[0]}: this version reads opsets {MIN_OPSET} to {newest}")
    return int(versions[0])


def _without_values(model: ModelProto) -> ModelProto:
    """The model with empty initializers of the same names and types: the checker would copy the values. Before IR
    version 4, initializers had to be inputs as well; many files do without."""
    light = ModelProto(ir_version=max(model.ir_version, 4), producer_name=model.producer_name, domain=model.domain)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    graph = light.graph
    graph.name = model.graph.name or "graph"
    for field in ("node", "input", "output"):
        getattr(graph, field).extend(getattr(model.graph, field))
    for tensor in model.graph.initializer:
        graph.initializer.append(TensorProto(name=tensor.name, data_type=tensor.data_type, dims=[0]))
    return light


def _inlined(model: ModelProto) -> ModelProto:
    from onnx import inliner

    try:
        inlined: ModelProto = inliner.inline_local_functions(model)
        return inlined
    except Exception as error:
        raise ValueError(f"onnx: the model's functions cannot be inlined: {error}") from None


def _check_names(model: ModelProto) -> None:
    """What the checker lets pass: values made twice or by nobody, and nodes that wait for each other."""
    known: set[str] = {i.name for i in model.graph.input} | {t.name for t in model.graph.initializer}
    if len({i.name for i in model.graph.input}) != len(model.graph.input):
        raise ValueError("onnx: two inputs of the model have the same name")
    for node in model.graph.node:
        for name in node.input:
            if name and name not in known:
                raise ValueError(
                    f"onnx: node {node.name!r} ({node.op_type}) reads {name!r}, which no node before makes"
                )
        for name in node.output:
            if name and name in known:
                raise ValueError(f"onnx: {name!r} is made twice, the second time by node {node.name!r}")
            known.add(name)
    known.discard("")
    if not model.graph.output:
        raise ValueError("onnx: the model has no outputs")
    for output in model.graph.output:
        if output.name not in known:
            raise ValueError(f"onnx: output {output.name!r} is made by no node")
