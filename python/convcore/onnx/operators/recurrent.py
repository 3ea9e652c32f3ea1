# SPDX-License-Identifier: BSD-3-Clause
"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ... import functional as F
from ..node import Node, Value
from ..registry import Constants, operator

_ACTIVATIONS = ["Sigmoid", "Tanh", "Tanh"]


def _check(node: Node, known: Constants) -> Iterator[str]:
    names = node.get("activations") or _ACTIVATIONS
    if names not in (_ACTIVATIONS, _ACTIVATIONS * 2):
        yield f"activations={names}"


@operator("LSTM", weights=(1, 2, 3, 4, 7), trained=(1, 2, 3, 7), check=_check)
def lstm(
    node: Node,
    x: Value,
    w: Value,
    r: Value,
    b: Value | None = None,
    sequence_lens: Value | None = None,
    initial_h: Value | None = None,
    initial_c: Value | None = None,
    p: Value | None = None,
) -> list[Value | None]:
    lengths = None if sequence_lens is None else sequence_lens.data
    if isinstance(lengths, np.ndarray):
        lengths = lengths.astype(np.int64)
    bias, h, c, peephole = (None if v is None else v.data for v in (b, initial_h, initial_c, p))
    made = F.lstm(
        x.data,
        w.data,
        r.data,
        bias,
        lengths,
        h,
        c,
        peephole,
        direction=node.get("direction", "forward"),
        layout=node.get("layout", 0),
        hidden_size=node.get("hidden_size"),
        clip=node.get("clip"),
        input_forget=bool(node.get("input_forget", 0)),
    )
    return [Value(y, x.dtype) for y in made]
