# SPDX-License-Identifier: BSD-3-Clause
"""Ops that exporters write in parts, put together again: the activations that x is multiplied with itself by, a
transposition between two reshapes, and group norm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from .node import Node

_MAX_DEPTH = 4  # of products within a product


def recognise(
    nodes: Sequence[Node], constants: dict[str, NDArray[Any]], static: Iterable[str], outputs: Sequence[str]
) -> list[Node]:
    """The nodes with one in place of the parts of a pattern, which nobody else reads. What is known when the model is
    traced, from constants, static inputs and shapes, is left as it is: it is computed node by node."""
    known = _Known(nodes, constants, outputs)
    traced = {*constants, *static}
    for node in nodes:
        if node.op in ("Shape", "Size") or all(name in traced for name in node.inputs if name):
            traced |= set(node.outputs)
    kept: list[Node] = []
    wanted = set(outputs)
    for node in reversed(nodes):
        if wanted & set(node.outputs):
            whole = known.activation(node) or known.rearrangement(node) or known.group_norm(node) or node
            if whole.inputs and whole.inputs[0] in traced:
                whole = node
            wanted |= set(whole.inputs) - {""}
            kept.append(whole)
    return kept[::-1]


class _Known:
    def __init__(self, nodes: Sequence[Node], constants: dict[str, NDArray[Any]], outputs: Sequence[str]) -> None:
        self._constants = constants
        self._maker = {name: node for node in nodes for name in node.outputs if name}
        self._readers = Counter(name for node in nodes for name in node.inputs) + Counter(outputs)

    def part(self, name: str, *ops: str) -> Node | None:
        """The node that makes the value for one reader alone, if it is one of these ops."""
        node = self._maker.get(name)
        return node if node is not None and node.op in ops and self._readers[name] == 1 else None

    def number(self, name: str) -> float | None:
        array = self._constants.get(name)
        return float(array.reshape(-1)[0]) if array is not None and array.size == 1 and array.ndim < 2 else None

    def split(self, node: Node) -> tuple[float | None, str]:
        """A node of two inputs as a number and the name of the other one."""
        first, second = (self.number(name) for name in node.inputs)
        return (second, node.inputs[0]) if second is not None else (first, node.inputs[1])

    def product(self, node: Node, depth: int = 0) -> tuple[float, list[str]]:
        """A product, and the products and divisions by numbers that it is made of, as a number and other factors."""
        factor = 1.0
        names: list[str] = []
        for i, name in enumerate(node.inputs):
            number, inner = self.number(name), self.part(name, "Mul", "Div")
            if number is not None:
                factor = factor * number if node.op == "Mul" or i == 0 else factor / number if number else float("nan")
            elif inner is not None and depth < _MAX_DEPTH and not (node.op == "Div" and i == 1):
                by, more = self.product(inner, depth + 1)
                factor, names = factor * by, names + more
            else:
                names.append(name if node.op == "Mul" or i == 0 else "")
        if node.op == "Div" and self.number(node.inputs[0]) is not None:
            names.append("")  # the reciprocal of something
        return factor, names

    def activation(self, node: Node) -> Node | None:
        """x sigmoid(x), x hardsigmoid(x), x clip(x + 3, 0, 6) / 6, x (1 + erf(x / sqrt 2)) / 2"""
        if node.op not in ("Mul", "Div"):
            return None
        factor, names = self.product(node)
        if len(names) != 2:
            return None
        for x, gate in (names, names[::-1]):
            op = self._gated(x, gate, factor)
            if op is not None:
                return replace(node, op=op, inputs=(x,), attributes={})
        return None

    def _gated(self, x: str, gate: str, factor: float) -> str | None:
        node = self.part(gate, "Sigmoid", "HardSigmoid", "Clip", "Add")
        if node is None or not x:
            return None
        if node.op == "Sigmoid":
            return "Swish" if node.inputs[0] == x and factor == 1 else None
        if node.op == "HardSigmoid":
            alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
            fits = node.inputs[0] == x and _near(alpha, 1 / 6) and beta == 0.5 and factor == 1
            return "HardSwish" if fits else None
        if node.op == "Clip":
            ends = [
                node.get(n) if len(node.inputs) <= i else self.number(node.inputs[i])
                for i, n in ((1, "min"), (2, "max"))
            ]
            shifted = self.part(node.inputs[0], "Add")
            fits = shifted is not None and self.split(shifted) == (3.0, x) and ends == [0, 6] and _near(factor, 1 / 6)
            return "HardSwish" if fits else None
        one, name = self.split(node)
        erf = self.part(name, "Erf")
        inner = self.part(erf.inputs[0], "Mul", "Div") if erf is not None else None
        if one != 1 or inner is None or not _near(factor, 0.5):
            return None
        by, names = self.product(inner)
        return "Gelu" if names == [x] and _near(by, 0.5**0.5) else None

    def rearrangement(self, node: Node) -> Node | None:
        """Reshape, Transpose, Reshape"""
        if node.op != "Reshape":
            return None
        turned = self.part(node.inputs[0], "Transpose")
        first = self.part(turned.inputs[0], "Reshape") if turned is not None else None
        if turned is None or first is None or "perm" not in turned.attributes:
            return None
        attributes = {"perm": turned.get("perm"), "allowzero": node.get("allowzero", 0)}
        attributes["view_allowzero"] = first.get("allowzero", 0)
        return replace(node, op="Rearrange", inputs=(*first.inputs, node.inputs[1]), attributes=attributes)

    def group_norm(self, node: Node) -> Node | None:
        """Reshape, InstanceNormalization, Reshape, and a Mul, an Add, or both, by what no node makes"""
        parts = [node]
        for op, inner in (("Add", ("Mul", "Reshape")), ("Mul", ("Reshape",))):
            if parts[0].op == op:
                part = self.applied(parts[0], *inner)
                if part is None:
                    return None
                parts.insert(0, part)
        norm = self.part(parts[0].inputs[0], "InstanceNormalization") if parts[0].op == "Reshape" else None
        first = self.part(norm.inputs[0], "Reshape") if norm is not None else None
        if norm is None or first is None:
            return None
        parts = [first, norm, *parts]
        made = {part.outputs[0] for part in parts}
        inputs = dict.fromkeys(name for part in parts for name in part.inputs if name not in made)
        return replace(node, op="GroupNormParts", inputs=tuple(inputs), attributes={"parts": parts})

    def applied(self, node: Node, *ops: str) -> Node | None:
        """Of a node of two inputs, one of which no node makes, the node that makes the other one for it alone, if it is
        one of these ops."""
        for name, other in (node.inputs, node.inputs[::-1]):
            if other not in self._maker:
                return self.part(name, *ops)
        return None


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-4 * abs(b)
