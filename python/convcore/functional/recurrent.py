"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..arguments import integer, number
from ..symbol import Operand, T
from .dispatch import apply_all, shape_of

_ACTIVATIONS = ["sigmoid", "tanh", "tanh"]


def lstm(
    x: T,
    w: Operand,
    r: Operand,
    b: Operand | None = None,
    sequence_lens: Operand | None = None,
    initial_h: Operand | None = None,
    initial_c: Operand | None = None,
    p: Operand | None = None,
    *,
    direction: str = "forward",
    layout: int = 0,
    hidden_size: int | None = None,
    clip: float | None = None,
    input_forget: bool = False,
    activations: Sequence[str] | None = None,
) -> tuple[T, T, T]:
    """ONNX's LSTM, for inference: (y, y_h, y_c), all outputs and the last hidden and cell states.

    x: (time, batch, inputs); w: (directions, 4 hidden, inputs), in the order of gates i, o, f, c; r: (directions,
    4 hidden, hidden); b: (directions, 8 hidden), that of w, then that of r; sequence_lens: (batch,), steps of each
    sequence; initial_h, initial_c: (directions, batch, hidden); p: (directions, 3 hidden), the weights of the cell in
    gates i, o and f. y: (time, directions, batch, hidden), 0 behind a sequence's end; y_h, y_c: (directions, batch,
    hidden).
    direction: "forward", "reverse" or "bidirectional". layout 1: batch comes first in x, y and states. clip: bound of
    what activations are given. input_forget: f = 1 - i. activations: the default ones, sigmoid, tanh and tanh, alone.
    Raises ShapeError where shapes do not fit, ValueError for settings out of range and other activations; where a
    program is for training, ValueError, since there is no gradient.
    Source: ONNX, operator LSTM; Hochreiter and Schmidhuber, "Long Short-Term Memory".
    """
    op = "lstm"
    names = [str(name) for name in activations or ()]
    if [name.lower() for name in names] not in ([], _ACTIVATIONS, _ACTIVATIONS * 2):
        raise ValueError(f"{op}: activations must be Sigmoid, Tanh and Tanh, got {', '.join(names)}")
    hidden = shape_of(r)[-1:]
    if hidden_size is not None and hidden != (integer(op, "hidden_size", hidden_size),):
        raise ValueError(f"{op}: hidden_size must be r's last size, got {hidden_size} for r of {shape_of(r)}")
    attributes: dict[str, Any] = {
        "direction": str(direction),
        "layout": integer(op, "layout", layout),
        "clip": 0.0 if clip is None else number(op, "clip", clip),
        "input_forget": bool(input_forget),
    }
    y, y_h, y_c = apply_all(op, attributes, x, w, r, b, sequence_lens, initial_h, initial_c, p)
    return y, y_h, y_c
