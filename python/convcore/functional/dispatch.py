"""The one door of all ops: symbols become graph nodes, arrays are computed at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .. import _core
from ..parameter import Variable
from ..symbol import Array, Operand, Symbol, T

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike

    from .._core import Attributes


class Planned:
    """An op with its settings. Kept, it makes calls short: the core remembers the plans of its last shapes."""

    __slots__ = ("attributes", "core", "kind")

    def __init__(self, kind: str, attributes: Attributes) -> None:
        self.kind = kind
        self.attributes = attributes
        self.core = _core.PlannedOp(kind, attributes)

    def gradients(self, inputs: Sequence[Operand | None], grad_output: Operand, mask: Sequence[bool]) -> list[Any]:
        """The op's gradients for those inputs whose mask is True, None for the others."""
        if isinstance(grad_output, Symbol):
            raise TypeError(
                f"{self.kind}: backward functions take arrays, not symbols; training derives its own gradients"
            )
        return list(self.core.backward(arrays(inputs), arrays([grad_output]), mask))


def apply(kind: str, attributes: Attributes, x: T, *more: Operand | None) -> T:
    """The op's (first) output: a symbol if any input is one, else an array."""
    inputs = (x, *more)
    for symbol in inputs:
        if isinstance(symbol, Symbol):
            traced: Any = symbol.tracer.emit(kind, attributes, inputs)
            return cast("T", traced)
    computed: Any = _core.forward(kind, attributes, arrays(inputs))[0]
    return cast("T", computed)


def apply_all(kind: str, attributes: Attributes, x: T, *more: Operand | None) -> tuple[T, ...]:
    """As `apply`, with all outputs."""
    inputs = (x, *more)
    for symbol in inputs:
        if isinstance(symbol, Symbol):
            traced: Any = symbol.tracer.emit_all(kind, attributes, inputs)
            return cast("tuple[T, ...]", traced)
    computed: Any = tuple(_core.forward(kind, attributes, arrays(inputs)))
    return cast("tuple[T, ...]", computed)


def apply_planned(op: Planned, x: T, *more: Operand | None) -> T:
    """As `apply`."""
    inputs = (x, *more)
    for symbol in inputs:
        if isinstance(symbol, Symbol):
            return apply(op.kind, op.attributes, x, *more)
    computed: Any = op.core.forward(arrays(inputs))[0]
    return cast("T", computed)


def expect(op: str, axes: str, **inputs: object) -> None:
    """Raises ShapeError for an array with another number of axes than "(N, C, L)". Things that are no arrays pass: the
    core refuses them."""
    rank = axes.count(",") + 1
    for name, x in inputs.items():
        shape = getattr(x, "shape", None)
        if shape is None:
            try:
                shape = np.shape(cast("ArrayLike", x))
            except ValueError:  # a ragged list
                continue
        if isinstance(shape, tuple) and shape and len(shape) != rank:
            place = f"{x.tracer.place(op)} ({op})" if isinstance(x, Symbol) else op
            raise _core.ShapeError(f"{place}: {name} must be {axes}, got shape {tuple(shape)}")


def expect_arrays(op: str, axes: str, **inputs: object) -> None:
    """As `expect`, for backward functions: raises TypeError for symbols."""
    if any(isinstance(x, Symbol) for x in inputs.values()):
        raise TypeError(f"{op}: backward functions take arrays, not symbols; training derives its own gradients")
    expect(op, axes, **inputs)


@contextmanager
def named(op: str, kind: str) -> Iterator[None]:
    """While open, errors of the core's op `kind` carry the name of the function that uses it."""
    try:
        yield
    except (TypeError, ValueError) as error:
        text = str(error).replace(f"({kind}): ", f"({op}): ", 1)  # of a layer
        raise type(error)(text.replace(f"{kind}: ", f"{op}: ", 1)) from None


def shape_of(x: object) -> tuple[int, ...]:
    """Of a symbol, or of what NumPy makes an array of."""
    shape = x.shape if isinstance(x, Symbol) else np.shape(cast("ArrayLike", x))
    return tuple(shape)


def input_gradient(kind: str, attributes: Attributes, x: ArrayLike, grad_output: ArrayLike) -> Array:
    """The gradient for x of an op of one input."""
    gradient: Array = Planned(kind, attributes).gradients((x,), grad_output, (True,))[0]
    return gradient


def arrays(inputs: Sequence[Operand | None]) -> list[Any]:
    return [x.data if isinstance(x, Variable) else x for x in inputs]
