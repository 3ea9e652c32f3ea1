"""The one door of all ops: symbols become graph nodes, arrays are computed at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .. import _core
from ..parameter import Variable
from ..symbol import Array, Operand, Symbol, T

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from .._core import Attributes


def apply(kind: str, attributes: Attributes, x: T, *more: Operand | None) -> T:
    """The op's (first) output: a symbol if any input is one, else an array."""
    inputs = (x, *more)
    for symbol in inputs:
        if isinstance(symbol, Symbol):
            traced: Any = symbol.tracer.emit(kind, attributes, inputs)
            return cast("T", traced)
    computed: Any = _core.forward(kind, attributes, arrays(inputs))[0]
    return cast("T", computed)


def input_gradient(kind: str, attributes: Attributes, x: ArrayLike, grad_output: ArrayLike) -> Array:
    """The gradient for x of an op of one input."""
    gradient: Array = gradients(kind, attributes, (x,), grad_output, (True,))[0]
    return gradient


def gradients(
    kind: str,
    attributes: Attributes,
    inputs: Sequence[Operand | None],
    grad_output: Operand,
    mask: Sequence[bool],
) -> list[Any]:
    """The op's gradients for those inputs whose mask is True, None for the others."""
    for x in (grad_output, *inputs):
        if isinstance(x, Symbol):
            raise TypeError(f"{kind}: backward functions take arrays, not symbols; training derives its own gradients")
    return list(_core.backward(kind, attributes, arrays(inputs), arrays([grad_output]), mask))


def arrays(inputs: Sequence[Operand | None]) -> list[Any]:
    return [x.data if isinstance(x, Variable) else x for x in inputs]
