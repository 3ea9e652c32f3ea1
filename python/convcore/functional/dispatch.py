"""The one door of all ops: symbols become graph nodes, arrays are computed at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _core
from ..parameter import Variable
from ..symbol import Operand, Symbol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._core import Attributes


def apply(kind: str, attributes: Attributes, *inputs: Operand | None) -> Any:
    """The op's (first) output: a symbol if any input is one, else an array."""
    for x in inputs:
        if isinstance(x, Symbol):
            return x.tracer.emit(kind, attributes, inputs)
    return _core.forward(kind, attributes, arrays(inputs))[0]


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
