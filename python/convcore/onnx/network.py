# SPDX-License-Identifier: BSD-3-Clause
"""OnnxModel: a Module whose forward walks the nodes of an ONNX graph."""

from __future__ import annotations

import base64
import copy
import math
import os
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..compiled import ProgramCache, Spec, spec_of
from ..locks import new_lock
from ..nn.module import Module
from ..parameter import Buffer, Parameter, Variable
from ..symbol import Array, Symbol
from .fold import fold
from .graph import Graph, Port, build, rebuild
from .node import MAX_RANK, Node, Value, computable
from .operators.pool import Indices
from .reader import read
from .registry import OPERATORS

_EXACT = 1 << 24  # integers up to this are exact as float32
MAX_ELEMENTS = 1 << 31  # of one tensor
_KEPT = 8  # sets of static inputs


def load(source: str | os.PathLike[str] | bytes | onnx.ModelProto) -> OnnxModel:
    """The model of an ONNX file (of its bytes, or of a ModelProto), opset 7 to the newest that the package knows.

    Initializers become parameters and buffers under their own names. All that does not depend on the inputs is
    computed here. External data is read from the file's folder alone.
    Raises FileNotFoundError; `UnsupportedError`, which lists all ops, types and attributes that cannot be computed;
    ValueError for damaged files. Source: ONNX, https://onnx.ai/onnx/operators.
    """
    graph, values = build(read(source))
    return OnnxModel(graph, values)


@dataclass(frozen=True)
class Result:
    """An output of the graph for one set of input shapes: of the program, or known already."""

    index: int | None
    value: Value
    dtype: np.dtype[Any]

    def without_symbol(self) -> Result:
        """The same without hold on the traced graph."""
        if self.index is None:
            return self
        value = copy.copy(self.value)
        value.data = None
        return replace(self, value=value)

    def array(self, computed: Sequence[Array]) -> Array:
        if self.index is None:
            return np.array(self.value.data, self.dtype).reshape(self.value.shape)
        array = computed[self.index]
        if isinstance(self.value, Indices):
            array = np.asarray(self.value.finish(array))
        array = array.reshape(self.value.shape)
        if array.dtype == self.dtype:
            return array
        if self.dtype.kind == "b":
            return np.asarray(array != 0)
        with np.errstate(all="ignore"):
            return array.astype(np.int64).astype(self.dtype) if self.dtype.kind in "iu" else array.astype(self.dtype)


class OnnxModel(Module):
    """A network from ONNX. Made by `convcore.onnx.load`.

    Called with arrays, or the arrays of the graph's inputs by name, it gives what the graph says, in ONNX's types and
    shapes. Compiled programs give float32, and leave out outputs that the shapes decide.
    Inputs whose values decide shapes belong to what a program is compiled for; the eight sets used last are kept.
    """

    settings = ("graph",)

    def __init__(self, graph: Graph | str, values: dict[str, NDArray[np.float32]] | None = None) -> None:
        """graph: also as text, from `config()`; parameters are then zero."""
        if isinstance(graph, str):
            graph = _decoded(graph)
        self._graph = graph
        self._attributes: dict[str, str] = {}  # by the initializer's name
        for name, (kind, shape) in graph.variables.items():
            data = np.zeros(shape, np.float32) if values is None else values[name]
            self._attributes[name] = self._free_name(name)
            variable: Variable = Parameter(data) if kind == "parameter" else Buffer(data)
            object.__setattr__(self, self._attributes[name], variable)
        self._static: dict[str, Array] = {}
        self._wide: dict[str, tuple[int, ...]] = {}
        self._specialised: OrderedDict[Any, OnnxModel] = OrderedDict()
        self._results: OrderedDict[Any, list[Result]] = OrderedDict()
        self._edited()

    def _free_name(self, name: str) -> str:
        """The attribute that holds an initializer: its name, where a Module has no attribute of that name."""
        while name in vars(self) or hasattr(type(self), name) or (name.startswith("_") and hasattr(self, name)):
            name += "_"
        return name

    @property
    def graph(self) -> str:
        """The graph without weights, as text."""
        return self._graph.encoded()

    @property
    def input_names(self) -> list[str]:
        return [port.name for port in self._graph.inputs]

    @property
    def output_names(self) -> list[str]:
        return [port.name for port in self._graph.outputs]

    def __repr__(self) -> str:
        ports = ", ".join(f"{p.name}: {p.dtype} {_shown(p.shape)}" for p in self._graph.inputs)
        return f"OnnxModel({ports}; {len(self._graph.nodes)} nodes, {self.num_parameters():,} parameters)"

    # --- calling ----------------------------------------------------------------------------------------------------

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        if named:
            inputs = (*inputs, *self._by_name(named, len(inputs)))
        if any(isinstance(x, Symbol) for x in inputs):
            return super().__call__(*inputs)
        ports = self._graph.inputs
        if len(inputs) != len(ports):
            raise TypeError(
                f"OnnxModel: expected {len(ports)} inputs ({', '.join(self.input_names)}), got {len(inputs)}"
            )
        arrays = [_checked(port, x) for port, x in zip(ports, inputs, strict=True)]
        static = {p.name: a for p, a in zip(ports, arrays, strict=True) if p.name in self._graph.static}
        wide = {p.name: a.shape for p, a in zip(ports, arrays, strict=True) if a.ndim > self._most_axes(p)}
        model = self._for(static, wide) if static or wide else self
        running = [
            _fed(port, array, port.name in self._graph.labels, port.name in wide)
            for port, array in zip(ports, arrays, strict=True)
            if port.name not in static
        ]
        outputs = model._run(tuple(running))
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _by_name(self, named: dict[str, Any], given: int) -> list[Any]:
        wanted = self.input_names[given:]
        if set(named) != set(wanted):
            raise TypeError(f"OnnxModel: expected the inputs {', '.join(wanted)}, got {', '.join(named)}")
        return [named[name] for name in wanted]

    def _most_axes(self, port: Port) -> int:
        """Labels of more are fed as (N, places), other inputs as vectors."""
        return 3 if port.name in self._graph.labels else MAX_RANK

    def _for(self, static: dict[str, Array], wide: dict[str, tuple[int, ...]]) -> OnnxModel:
        """This model with the values of its static inputs, and the shapes of those that have too many axes for the
        core; it shares parameters, but not programs."""
        key = (*wide.items(), *((name, a.shape, a.dtype.str, a.tobytes()) for name, a in static.items()))
        with _lock:
            model = self._specialised.get(key)
            if model is None:
                model = copy.copy(self)
                for name in ("_specialised", "_results"):
                    object.__setattr__(model, name, OrderedDict())
                object.__setattr__(model, "_static", static)
                object.__setattr__(model, "_wide", wide)
                self._specialised[key] = model
                if len(self._specialised) > _KEPT:
                    self._specialised.popitem(last=False)
            self._specialised.move_to_end(key)
            return model

    def _run(self, arrays: tuple[Array, ...]) -> list[Array]:
        if not arrays:
            return [result.array([]) for result in self._trace([])]
        programs = self._programs
        if programs is None:
            programs = self._new_programs()
        computed = programs(arrays)
        key = tuple(_spec(self, i, a) for i, a in enumerate(arrays))
        with _lock:
            results = self._results[key]
            self._results.move_to_end(key)
        return [result.array(computed if isinstance(computed, tuple) else [computed]) for result in results]

    def _new_programs(self) -> ProgramCache:
        with _lock:
            if self._programs is None:
                object.__setattr__(self, "_programs", _Programs(self))
            assert self._programs is not None
            return self._programs

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return state | {"_specialised": OrderedDict(), "_results": OrderedDict()}

    # --- tracing ----------------------------------------------------------------------------------------------------

    def forward(self, *inputs: Any) -> Any:
        results = self._trace(inputs)
        key = tuple((tuple(s.shape), s.dtype) for s in inputs)
        symbols = tuple(r.value.data for r in results if r.index is not None) or tuple(inputs)
        with _lock:
            self._results[key] = [result.without_symbol() for result in results]
            self._results.move_to_end(key)
            if len(self._results) > 64 * _KEPT:
                self._results.popitem(last=False)
        return symbols[0] if len(symbols) == 1 else symbols

    def _trace(self, inputs: Sequence[Symbol]) -> list[Result]:
        """Walks the nodes with the symbols of those inputs that are not static."""
        graph = self._graph
        ports = [port for port in graph.inputs if port.name not in self._static]
        missing = [port.name for port in ports if port.name in graph.static]
        if missing or len(ports) != len(inputs):
            raise ValueError(
                f"OnnxModel: the graph needs {len(graph.inputs)} inputs, and the values of "
                f"{', '.join(missing) or 'none'} when it is compiled; call the model with arrays"
            )
        values: dict[str, Value] = {name: Value(array) for name, array in graph.constants.items()}
        values |= {name: Value(vars(self)[attribute]) for name, attribute in self._attributes.items()}
        values |= {name: Value(array) for name, array in self._static.items()}
        for port, symbol in zip(ports, inputs, strict=True):
            shape = () if port.shape == () and symbol.shape == (1,) else symbol.shape
            values[port.name] = Value(symbol, port.dtype, self._wide.get(port.name, shape))
        tracer = inputs[0].tracer if inputs else None
        for node in graph.steps:
            given = [values[name] if name else None for name in node.inputs]
            if tracer is None:
                made = run(node, given)
            else:
                with tracer.at(node.name):
                    made = run(node, given)
            values.update((name, value) for name, value in zip(node.outputs, made, strict=False) if name)
        return self._collected(values)

    def _collected(self, values: dict[str, Value]) -> list[Result]:
        results, index = [], 0
        for port in self._graph.outputs:
            value = values[port.name]
            if value.is_symbol:
                results.append(Result(index, value, port.dtype))
                index += 1
            else:
                results.append(Result(None, Value(np.asarray(value.data), value.dtype, value.shape), port.dtype))
        return results


_lock = new_lock()


def run(node: Node, inputs: Sequence[Value | None]) -> Sequence[Value]:
    """A node's outputs. What is known is computed at once, all else becomes nodes of the trace."""
    known = [None if x is None else x.data for x in inputs]
    is_one = node.op == node.proto.op_type  # no pattern of several
    if is_one and all(x is None or isinstance(x, np.ndarray) for x in known) and node.op != "Dropout":
        with suppress(NotImplementedError):  # the core computes arrays, too
            return [Value(computable(array), array.dtype) for array in fold(node, known)]
    try:
        made = OPERATORS[node.op].run(node, *inputs)
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError) as error:
        text = str(error)
        kind = type(error) if isinstance(error, ValueError) else ValueError
        raise kind(text if node.name in text else f"onnx: {node.name} ({node.op}): {text}") from None
    values = [made] if isinstance(made, Value) else [value for value in made if value is not None]
    for value in values:
        if value.size > MAX_ELEMENTS:
            raise ValueError(f"onnx: {node.name} ({node.op}): a tensor of shape {value.shape} is too large")
    return values


class _Programs(ProgramCache):
    """Programs whose labels are int64."""

    def _specs(self, arrays: list[Array]) -> list[Spec]:
        model = self._model
        assert isinstance(model, OnnxModel)
        return [_spec(model, i, x) for i, x in enumerate(arrays)]


def _spec(model: OnnxModel, index: int, array: Array) -> Spec:
    ports = [port for port in model._graph.inputs if port.name not in model._static]
    return (array.shape, "int64") if ports[index].name in model._graph.labels else spec_of(array)


def _decoded(text: str) -> Graph:
    try:
        proto = onnx.ModelProto.FromString(base64.b64decode(text, validate=True))
    except Exception:
        raise ValueError("OnnxModel: graph must be the text that config() gives") from None
    stubs = onnx.ModelProto()
    stubs.CopyFrom(proto)
    for tensor in stubs.graph.initializer:
        if tensor.doc_string:
            if math.prod(tensor.dims) > 1 << 34 or any(d < 0 for d in tensor.dims):
                raise ValueError(f"OnnxModel: bad shape of {tensor.name!r}")
            del tensor.dims[:]
            tensor.dims.append(0)
    return rebuild(read(stubs), proto)


def _shown(shape: tuple[int | None, ...] | None) -> str:
    return "(...)" if shape is None else "(" + ", ".join("?" if d is None else str(d) for d in shape) + ")"


def _checked(port: Port, x: Any) -> Array:
    """The input as an array of the type and shape that the graph declares."""
    array = np.asarray(x)
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise TypeError(f"OnnxModel: input {port.name} must be numbers, got {array.dtype}")
    if port.dtype.kind in "iu" and array.dtype.kind == "f":
        raise TypeError(f"OnnxModel: input {port.name} must be {port.dtype}, got {array.dtype}")
    shape = port.shape
    if shape is not None and (
        len(shape) != array.ndim or any(d not in (None, 0, s) for d, s in zip(shape, array.shape, strict=True))
    ):
        raise ValueError(f"OnnxModel: input {port.name} must be {_shown(shape)}, got {array.shape}")
    return array


def _fed(port: Port, array: Array, label: bool, wide: bool) -> Array:
    """As programs take it: float32, images as bytes, labels as int64."""
    if wide:
        array = array.reshape(len(array), -1) if label else array.reshape(-1)
    if label:
        return array.astype(np.int64, copy=False)
    if array.dtype.kind in "iu" and array.dtype.itemsize > 2 and array.size:
        low, high = array.min(), array.max()
        if low < -_EXACT or high > _EXACT:
            raise ValueError(
                f"OnnxModel: input {port.name} must be from {-_EXACT} to {_EXACT}, because integers are computed as "
                f"float32, got {low} to {high}"
            )
    if array.dtype != np.uint8 or array.ndim != 4:
        array = array.astype(np.float32, copy=False)
    return array if array.ndim else array.reshape(1)
