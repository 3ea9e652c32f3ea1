"""Activations in float64, each with its derivative and the magnitudes that bound its rounding error.

Formulas: PyTorch's pages of the same names. Derivatives at kinks are PyTorch's.
"""

import math

import numpy as np

from .common import Array, Attributes, ReferenceOp, elementwise

_erf = np.vectorize(math.erf, otypes=[np.float64])
_ROOT = math.sqrt(2 / math.pi)


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def _phi(x: Array) -> Array:
    return np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def _is_tanh(a: Attributes) -> bool:
    return a.get("approximate", "none") == "tanh"


def gelu(a: Attributes, x: Array) -> Array:
    if _is_tanh(a):
        return 0.5 * x * (1 + np.tanh(_ROOT * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def gelu_derivative(a: Attributes, x: Array) -> Array:
    if _is_tanh(a):
        t = np.tanh(_ROOT * (x + 0.044715 * x**3))
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * _ROOT * (1 + 3 * 0.044715 * x**2)
    return 0.5 * (1 + _erf(x / math.sqrt(2))) + x * _phi(x)


def _gelu_slope_magnitude(a: Attributes, x: Array) -> Array:
    """1 - t^2 has an absolute error of eps, which x and the inner slope carry on; the exact form has x^2 in an exp."""
    if _is_tanh(a):
        return 1 + np.abs(x) * _ROOT * (1 + 3 * 0.044715 * x**2)
    return 1 + np.abs(x) * _phi(x) * (1 + x * x)


def _swish_slope(x: Array) -> Array:
    """|x s'(x)| / s(x): how far a relative error of x reaches sigmoid's exponential."""
    return np.abs(x) * (1 - _sigmoid(x))


OPS: dict[str, ReferenceOp] = {
    "relu": elementwise(
        lambda a, x: np.maximum(x, 0),
        lambda a, x: (x > 0) * 1.0,
        lambda a, x: 0 * x,
        lambda a, x: 0 * x,
    ),
    "leaky_relu": elementwise(
        lambda a, x: np.where(x > 0, x, a.get("negative_slope", 0.01) * x),
        lambda a, x: np.where(x > 0, 1.0, a.get("negative_slope", 0.01)),
        lambda a, x: np.abs(a.get("negative_slope", 0.01) * x),
        lambda a, x: np.abs(a.get("negative_slope", 0.01)) + 0 * x,
        terms=2,
    ),
    "relu6": elementwise(
        lambda a, x: np.clip(x, 0, 6),
        lambda a, x: ((x > 0) & (x < 6)) * 1.0,
        lambda a, x: 0 * x,
        lambda a, x: 0 * x,
    ),
    "sigmoid": elementwise(
        lambda a, x: _sigmoid(x),
        lambda a, x: _sigmoid(x) * _sigmoid(-x),
        lambda a, x: _sigmoid(x) * (1 + _swish_slope(x)),
        lambda a, x: _sigmoid(x) * (1 + _swish_slope(x)),
    ),
    "tanh": elementwise(
        lambda a, x: np.tanh(x),
        lambda a, x: 1 - np.tanh(x) ** 2,
        lambda a, x: np.abs(np.tanh(x)) + np.abs(x) * (1 - np.tanh(x) ** 2),
        lambda a, x: 1 + 0 * x,
    ),
    "silu": elementwise(
        lambda a, x: x * _sigmoid(x),
        lambda a, x: _sigmoid(x) * (1 + x * _sigmoid(-x)),
        lambda a, x: np.abs(x) * _sigmoid(x) * (1 + _swish_slope(x)),
        lambda a, x: _sigmoid(x) * (1 + np.abs(x)) * (1 + _swish_slope(x)),
    ),
    "gelu": elementwise(
        gelu,
        gelu_derivative,
        lambda a, x: np.abs(x),
        _gelu_slope_magnitude,
    ),
    "hardswish": elementwise(
        lambda a, x: x * np.clip(x + 3, 0, 6) / 6,
        lambda a, x: np.where(x < -3, 0.0, np.where(x <= 3, x / 3 + 0.5, 1.0)),
        lambda a, x: np.abs(x) * (np.abs(x) + 3) / 6 * (np.abs(x) <= 3) + np.maximum(x, 0),
        lambda a, x: np.where(np.abs(x) <= 3, np.abs(x) / 3 + 0.5, 0.0),
    ),
}
