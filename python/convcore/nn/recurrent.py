"""Recurrent layers."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..arguments import integer, number
from ..functional.dispatch import apply_all
from ..symbol import Symbol
from . import init
from .module import Module


class LSTM(Module):
    """Long short-term memory, for inference: (time, batch, input_size) to (time, batch, directions * hidden_size).

    Called with x, or x, h_0 and c_0, it gives output, h_n and c_n: states are (num_layers * directions, batch,
    hidden_size), as PyTorch's, but in no tuple of their own. batch_first: x and the output are (batch, time, ...).
    Parameters have PyTorch's names and order of gates (i, f, g, o): weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0,
    with _reverse behind those of the other direction. They begin uniform in +-1 / sqrt(hidden_size). dropout is of
    training, and so without effect.
    Raises TypeError or ValueError for wrong settings and for proj_size; in use, ShapeError where shapes do not fit, and
    ValueError in training, since there is no gradient.
    Source: torch.nn.LSTM; Hochreiter and Schmidhuber, "Long Short-Term Memory".
    """

    settings = (
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "batch_first",
        "dropout",
        "bidirectional",
        "proj_size",
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
    ) -> None:
        name = "LSTM"
        self.input_size = integer(name, "input_size", input_size)
        self.hidden_size = integer(name, "hidden_size", hidden_size)
        self.num_layers = integer(name, "num_layers", num_layers)
        self.bias = bool(bias)
        self.batch_first = bool(batch_first)
        self.dropout = number(name, "dropout", dropout)
        self.bidirectional = bool(bidirectional)
        self.proj_size = integer(name, "proj_size", proj_size)
        if self.num_layers < 1 or self.proj_size != 0 or not 0 <= self.dropout <= 1:
            raise ValueError(
                f"{name}: num_layers must be positive, dropout in [0, 1] and proj_size 0, got {num_layers}, {dropout} "
                f"and {proj_size}"
            )
        for layer in range(self.num_layers):
            inputs = self.hidden_size * len(self._directions()) if layer else self.input_size
            for way in self._directions():
                self._add_parameters(inputs, f"l{layer}{way}")

    def _add_parameters(self, inputs: int, suffix: str) -> None:
        gates, bound = 4 * self.hidden_size, max(self.hidden_size, 1) ** -0.5
        biases: list[tuple[int, ...]] = [(gates,), (gates,)] if self.bias else []
        for key, shape in zip(_NAMES, [(gates, inputs), (gates, self.hidden_size), *biases], strict=False):
            parameter = init.empty("LSTM", *shape)
            if not init.is_blank():
                init.uniform_(parameter, -bound, bound)
            setattr(self, f"{key}_{suffix}", parameter)

    def _directions(self) -> list[str]:
        return ["", "_reverse"] if self.bidirectional else [""]

    def forward(self, x: Symbol, h_0: Symbol | None = None, c_0: Symbol | None = None) -> tuple[Symbol, Symbol, Symbol]:
        if x.ndim != 3:
            raise ValueError(f"LSTM: expected 3-D input, got shape {x.shape}")
        x = F.permute(x, (1, 0, 2)) if self.batch_first else x
        time, batch, _ = x.shape
        hidden: list[Symbol] = []
        cells: list[Symbol] = []
        for layer in range(self.num_layers):
            outputs = []
            for way in self._directions():
                y, h, c = self._run(x, h_0, c_0, len(hidden), f"l{layer}{way}")
                outputs.append(y)
                hidden.append(F.reshape(h, (1, 1, batch * self.hidden_size)))
                cells.append(F.reshape(c, (1, 1, batch * self.hidden_size)))
            x = F.reshape(F.permute(F.concat(outputs), (0, 2, 1, 3)), (time, batch, len(outputs) * self.hidden_size))
        states = (len(hidden), batch, self.hidden_size)
        h_n, c_n = F.reshape(F.concat(hidden), states), F.reshape(F.concat(cells), states)
        return F.permute(x, (1, 0, 2)) if self.batch_first else x, h_n, c_n

    def _run(self, x: Symbol, h_0: Symbol | None, c_0: Symbol | None, state: int, suffix: str) -> tuple[Symbol, ...]:
        """One layer in one direction, whose initial states have the number `state`."""
        w, r, b_ih, b_hh = (getattr(self, f"{key}_{suffix}", None) for key in _NAMES)
        direction = "reverse" if suffix.endswith("_reverse") else "forward"
        attributes: dict[str, Any] = {"direction": direction, "gates": "ifco", "first_state": state}
        return apply_all("lstm", attributes, x, w, r, b_ih, None, h_0, c_0, None, b_hh)


_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
