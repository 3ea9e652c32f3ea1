"""Symbols and the tracer: how `forward` becomes a graph.

Tracing runs a model's `forward` once with symbols in place of arrays. Every functional call that meets a symbol adds a
node to the symbol's graph, named after the layer that is running.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._core import Graph, is_dense
from .indexing import part_of
from .parameter import Buffer, Constant, Parameter, Variable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ._core import Attributes

Array: TypeAlias = NDArray[Any]


class Symbol:
    """Stands for an array that a program will compute. It has a shape and can be given to `convcore.functional`."""

    __slots__ = ("dtype", "shape", "tracer", "value")

    def __init__(self, tracer: Tracer, value: int) -> None:
        self.tracer = tracer
        self.value = value
        self.shape = tuple(tracer.graph.shape(value))
        self.dtype = tracer.graph.dtype(value)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __add__(self, other: Operand) -> Symbol:
        return self._emit("add", self, other)

    def __radd__(self, other: Operand) -> Symbol:
        return self._emit("add", other, self)

    def __sub__(self, other: Operand) -> Symbol:
        return self._emit("subtract", self, other)

    def __rsub__(self, other: Operand) -> Symbol:
        return self._emit("subtract", other, self)

    def __mul__(self, other: Operand) -> Symbol:
        return self._emit("multiply", self, other)

    def __rmul__(self, other: Operand) -> Symbol:
        return self._emit("multiply", other, self)

    def __truediv__(self, other: Operand) -> Symbol:
        return self._emit("divide", self, other)

    def __rtruediv__(self, other: Operand) -> Symbol:
        return self._emit("divide", other, self)

    def __pow__(self, other: Operand) -> Symbol:
        return self._emit("power", self, other)

    def __rpow__(self, other: Operand) -> Symbol:
        return self._emit("power", other, self)

    def __neg__(self) -> Symbol:
        return self._emit("neg", self)

    def __abs__(self) -> Symbol:
        return self._emit("abs", self)

    def __lt__(self, other: Operand) -> Symbol:
        return self._emit("less", self, other)

    def __le__(self, other: Operand) -> Symbol:
        return self._emit("less_equal", self, other)

    def __gt__(self, other: Operand) -> Symbol:
        return self._emit("greater", self, other)

    def __ge__(self, other: Operand) -> Symbol:
        return self._emit("greater_equal", self, other)

    def _emit(self, kind: str, *operands: Operand) -> Symbol:
        return self.tracer.emit(kind, {}, same_rank(operands))

    def __getitem__(self, key: Any) -> Symbol:
        """A part of it, by NumPy's rules, for ints, slices, None and Ellipsis; a single element has the shape (1,)."""
        starts, steps, sizes, shape = part_of(self.shape, key)
        part = self
        if sizes != list(self.shape) or min(steps) < 0:
            part = self.tracer.emit("slice", {"starts": starts, "steps": steps, "sizes": sizes}, (self,))
        return part if shape == list(part.shape) else self.tracer.emit("rearrange", {"shape": shape}, (part,))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Operand, **options: Any) -> Symbol:
        """Operators with an array in front; no other function of NumPy."""
        kind = _OF_NUMPY.get(ufunc)
        if kind is None or method != "__call__" or options or len(inputs) != 2:
            self._refuse()
        return self._emit(kind, *inputs)

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(
            f"{self!r} has no values yet: forward is traced once, with symbols; compute with convcore.functional, "
            "+, -, * and /, and branch on .shape only"
        )

    __array__ = __bool__ = __float__ = __int__ = __len__ = __iter__ = _refuse

    def __repr__(self) -> str:
        return f"Symbol(shape={self.shape}, dtype={self.dtype})"


_OF_NUMPY: Mapping[np.ufunc, str] = {
    np.add: "add",
    np.subtract: "subtract",
    np.multiply: "multiply",
    np.true_divide: "divide",
    np.power: "power",
    np.less: "less",
    np.less_equal: "less_equal",
    np.greater: "greater",
    np.greater_equal: "greater_equal",
}

Operand: TypeAlias = Symbol | Variable | ArrayLike
T = TypeVar("T", Symbol, Array)  # what goes in comes out: symbols while tracing, arrays else


def same_rank(operands: Sequence[Operand]) -> list[Operand]:
    """Operands of which one is a symbol; symbols of fewer axes than another operand has get axes of 1 in front, as in
    NumPy. The tracer does the same for what is no symbol."""
    rank = max(x.ndim if isinstance(x, (Symbol, Variable)) else np.ndim(x) for x in operands)
    return [
        x.tracer.emit("rearrange", {"shape": [1] * (rank - x.ndim) + list(x.shape)}, (x,))
        if isinstance(x, Symbol) and x.ndim < rank
        else x
        for x in operands
    ]


class Tracer:
    """Fills a graph. Knows the layers' and parameters' names, and which layer is running.

    training: the graph's mode; batch norm and dropout follow it.
    names: of modules and variables, by identity.
    After tracing, `parameters` and `buffers` hold the memory to bind, in the graph's order.
    """

    def __init__(self, training: bool, names: Mapping[int, str]) -> None:
        self.graph = Graph(training)
        self.training = training
        self.parameters: list[Parameter] = []
        self.buffers: list[Variable] = []
        self._names = names
        self._path: list[tuple[str, bool]] = [("", False)]
        self._used: Counter[str] = Counter()
        self._ids: dict[int, int] = {}
        self._floats: dict[int, Symbol] = {}

    def input(self, name: str, shape: Sequence[int], dtype: str) -> Symbol:
        return Symbol(self, self.graph.add_input(name, shape, dtype))

    @contextmanager
    def layer(self, module: object, is_leaf: bool) -> Iterator[None]:
        """While open, nodes carry the module's name."""
        name = self._names.get(id(module))
        with self.at(*(self._path[-1] if name is None else (name, is_leaf))):
            yield

    @contextmanager
    def at(self, name: str, is_leaf: bool = True) -> Iterator[None]:
        """While open, nodes carry this name; unless it is a leaf's, with the op's kind behind it."""
        self._path.append((name, is_leaf))
        try:
            yield
        finally:
            self._path.pop()

    def emit(self, kind: str, attributes: Attributes, inputs: Sequence[Operand | None]) -> Symbol:
        """Adds a node and returns its first output."""
        name = self._node_name(kind)
        rank = max((x.ndim for x in inputs if isinstance(x, Symbol)), default=0)
        values = [self._value(Place(kind, attributes, i), x, rank) for i, x in enumerate(inputs)]
        return Symbol(self, self.graph.add_node(kind, name, attributes, values))

    def emit_all(self, kind: str, attributes: Attributes, inputs: Sequence[Operand | None]) -> tuple[Symbol, ...]:
        """Adds a node and returns all its outputs."""
        first = self.emit(kind, attributes, inputs)
        return tuple(Symbol(self, value) for value in self.graph.outputs_of(first.value))

    def place(self, kind: str) -> str:
        """The name of the running layer, with the op's kind behind it unless the layer is that op."""
        path, is_leaf = self._path[-1]
        return path if path and is_leaf else f"{path}.{kind}" if path else kind

    def _node_name(self, kind: str) -> str:
        name = self.place(kind)
        self._used[name] += 1
        return name if self._used[name] == 1 else f"{name}_{self._used[name]}"

    def _value(self, place: Place, x: Operand | None, rank: int) -> int:
        if x is None:
            return -1
        if isinstance(x, Symbol):
            if x.tracer is not self:
                raise ValueError(
                    f"{place.kind}: got a symbol of another trace; keep no symbols between calls of forward"
                )
            return self._as_float(x).value if x.dtype == "uint8" and place.kind != "normalize" else x.value
        if isinstance(x, Variable):
            value = self._variable(x)
            return value if x.ndim == rank < 3 or place.is_dense() else self._activation(x, value, rank)
        return self._constant(place, x, rank)

    def _activation(self, variable: Variable, value: int, rank: int) -> int:
        """The variable channels-last, and of the symbols' rank as NumPy's broadcasting would have it."""
        if _differs_channels_last(variable.shape):
            value = self.graph.add_node("channels_last", self._node_name("channels_last"), {}, [value])
        if variable.ndim < rank:
            attributes = {"shape": [1] * (rank - variable.ndim) + list(variable.shape)}
            value = self.graph.add_node("rearrange", self._node_name("rearrange"), attributes, [value])
        return value

    def _as_float(self, x: Symbol) -> Symbol:
        """uint8 images are widened by one node where the model has no Normalize."""
        if x.value not in self._floats:
            self._floats[x.value] = self.emit("normalize", {"scale": 1.0, "mean": [0.0], "std": [1.0]}, (x,))
        return self._floats[x.value]

    def _variable(self, variable: Variable) -> int:
        known = self._ids.get(id(variable))
        if known is not None:
            return known
        name = self._names.get(id(variable))
        if name is None:
            raise ValueError(
                f"{self._path[-1][0] or 'model'}: {variable!r} does not belong to the model; assign layers and "
                "parameters as attributes of a Module, and keep lists of layers in nn.ModuleList"
            )
        if isinstance(variable, Parameter) and (variable.requires_grad or not self.training):
            value = self.graph.add_parameter(name, variable.shape)
            self.parameters.append(variable)
        else:
            value = self.graph.add_buffer(name, variable.shape)
            self.buffers.append(variable)
        self._ids[id(variable)] = value
        return value

    def _constant(self, place: Place, x: ArrayLike, rank: int) -> int:
        """An array or a number of the model's code; as an operand it gets the symbols' rank as NumPy's broadcasting
        would."""
        array = np.asarray(x)
        if array.dtype.kind not in "biuf":
            raise TypeError(
                f"{place.kind}: expected a symbol, a parameter or an array of numbers, got {type(x).__name__}"
            )
        if place.is_dense():
            channels_last, array = False, array.reshape(array.shape or (1,))
        else:
            array = array.reshape((1,) * (rank - array.ndim) + array.shape)
            channels_last = _differs_channels_last(array.shape)
        self.buffers.append(Constant(array) if channels_last else Buffer(array))
        return self.graph.add_buffer(f"constant.{len(self.buffers)}", array.shape, channels_last)


class Place(NamedTuple):
    """One input of an op."""

    kind: str
    attributes: Attributes
    input: int

    def is_dense(self) -> bool:
        """Whether the op reads it in the canonical layout, as weights are. Wrong settings are reported by add_node."""
        try:
            return is_dense(self.kind, self.attributes, self.input)
        except (TypeError, ValueError):
            return True


def _differs_channels_last(shape: tuple[int, ...]) -> bool:
    """Whether channels-last memory of this shape is another than the canonical."""
    return len(shape) in (3, 4) and shape[1] > 1 and max(shape[2:]) > 1
