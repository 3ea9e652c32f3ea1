# SPDX-License-Identifier: BSD-3-Clause
"""Recurrent layers, and columns, in ONNX; as `convcore.onnx.writers`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx

from .errors import UnsupportedError
from .writers import Step, Writer, _pads, _sides, writes

_X, _W, _R, _BIAS, _LENGTHS, _H, _C, _PEEPHOLE, _RECURRENT_BIAS = range(9)
_OF_PYTORCH = [0, 3, 1, 2]  # ONNX's gates i, o, f, c among PyTorch's i, f, c, o


@writes("lstm")
def _lstm(w: Writer, s: Step) -> list[str]:
    """ONNX has one order of gates, the biases in one tensor, and initial states of one layer alone."""
    a = s.attributes
    ways = 2 if a.get("direction") == "bidirectional" else 1
    hidden = s.shapes[_R][-1]
    names = s.inputs + [""] * (9 - len(s.inputs))
    weights: list[str] = []
    for i in (_W, _R):
        weights.append(w.constant(_gates(w, s, names[i], (ways, 4, hidden, -1)).reshape(ways, 4 * hidden, -1), "gates"))
    bias = ""
    if names[_BIAS] or names[_RECURRENT_BIAS]:
        parts = [
            _gates(w, s, name, (ways, -1, 4, hidden), 2).reshape(ways, -1)
            if name
            else np.zeros((ways, 4 * hidden), np.float32)
            for name in (names[_BIAS], names[_RECURRENT_BIAS])
        ]
        joined = parts[0] if parts[0].shape[1] == 8 * hidden else np.concatenate(parts, 1)
        bias = w.constant(joined, "biases")
    lengths = names[_LENGTHS]
    if lengths:
        lengths = w.node("Cast", [lengths], name=f"{s.name}.lengths", to=onnx.TensorProto.INT32)
    states = [_state(w, s, names[i], i, ways) for i in (_H, _C)]
    inputs = [names[_X], *weights, bias, lengths, *states, names[_PEEPHOLE]]
    attributes: dict[str, Any] = {"direction": a.get("direction", "forward"), "layout": a.get("layout", 0)}
    if a.get("clip", 0.0):
        attributes["clip"] = a["clip"]
    attributes["input_forget"] = int(a.get("input_forget", False))
    while not inputs[-1]:
        inputs.pop()
    return w.several("LSTM", inputs, 3, name=s.name, hidden_size=hidden, **attributes)


def _gates(w: Writer, s: Step, name: str, shape: tuple[int, ...], axis: int = 1) -> Any:
    """Weights with their gates, which lie along the axis, in ONNX's order."""
    if name not in w.arrays:
        raise UnsupportedError([f"{s.name} ({s.kind}) with weights that are computed"])
    array = w.arrays[name].reshape(shape)
    return np.take(array, _OF_PYTORCH, axis) if s.attributes.get("gates") == "ifco" else array


def _state(w: Writer, s: Step, name: str, index: int, ways: int) -> str:
    axis = 1 if s.attributes.get("layout", 0) else 0
    if not name or s.shapes[index][axis] == ways:
        return name
    first = s.attributes.get("first_state", 0)
    ends = (w.ints([v]) for v in (first, first + ways, axis))
    return w.node("Slice", [name, *ends], name=f"{s.name}.state")


@writes("im2col")
def _im2col(w: Writer, s: Step) -> str:
    """A convolution of each channel with kernels that pick one place each."""
    kernel, channels = _sides(s, "kernel_size"), s.shapes[0][1]
    taps = math.prod(kernel)
    picks = np.tile(np.eye(taps, dtype=np.float32).reshape(taps, 1, *kernel), (channels, 1, *[1] * len(kernel)))
    columns = w.node(
        "Conv",
        [s.inputs[0], w.constant(picks)],
        name=f"{s.name}.picked",
        group=channels,
        strides=_sides(s, "stride"),
        dilations=_sides(s, "dilation"),
        pads=_pads(s),
        kernel_shape=kernel,
    )
    return w.node("Reshape", [columns, w.ints(s.outputs[0])], name=s.name, allowzero=1)
