"""ONNX's LSTM in float64, one sequence at a time. Formulas: the operator's page."""

from collections.abc import Sequence

import numpy as np

from .common import Array, Attributes


def _sigmoid(v: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(v / 2)


def _steps(a: Attributes, x: Array, w: Array, r: Array, b: Array, h: Array, c: Array, p: Array) -> tuple[Array, ...]:
    """One direction of one sequence. x: (time, inputs)."""
    bound = a.get("clip") or np.inf
    outputs, (p_i, p_o, p_f) = [], np.split(p, 3)
    for v in x:
        z = np.split(w @ v + r @ h + b[: len(w)] + b[len(w) :], 4)
        i, o, f, g = z if a.get("gates", "iofc") == "iofc" else (z[0], z[3], z[1], z[2])
        i = _sigmoid(np.clip(i + p_i * c, -bound, bound))
        f = 1 - i if a.get("input_forget") else _sigmoid(np.clip(f + p_f * c, -bound, bound))
        c = f * c + i * np.tanh(np.clip(g, -bound, bound))
        h = _sigmoid(np.clip(o + p_o * c, -bound, bound)) * np.tanh(c)
        outputs.append(h)
    return np.reshape(outputs, (len(x), len(h))), h, c


def lstm(a: Attributes, *inputs: Array | None) -> Sequence[Array]:
    """y, y_h, y_c of x, W, R, bias, lengths, initial_h, initial_c, P."""
    x, w, r, b, lengths, h0, c0, p = (*inputs, *[None] * (8 - len(inputs)))
    assert x is not None
    assert w is not None
    assert r is not None
    if a.get("layout"):
        x, h0, c0 = (None if v is None else v.swapaxes(0, 1) for v in (x, h0, c0))
        assert x is not None
    time, batch, _ = x.shape
    directions, _, hidden = r.shape
    y, states = np.zeros((time, directions, batch, hidden)), np.zeros((2, directions, batch, hidden))
    for d in range(directions):
        backwards = d == 1 or a.get("direction") == "reverse"
        for n in range(batch):
            steps = time if lengths is None else int(lengths[n])
            sequence = x[:steps, n][::-1] if backwards else x[:steps, n]
            outputs, h, c = _steps(
                a,
                sequence,
                w[d],
                r[d],
                np.zeros(8 * hidden) if b is None else b[d],
                np.zeros(hidden) if h0 is None else h0[d, n],
                np.zeros(hidden) if c0 is None else c0[d, n],
                np.zeros(3 * hidden) if p is None else p[d],
            )
            y[:steps, d, n] = outputs[::-1] if backwards else outputs
            states[:, d, n] = h, c
    if a.get("layout"):
        return y.transpose(2, 0, 1, 3), states[0].swapaxes(0, 1), states[1].swapaxes(0, 1)
    return y, states[0], states[1]
