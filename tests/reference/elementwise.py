"""Arithmetic in float64: functions of one, two and three operands, repeated as NumPy repeats them.

Gradients at kinks and of equals are PyTorch's.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from .common import SMALL, Array, Attributes, ReferenceOp, elementwise

TERMS = 8  # roundings of one element's value
_erf = np.vectorize(math.erf, otypes=[np.float64])


def reduce_to(grad: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of broadcasting: a sum over the broadcast axes."""
    axes = tuple(i for i, (g, s) in enumerate(zip(grad.shape, shape, strict=True)) if s == 1 and g != 1)
    return grad.sum(axes, keepdims=True)


def fan(grad: Array, shape: tuple[int, ...]) -> float:
    return grad.size / max(1, int(np.prod(shape)))


def _sigmoid(x: Array) -> Array:
    return np.exp(-np.logaddexp(0, -x))


def _plain(function: Callable[[Array], Array], slope: Callable[[Array], Array]) -> ReferenceOp:
    """Few roundings of values that are the results' size."""
    return elementwise(
        lambda a, x: function(x),
        lambda a, x: slope(x),
        lambda a, x: np.abs(function(x)),
        lambda a, x: np.abs(slope(x)),
        TERMS,
    )


def _step(function: Callable[[Array], Array]) -> ReferenceOp:
    return elementwise(lambda a, x: function(x), lambda a, x: 0 * x, lambda a, x: 0 * x, lambda a, x: 0 * x)


def _elu(alpha: float, scale: float, inner: Callable[[float], float]) -> ReferenceOp:
    """gamma x where x > 0, else gamma alpha (e^(inner(alpha) x) - 1), with these for the settings' defaults."""

    def settings(a: Attributes) -> tuple[float, float, float]:
        given = a.get("alpha", alpha)
        return given, a.get("gamma", scale), inner(given)

    def forward(a: Attributes, x: Array) -> Array:
        k, p, c = settings(a)
        return np.where(x > 0, p * x, p * k * np.expm1(c * np.minimum(x, 0)))

    def slope(a: Attributes, x: Array) -> Array:
        k, p, c = settings(a)
        return np.where(x > 0, p, p * k * c * np.exp(c * np.minimum(x, 0)))

    return elementwise(
        forward,
        slope,
        lambda a, x: np.abs(forward(a, x)),
        lambda a, x: np.abs(slope(a, x)) * (1 + np.abs(settings(a)[2] * x)),
        TERMS,
    )


def _mish_tanh(x: Array) -> Array:
    return np.tanh(np.logaddexp(0, x))


def _mish_rest(x: Array) -> Array:
    """x (1 - t^2) sigmoid x"""
    return x * _sigmoid(x) / np.cosh(np.minimum(np.logaddexp(0, x), 300)) ** 2


def _softplus(a: Attributes, x: Array) -> Array:
    beta = a.get("beta", 1.0)
    return np.where(beta * x > a.get("threshold", 20.0), x, np.logaddexp(0, beta * x) / beta)


def _softplus_slope(a: Attributes, x: Array) -> Array:
    beta = a.get("beta", 1.0)
    return np.where(beta * x > a.get("threshold", 20.0), 1.0, _sigmoid(beta * x))


def _line(a: Attributes, x: Array) -> Array:
    return a.get("alpha", 1 / 6) * x + a.get("beta", 0.5)


def _line_size(a: Attributes, x: Array) -> Array:
    return np.where(np.abs(_line(a, x)) < 2, np.abs(a.get("alpha", 1 / 6) * x) + abs(a.get("beta", 0.5)), 0)


def _bounds(a: Attributes) -> tuple[float, float]:
    return a.get("min", -math.inf), a.get("max", math.inf)


_UNARY: dict[str, ReferenceOp] = {
    "hardsigmoid": elementwise(
        lambda a, x: np.clip(_line(a, x), 0, 1),
        lambda a, x: a.get("alpha", 1 / 6) * ((_line(a, x) > 0) & (_line(a, x) < 1)),
        _line_size,
        lambda a, x: abs(a.get("alpha", 1 / 6)) + 0 * x,
    ),
    "elu": _elu(1.0, 1.0, lambda alpha: 1.0),
    "selu": _elu(1.6732632423543772, 1.0507009873554805, lambda alpha: 1.0),
    "celu": _elu(1.0, 1.0, lambda alpha: 1 / alpha),
    "mish": elementwise(
        lambda a, x: x * _mish_tanh(x),
        lambda a, x: _mish_tanh(x) + _mish_rest(x),
        lambda a, x: np.abs(x * _mish_tanh(x)),
        lambda a, x: _mish_tanh(x) + (1 + np.abs(x)) * np.abs(_mish_rest(x)),
    ),
    "softplus": elementwise(
        _softplus,
        _softplus_slope,
        lambda a, x: np.abs(_softplus(a, x)) * (1 + np.minimum(np.abs(a.get("beta", 1.0) * x), 20)),
        lambda a, x: _softplus_slope(a, x) * (1 + np.minimum(np.abs(a.get("beta", 1.0) * x), 100)),
    ),
    "softsign": _plain(lambda x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2),
    "threshold": elementwise(
        lambda a, x: np.where(x > a.get("threshold", 0.0), x, a.get("value", 0.0)),
        lambda a, x: (x > a.get("threshold", 0.0)) * 1.0,
        lambda a, x: np.abs(a.get("value", 0.0)) + 0 * x,
        lambda a, x: 0 * x,
    ),
    "erf": elementwise(
        lambda a, x: _erf(x),
        lambda a, x: 2 / math.sqrt(math.pi) * np.exp(-x * x),
        lambda a, x: np.abs(_erf(x)),
        lambda a, x: np.exp(-x * x) * (1 + x * x),
    ),
    "exp": _plain(np.exp, np.exp),
    "log": _plain(np.log, lambda x: 1 / x),
    "sqrt": _plain(np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "abs": elementwise(lambda a, x: np.abs(x), lambda a, x: np.sign(x), lambda a, x: 0 * x, lambda a, x: 0 * x),
    "neg": elementwise(lambda a, x: -x, lambda a, x: 0 * x - 1, lambda a, x: 0 * x, lambda a, x: 0 * x),
    "reciprocal": _plain(lambda x: 1 / x, lambda x: -1 / x**2),
    "floor": _step(np.floor),
    "ceil": _step(np.ceil),
    "round": _step(np.rint),
    "sign": _step(np.sign),
    "clamp": elementwise(
        lambda a, x: np.minimum(np.maximum(x, _bounds(a)[0]), _bounds(a)[1]),
        lambda a, x: ((x >= _bounds(a)[0]) & (x <= _bounds(a)[1])) * 1.0,
        lambda a, x: np.minimum(np.abs(np.clip(x, *_bounds(a))), np.abs(x)),
        lambda a, x: 0 * x,
    ),
    "logical_not": ReferenceOp(lambda a, x: (x == 0) * 1.0, lambda a, x: 0 * x),
}
Slope = Callable[..., Array]


def broadcast(
    function: Callable[..., Array],
    slopes: Sequence[Slope],
    sizes: Sequence[Slope] = (),
    terms: float = TERMS,
    size: Slope | None = None,
) -> ReferenceOp:
    """y = f(operands) with the slope for each operand; sizes: of what is rounded in the slopes, and size: in the value,
    if not their own."""
    sizes, value_size = sizes or slopes, size or function

    def backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
        return [reduce_to(grad * slope(*inputs), x.shape) for x, slope in zip(inputs, slopes, strict=True)]

    def backward_error(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
        return [
            (fan(grad, x.shape) + terms) * reduce_to(np.abs(grad * size(*inputs)), x.shape)
            for x, size in zip(inputs, sizes, strict=True)
        ]

    return ReferenceOp(
        lambda a, *inputs: function(*inputs),
        lambda a, *inputs: terms * np.abs(value_size(*inputs)),
        backward,
        backward_error,
    )


def _truth(function: Callable[..., Array]) -> ReferenceOp:
    return ReferenceOp(lambda a, x, y: function(x, y) * 1.0, lambda a, x, y: 0.0 * function(x, y))


def _one(x: Array, y: Array) -> Array:
    return np.ones(np.broadcast_shapes(x.shape, y.shape))


def _share(larger: Callable[[Array, Array], Array]) -> Slope:
    return lambda x, y: np.where(x == y, 0.5, larger(x, y) * 1.0)


_BINARY: dict[str, ReferenceOp] = {
    "add": broadcast(np.add, (_one, _one), terms=SMALL),
    "subtract": broadcast(np.subtract, (_one, lambda x, y: -_one(x, y)), terms=SMALL),
    "multiply": broadcast(np.multiply, (lambda x, y: y + 0 * x, lambda x, y: x + 0 * y), terms=SMALL),
    "divide": broadcast(np.divide, (lambda x, y: 1 / y + 0 * x, lambda x, y: -x / y**2)),
    "power": broadcast(
        np.power,
        (lambda x, y: y * x ** (y - 1), lambda x, y: x**y * np.log(x)),
        (lambda x, y: y * x ** (y - 1) * (1 + np.abs(np.log(x)) * (1 + np.abs(y))), lambda x, y: x**y * np.log(x)),
    ),
    "maximum": broadcast(np.maximum, (_share(np.greater), _share(np.less))),
    "minimum": broadcast(np.minimum, (_share(np.less), _share(np.greater))),
    "remainder": broadcast(np.remainder, (_one, lambda x, y: -np.floor(x / y)), size=lambda x, y: np.abs(y) + 0 * x),
    "fmod": broadcast(np.fmod, (_one, lambda x, y: -np.trunc(x / y))),
    "prelu": broadcast(
        lambda x, y: np.where(x > 0, x, x * y),
        (lambda x, y: np.where(x > 0, 1.0, y), lambda x, y: np.where(x > 0, 0.0, x) + 0 * y),
    ),
    "equal": _truth(np.equal),
    "less": _truth(np.less),
    "less_equal": _truth(np.less_equal),
    "greater": _truth(np.greater),
    "greater_equal": _truth(np.greater_equal),
    "logical_and": _truth(np.logical_and),
    "logical_or": _truth(np.logical_or),
    "logical_xor": _truth(np.logical_xor),
}

_WHERE = broadcast(
    lambda c, x, y: np.where(c != 0, x, y),
    (
        lambda c, x, y: 0 * (c + x + y),
        lambda c, x, y: (c != 0) + 0 * (x + y),
        lambda c, x, y: (c == 0) + 0 * (x + y),
    ),
)

OPS: dict[str, ReferenceOp] = {**_UNARY, **_BINARY, "where": _WHERE}
