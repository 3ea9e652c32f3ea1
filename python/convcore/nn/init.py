"""Initial values, in place, drawn from the library's generator (`manual_seed`). Source: torch.nn.init.

By name for a whole network: `initialize(model, "he_normal")`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import numpy as np

from .. import rng
from ..parameter import Parameter, Variable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .module import Module

_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}


def calculate_gain(nonlinearity: str, param: float = 0.01) -> float:
    """The factor that keeps variances through a nonlinearity; param: leaky_relu's negative slope.

    Raises ValueError for other nonlinearities. Source: torch.nn.init.calculate_gain.
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + param**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"calculate_gain: {nonlinearity!r} is none of leaky_relu, {', '.join(_GAINS)}")
    return _GAINS[nonlinearity]


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (O, I, ...): I and O times the window's size.

    Raises ValueError for a weight of fewer than 2 dimensions. Source: torch.nn.init.
    """
    if len(shape) < 2:
        raise ValueError(f"init: fans need a weight of at least 2 dimensions, got shape {tuple(shape)}")
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def uniform_(variable: Variable, a: float = 0.0, b: float = 1.0) -> None:
    """Uniform in [a, b).

    Raises TypeError for bounds that are no numbers. Source: torch.nn.init.uniform_.
    """
    variable.data = rng.generator().random(variable.shape, np.float32) * np.float32(b - a) + np.float32(a)


def normal_(variable: Variable, mean: float = 0.0, std: float = 1.0) -> None:
    """Normal.

    Raises ValueError for a mean or std that is no number. Source: torch.nn.init.normal_.
    """
    variable.data = rng.generator().standard_normal(variable.shape, np.float32) * np.float32(std) + np.float32(mean)


def constant_(variable: Variable, value: float) -> None:
    """Everywhere the same value. Raises ValueError for what is no number. Source: torch.nn.init.constant_."""
    variable.data = np.broadcast_to(np.float32(value), variable.shape)


def zeros_(variable: Variable) -> None:
    """0 everywhere. Source: torch.nn.init.zeros_."""
    constant_(variable, 0.0)


def ones_(variable: Variable) -> None:
    """1 everywhere. Source: torch.nn.init.ones_."""
    constant_(variable, 1.0)


def _std(shape: Sequence[int], a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f'init: mode must be "fan_in" or "fan_out", got {mode!r}')
    fan = fans(shape)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def kaiming_uniform_(
    variable: Variable, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> None:
    """He et al., "Delving Deep into Rectifiers": uniform in +-gain * sqrt(3 / fan).

    Raises ValueError for a weight of fewer than 2 dimensions, other modes and nonlinearities.
    Source: torch.nn.init.kaiming_uniform_.
    """
    bound = math.sqrt(3) * _std(variable.shape, a, mode, nonlinearity)
    uniform_(variable, -bound, bound)


def kaiming_normal_(variable: Variable, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> None:
    """He et al., "Delving Deep into Rectifiers": normal with deviation gain / sqrt(fan).

    Raises ValueError for a weight of fewer than 2 dimensions, other modes and nonlinearities.
    Source: torch.nn.init.kaiming_normal_.
    """
    normal_(variable, 0.0, _std(variable.shape, a, mode, nonlinearity))


def xavier_uniform_(variable: Variable, gain: float = 1.0) -> None:
    """Glorot and Bengio: uniform in +-gain * sqrt(6 / (fan_in + fan_out)).

    Raises ValueError for a weight of fewer than 2 dimensions. Source: torch.nn.init.xavier_uniform_.
    """
    bound = gain * math.sqrt(6 / max(sum(fans(variable.shape)), 1))
    uniform_(variable, -bound, bound)


def xavier_normal_(variable: Variable, gain: float = 1.0) -> None:
    """Glorot and Bengio: normal with deviation gain * sqrt(2 / (fan_in + fan_out)).

    Raises ValueError for a weight of fewer than 2 dimensions. Source: torch.nn.init.xavier_normal_.
    """
    normal_(variable, 0.0, gain * math.sqrt(2 / max(sum(fans(variable.shape)), 1)))


def default_(weight: Variable, bias: Variable | None = None) -> None:
    """PyTorch's default for convolutions and linear layers: both uniform in +-1 / sqrt(fan_in).

    Raises ValueError for a weight of fewer than 2 dimensions. Source: torch.nn.Conv2d, torch.nn.Linear.
    """
    bound = 1 / math.sqrt(max(fans(weight.shape)[0], 1))
    uniform_(weight, -bound, bound)
    if bias is not None:
        uniform_(bias, -bound, bound)


BY_NAME: dict[str, Callable[[Variable], None]] = {
    "default": default_,
    "kaiming_uniform": kaiming_uniform_,
    "kaiming_normal": kaiming_normal_,
    "he_uniform": kaiming_uniform_,
    "he_normal": kaiming_normal_,
    "xavier_uniform": xavier_uniform_,
    "xavier_normal": xavier_normal_,
    "glorot_uniform": xavier_uniform_,
    "glorot_normal": xavier_normal_,
}


def initialize(module: Module, name: str) -> None:
    """Draws all weights of convolutions and linear layers below the module anew; their biases become 0.

    name: kaiming_uniform, kaiming_normal (also he_*), xavier_uniform, xavier_normal (also glorot_*), or "default",
    which draws the biases too, as PyTorch's layers do. Raises ValueError for other names.
    Source: torch.nn.init.
    """
    if name not in BY_NAME:
        raise ValueError(f"initialize: {name!r} is none of {', '.join(BY_NAME)}")
    for layer in module.modules():
        weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
        if not isinstance(weight, Parameter) or weight.ndim < 2:
            continue
        if name == "default":
            default_(weight, bias)
        else:
            BY_NAME[name](weight)
            if bias is not None:
                zeros_(bias)


# --- making parameters --------------------------------------------------------------------------------------------

_budget: ContextVar[list[int] | None] = ContextVar("budget", default=None)


@contextmanager
def blank(budget: int) -> Iterator[None]:
    """Within, layers are made with zeros, for weights that come from a file of at most `budget` numbers.

    A layer that wants more raises ValueError before any memory is taken: sizes in files are not to be believed.
    """
    token = _budget.set([budget])
    try:
        yield
    finally:
        _budget.reset(token)


def is_blank() -> bool:
    return _budget.get() is not None


def empty(layer: str, *shape: int) -> Parameter:
    """A parameter of zeros for a layer to fill. Raises ValueError for sizes below 1."""
    if min(shape) < 1:
        raise ValueError(f"{layer}: sizes must be at least 1, got a parameter of shape {shape}")
    budget = _budget.get()
    if budget is not None:
        budget[0] -= math.prod(shape)
        if budget[0] < 0:
            raise ValueError(f"{layer}: a parameter of shape {shape} is more than the file holds")
    return Parameter(np.broadcast_to(np.float32(0), shape))
