# SPDX-License-Identifier: BSD-3-Clause
"""Every operator by name: a function of the node and its inputs' values to its outputs' values.

@operator("Relu")
def relu(node: Node, x: Value) -> Value: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

from .node import Node, Value

Handler = Callable[..., "Value | Sequence[Value | None]"]
Constants = Mapping[str, NDArray[Any]]
Check = Callable[[Node, Constants], Iterable[str]]
H = TypeVar("H", bound=Callable[..., Any])


@dataclass(frozen=True)
class Operator:
    """run: see above. check: what of a node, beside these constants, cannot be computed, seen before anything runs.

    shapes: inputs whose values decide shapes, or how the op is planned: they must be known when the model is traced.
    weights: inputs that are planned as weights are; a graph input at such a place is known when the model is traced.
    trained, kept: inputs whose initializers become parameters, buffers."""

    run: Handler
    check: Check | None
    shapes: frozenset[int]
    weights: frozenset[int]
    trained: frozenset[int]
    kept: frozenset[int]


OPERATORS: dict[str, Operator] = {}


def operator(
    *names: str,
    check: Check | None = None,
    shapes: Iterable[int] = (),
    weights: Iterable[int] = (),
    trained: Iterable[int] = (),
    kept: Iterable[int] = (),
) -> Callable[[H], H]:
    """Registers a function for these operators of the ONNX domain."""

    def register(run: H) -> H:
        for name in names:
            sets = (frozenset(s) for s in (shapes, weights, trained, kept))
            OPERATORS[name] = Operator(run, check, *sets)
        return run

    return register
