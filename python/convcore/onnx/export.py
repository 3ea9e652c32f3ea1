# SPDX-License-Identifier: BSD-3-Clause
"""Models as ONNX files: the traced graph, node by node."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import DTypeLike

from .. import _core
from ..compiled import _names, dtype_name
from ..nn.module import Module
from ..symbol import Symbol, Tracer
from . import moving_writers, recurrent_writers  # noqa: F401
from .errors import UnsupportedError
from .writers import OPSET, WRITERS, Step, Writer

_TYPES = {"float32": onnx.TensorProto.FLOAT, "uint8": onnx.TensorProto.UINT8}
_IR_VERSION = 10  # that of OPSET's first release


def export(
    model: Module,
    path: str | os.PathLike[str] | None,
    shape: Sequence[Any],
    *,
    dtype: DTypeLike | Sequence[DTypeLike] = "float32",
    fold: bool = True,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> onnx.ModelProto:
    """Writes a model, as it infers, to an ONNX file (opset 21); parameters keep their names. Returns what was written.

    path: None: nowhere. shape: of the input, batch included, or a list of shapes, as `convcore.compile` takes them.
    dtype: "float32" or "uint8", one or one for each input.
    fold: batch norms become part of the convolutions and linear layers before them, and dropout is left out. Else both
    stay, with the running statistics, for whoever goes on training.
    Raises UnsupportedError, which lists the ops that ONNX has not; TypeError for what is no model; ShapeError naming
    the layer that does not fit; FileNotFoundError where there is no such folder.
    """
    if not isinstance(model, Module):
        raise TypeError(f"export: model must be a Module, got {type(model).__name__}")
    if not isinstance(shape, Sequence) or isinstance(shape, str) or not shape:
        raise TypeError(f"export: shape must be a tuple such as (1, 3, 224, 224), got {shape!r}")
    shapes = [tuple(s) for s in shape] if all(isinstance(s, Sequence) for s in shape) else [tuple(shape)]
    dtypes = [dtype_name("export", d) for d in (dtype if isinstance(dtype, (tuple, list)) else [dtype] * len(shapes))]
    if len(dtypes) != len(shapes):
        raise ValueError(f"export: dtype must be given once or for each of {len(shapes)} inputs, got {dtype!r}")
    names = _given("input_names", input_names, ["x"] if len(shapes) == 1 else [f"x{i}" for i in range(len(shapes))])
    made = _written(model, list(zip(names, shapes, dtypes, strict=True)), output_names, fold)
    onnx.checker.check_model(made)
    if path is not None:
        _save(made, Path(path))
    return made


def _given(what: str, names: Sequence[str] | None, default: list[str]) -> list[str]:
    if names is None:
        return default
    if len(names) != len(default) or len(set(names)) != len(default):
        raise ValueError(f"export: {what} must be {len(default)} different names, got {names!r}")
    return list(names)


def _save(model: onnx.ModelProto, target: Path) -> None:
    """The file appears whole or not at all."""
    if not target.parent.is_dir():
        raise FileNotFoundError(f"export: there is no folder {target.parent}")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(model.SerializeToString())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class _Recorder:
    """A graph that remembers its nodes."""

    def __init__(self, graph: _core.Graph) -> None:
        self._graph = graph
        self.steps: list[tuple[str, str, dict[str, Any], list[int], list[int]]] = []
        self.parameters: list[int] = []
        self.buffers: list[int] = []

    def add_node(self, kind: str, name: str, attributes: Any, inputs: Sequence[int]) -> int:
        value = self._graph.add_node(kind, name, attributes, inputs)
        self.steps.append((kind, name, dict(attributes), list(inputs), list(self._graph.outputs_of(value))))
        return value

    def add_parameter(self, name: str, shape: Sequence[int]) -> int:
        self.parameters.append(self._graph.add_parameter(name, shape))
        return self.parameters[-1]

    def add_buffer(self, name: str, shape: Sequence[int], channels_last: bool = False) -> int:
        self.buffers.append(self._graph.add_buffer(name, shape, channels_last))
        return self.buffers[-1]

    def readers(self) -> Counter[int]:
        """How many inputs of nodes each value is."""
        return Counter(value for _, _, _, inputs, _ in self.steps for value in inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._graph, name)


def _written(
    model: Module, inputs: list[tuple[str, tuple[int, ...], str]], output_names: Sequence[str] | None, fold: bool
) -> onnx.ModelProto:
    identities = _names({"": model})
    tracer = Tracer(False, identities)
    recorder = _Recorder(tracer.graph)
    tracer.graph = recorder  # type: ignore[assignment]
    symbols = [tracer.input(*spec) for spec in inputs]
    outputs = model(*symbols)
    results = [outputs] if isinstance(outputs, Symbol) else list(outputs)
    if not results or not all(isinstance(s, Symbol) for s in results):
        raise TypeError(f"export: forward must return a symbol or a tuple of symbols, got {outputs!r}")
    problems = [f"{name} ({kind})" for kind, name, *_ in recorder.steps if kind not in WRITERS]
    if problems:
        raise UnsupportedError(problems)
    writer, readers = Writer(fold), recorder.readers() + Counter(s.value for s in results)
    for symbol, (name, _, _) in zip(symbols, inputs, strict=True):
        writer.claim(name)
        writer.values[symbol.value] = name
    values = [*recorder.parameters, *recorder.buffers]
    for value, variable in zip(values, [*tracer.parameters, *tracer.buffers], strict=True):
        writer.name(value, writer.constant(variable.data, identities.get(id(variable), "constant")), readers)
    for kind, name, attributes, given, made in recorder.steps:
        step = Step(
            name,
            kind,
            attributes,
            [writer.values[v] if v >= 0 else "" for v in given],
            [tuple(recorder.shape(v)) if v >= 0 else () for v in given],
            [tuple(recorder.shape(v)) for v in made],
        )
        written = WRITERS[kind](writer, step)
        for value, tensor in zip(made, [written] if isinstance(written, str) else written, strict=False):
            writer.name(value, tensor, readers)
    ends = _given("output_names", output_names, ["y"] if len(results) == 1 else [f"y{i}" for i in range(len(results))])
    infos = []
    for symbol, name in zip(results, ends, strict=True):
        writer.node("Identity", [writer.values[symbol.value]], name=name, output=name)
        element = onnx.TensorProto.INT64 if symbol.dtype == "int64" else _TYPES[symbol.dtype]
        infos.append(onnx.helper.make_tensor_value_info(name, element, symbol.shape))
    ports = [onnx.helper.make_tensor_value_info(name, _TYPES[d], s) for name, s, d in inputs]
    graph = onnx.helper.make_graph(writer.finished(), type(model).__name__, ports, infos, writer.initializers())
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    return onnx.helper.make_model(
        graph,
        opset_imports=opsets,
        ir_version=_IR_VERSION,
        producer_name="convcore",
        producer_version=_core.__version__,
    )
