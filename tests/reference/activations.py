"""Activations in float64, each with its derivative and the magnitudes that bound its rounding error.

Formulas: PyTorch's pages of the same names. Derivatives at kinks are PyTorch's.
"""

import math
from collections.abc import Sequence

import numpy as np

from .common import SMALL, Array, Attributes, ReferenceOp, elementwise

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


def _softmax_parts(x: Array) -> tuple[Array, Array, Array]:
    shifted = x - x.max(1, keepdims=True)
    exps = np.exp(shifted)
    total = exps.sum(1, keepdims=True)
    return shifted, exps / total, np.log(total)


def softmax(a: Attributes, x: Array) -> Array:
    return _softmax_parts(x)[1] if x.shape[0] else np.zeros_like(x)


def log_softmax(a: Attributes, x: Array) -> Array:
    if not x.shape[0]:
        return np.zeros_like(x)
    shifted, _, logs = _softmax_parts(x)
    return shifted - logs


def _softmax_terms(x: Array) -> Array:
    """x - max is rounded (its size enters relatively through exp), C exponentials are summed, one division."""
    shifted = x - x.max(1, keepdims=True) if x.size else x
    return np.abs(shifted) + np.abs(shifted).max(1, keepdims=True, initial=0) + x.shape[1] + 2 * SMALL


def softmax_error(a: Attributes, x: Array) -> Array:
    return _softmax_terms(x) * softmax(a, x)


def log_softmax_error(a: Attributes, x: Array) -> Array:
    return _softmax_terms(x) + np.abs(log_softmax(a, x))


def softmax_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    y = softmax(a, inputs[0])
    return [y * (grad - (grad * y).sum(1, keepdims=True))]


def softmax_backward_error(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    y = softmax(a, inputs[0])
    terms = _softmax_terms(inputs[0])
    sums = ((terms + y.shape[1]) * np.abs(grad) * y).sum(1, keepdims=True)
    return [y * (terms * np.abs(grad) + sums + terms * (np.abs(grad) * y).sum(1, keepdims=True))]


def log_softmax_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    return [grad - softmax(a, inputs[0]) * grad.sum(1, keepdims=True)]


def log_softmax_backward_error(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    """exp(log_softmax) adds the absolute error of the logarithm to softmax's relative one."""
    x = inputs[0]
    terms = 2 * _softmax_terms(x) + np.abs(log_softmax(a, x))
    total = np.abs(grad).sum(1, keepdims=True)
    return [SMALL * np.abs(grad) + (terms + x.shape[1]) * softmax(a, x) * total]


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
    "softmax": ReferenceOp(softmax, softmax_error, softmax_backward, softmax_backward_error),
    "log_softmax": ReferenceOp(log_softmax, log_softmax_error, log_softmax_backward, log_softmax_backward_error),
}
