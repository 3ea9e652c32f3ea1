# SPDX-License-Identifier: BSD-3-Clause
"""Nodes whose inputs are all known are computed when the model is read, or traced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from .node import Node
from .operators import FOLDED
from .registry import OPERATORS

_MOST_ELEMENTS = 1 << 18  # that ONNX's reference computes with, where the core could

RANDOM = {
    "RandomNormal",
    "RandomUniform",
    "RandomNormalLike",
    "RandomUniformLike",
    "Bernoulli",
    "Multinomial",
    "Dropout",
}


def fold(node: Node, inputs: Sequence[NDArray[Any] | None]) -> list[NDArray[Any]]:
    """The outputs of a node on known inputs: exactly, in the inputs' types.

    Raises ValueError where the node does not fit them, NotImplementedError where nobody computes it.
    """
    known = FOLDED.get(node.op)
    try:
        if known is not None:
            made = known(node, *inputs)
            return [made] if isinstance(made, np.ndarray) else [np.asarray(m) for m in made]
        return _by_reference(node, inputs)
    except NotImplementedError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)
        raise ValueError(f"onnx: {node.name} ({node.op}): {text}") from None


def _by_reference(node: Node, inputs: Sequence[NDArray[Any] | None]) -> list[NDArray[Any]]:
    from onnx.reference import ReferenceEvaluator

    if node.op in OPERATORS and sum(a.size for a in inputs if a is not None) > _MOST_ELEMENTS:
        raise NotImplementedError(f"{node.op} is left to the core, which needs no loops of Python")
    names = [name for name in node.inputs if name]
    arrays = {n: a for n, a in zip(node.inputs, inputs, strict=True) if a is not None}
    info = [
        onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(arrays[n].dtype), arrays[n].shape)
        for n in dict.fromkeys(names)
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.outputs if name]
    graph = onnx.helper.make_graph([node.proto], "folded", info, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", node.version)])
    try:
        evaluator = ReferenceEvaluator(model)
    except Exception as error:  # an op that the reference does not know
        raise NotImplementedError(str(error)) from None
    with np.errstate(all="ignore"):
        made = evaluator.run(None, {n: arrays[n] for n in names})
    if not all(isinstance(m, (np.ndarray, np.generic)) for m in made):
        raise NotImplementedError("its result is no tensor")
    results = iter(np.asarray(m) for m in made)
    return [next(results) if name else np.zeros(0, np.float32) for name in node.outputs]
