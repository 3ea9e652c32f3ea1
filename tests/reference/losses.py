"""Losses in float64. Formulas: PyTorch's loss pages; hinge_loss is the multi-class SVM loss of the teaching notes.

Every loss is a sum over examples of terms that are themselves bounded elementwise, so each op has one function that
gives (per-term value, per-term magnitude); the sum of n terms then adds n roundings of the running sum.
"""

from collections.abc import Callable, Sequence

import numpy as np

from .axes import log_softmax, log_softmax_error, softmax, softmax_error
from .common import SMALL, Array, Attributes, ReferenceOp


def _weights(a: Attributes, logits: Array, labels: Array, weight: Array | None) -> tuple[Array, Array, Array]:
    """Class weights (C), weight of each label (0 where ignored), one-hot labels of logits' shape."""
    c = logits.shape[1]
    classes = np.ones(c) if weight is None else weight
    ignored = labels == a.get("ignore_index", -100)
    safe = np.where(ignored, 0, labels)
    one_hot = np.moveaxis(np.eye(c)[safe], -1, 1) * ~ignored[:, None]
    return classes, np.where(ignored, 0.0, classes[safe]), one_hot


def _targets(a: Attributes, logits: Array, labels: Array, weight: Array | None) -> tuple[Array, float]:
    """How much -log_softmax counts, element by element, and the divisor of the mean."""
    classes, chosen, one_hot = _weights(a, logits, labels, weight)
    per_class = classes.reshape(-1, *[1] * (logits.ndim - 2))
    smoothing = a.get("label_smoothing", 0.0)
    kept = one_hot.sum(1, keepdims=True)
    share = (1 - smoothing) * one_hot + smoothing / logits.shape[1] * kept
    divisor = chosen.sum() if a.get("reduction", "mean") == "mean" else 1.0
    return share * per_class, divisor


def _reduced(a: Attributes, terms: Array) -> Array:
    return terms.sum(1) if a.get("reduction") == "none" else np.asarray(terms.sum())


def _slope(a: Attributes, grad: Array) -> Array:
    return np.expand_dims(grad, 1) if a.get("reduction") == "none" else grad


def nll_loss(a: Attributes, x: Array, labels: Array, weight: Array | None = None) -> Array:
    share, divisor = _targets(a, x, labels, weight)
    return _reduced(a, -share * x) / divisor


def nll_loss_error(a: Attributes, x: Array, labels: Array, weight: Array | None = None) -> Array:
    share, divisor = _targets(a, x, labels, weight)
    return (labels.size + SMALL) * _reduced(a, share * np.abs(x)) / divisor


def nll_loss_backward(a: Attributes, inputs: Sequence[Array | None], grad: Array) -> list[Array | None]:
    x, labels, weight = (*inputs, None)[:3]
    assert x is not None
    assert labels is not None
    share, divisor = _targets(a, x, labels, weight)
    return [-share * _slope(a, grad) / divisor, None, None]


def nll_loss_backward_error(a: Attributes, inputs: Sequence[Array | None], grad: Array) -> list[Array | None]:
    bound = nll_loss_backward(a, inputs, np.abs(grad))[0]
    assert bound is not None
    return [SMALL * np.abs(bound), None, None]


def cross_entropy(a: Attributes, logits: Array, labels: Array, weight: Array | None = None) -> Array:
    share, divisor = _targets(a, logits, labels, weight)
    return _reduced(a, -share * log_softmax(a, logits)) / divisor


def cross_entropy_error(a: Attributes, logits: Array, labels: Array, weight: Array | None = None) -> Array:
    share, divisor = _targets(a, logits, labels, weight)
    terms = logits.size + SMALL
    sizes = log_softmax_error(a, logits) + terms * np.abs(log_softmax(a, logits))
    return _reduced(a, share * sizes) / divisor


def cross_entropy_backward(a: Attributes, inputs: Sequence[Array | None], grad: Array) -> list[Array | None]:
    logits, labels, weight = (*inputs, None)[:3]
    assert logits is not None
    assert labels is not None
    share, divisor = _targets(a, logits, labels, weight)
    slopes = softmax(a, logits) * share.sum(1, keepdims=True) - share
    return [_slope(a, grad) * slopes / divisor, None, None]


def cross_entropy_backward_error(a: Attributes, inputs: Sequence[Array | None], grad: Array) -> list[Array | None]:
    logits, labels, weight = (*inputs, None)[:3]
    assert logits is not None
    assert labels is not None
    share, divisor = _targets(a, logits, labels, weight)
    # softmax may be had as exp(log_softmax), whose absolute error is the exponential's relative one; the divisor is
    # itself a sum over the labels.
    error = softmax_error(a, logits) + log_softmax_error(a, logits) * softmax(a, logits)
    terms = labels.size + logits.shape[1] + 2 * SMALL
    total = share.sum(1, keepdims=True)
    sizes = error * total + terms * (softmax(a, logits) * total + share)
    return [np.abs(_slope(a, grad)) * sizes / divisor, None, None]


def _margins(a: Attributes, scores: Array, labels: Array) -> tuple[Array, Array]:
    """margin - s_y + s_j where positive and j != y, else 0; and its magnitude."""
    margin = a.get("margin", 1.0)
    correct = scores[np.arange(len(labels)), labels][:, None]
    others = np.arange(scores.shape[1]) != labels[:, None]
    values = np.maximum(0, scores - correct + margin) * others
    return values, (np.abs(scores) + np.abs(correct) + abs(margin)) * (values > 0)


def _hinge_slopes(labels: Array, active: Array) -> Array:
    """d/ds of a weighted sum of margins: each active j takes +, the label's score all of them with -."""
    slopes = active.copy()
    slopes[np.arange(len(labels)), labels] -= active.sum(1)
    return slopes


def hinge_loss(a: Attributes, scores: Array, labels: Array) -> Array:
    return np.asarray(_margins(a, scores, labels)[0].sum() / len(labels))


def hinge_loss_error(a: Attributes, scores: Array, labels: Array) -> Array:
    return (scores.size + SMALL) * np.asarray(_margins(a, scores, labels)[1].sum() / len(labels))


def hinge_loss_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    scores, labels = inputs
    active = (_margins(a, scores, labels)[0] > 0) * 1.0
    return [grad * _hinge_slopes(labels, active) / len(labels), None]


def hinge_loss_backward_error(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    bound = hinge_loss_backward(a, inputs, np.abs(grad))[0]
    assert bound is not None
    return [SMALL * np.abs(bound), None]


def _margin_scale(scores: Array, labels: Array, weight: Array | None) -> Array:
    per_example = np.ones(len(labels)) if weight is None else weight[labels]
    return per_example[:, None] / (scores.shape[1] * len(labels))


def multi_margin_loss(a: Attributes, scores: Array, labels: Array, weight: Array | None = None) -> Array:
    """mean over N of weight[y] / C sum_{j != y} max(0, margin - s_y + s_j)^p."""
    values = _margins(a, scores, labels)[0] ** a.get("p", 1)
    return np.asarray((values * _margin_scale(scores, labels, weight)).sum())


def multi_margin_loss_error(a: Attributes, scores: Array, labels: Array, weight: Array | None = None) -> Array:
    values, size = _margins(a, scores, labels)
    terms = size if a.get("p", 1) == 1 else (2 * size * values + values**2)
    return (scores.size + 2 * SMALL) * np.asarray((terms * _margin_scale(scores, labels, weight)).sum())


def multi_margin_loss_backward(a: Attributes, inputs: Sequence[Array | None], grad: Array) -> list[Array | None]:
    scores, labels, weight = (*inputs, None)[:3]
    assert scores is not None
    assert labels is not None
    values = _margins(a, scores, labels)[0]
    slopes = (values > 0) * 1.0 if a.get("p", 1) == 1 else 2 * values
    return [grad * _hinge_slopes(labels, slopes * _margin_scale(scores, labels, weight)), None, None]


def multi_margin_loss_backward_error(a: Attributes, inputs: Sequence[Array | None], grad: Array) -> list[Array | None]:
    scores, labels, weight = (*inputs, None)[:3]
    assert scores is not None
    assert labels is not None
    size = 2 * _margins(a, scores, labels)[1] * _margin_scale(scores, labels, weight)
    return [(scores.shape[1] + 2 * SMALL) * np.abs(grad) * np.abs(_hinge_slopes(labels, -size)), None, None]


Terms = Callable[..., tuple[Array, Array]]


def regression(terms: Terms, slopes: Terms, target_slopes: Terms | None = None) -> ReferenceOp:
    """A mean or sum over elements. terms(a, x, t, ...): values and magnitudes; slopes: the same for d/dx (and d/dt)."""

    def scale(a: Attributes, x: Array) -> float:
        return 1 / x.size if a.get("reduction", "mean") == "mean" else 1.0

    def forward(a: Attributes, x: Array, *rest: Array | None) -> Array:
        return np.asarray(terms(a, x, *rest)[0].sum() * scale(a, x))

    def forward_error(a: Attributes, x: Array, *rest: Array | None) -> Array:
        return np.asarray((x.size + 2 * SMALL) * terms(a, x, *rest)[1].sum() * scale(a, x))

    def gradients(a: Attributes, inputs: Sequence[Array], grad: Array, part: int) -> list[Array | None]:
        dx = grad * slopes(a, *inputs)[part] * scale(a, inputs[0])
        dt = -dx if target_slopes is None else grad * target_slopes(a, *inputs)[part] * scale(a, inputs[0])
        return [dx, dt, None]

    def backward_error(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
        bounds = gradients(a, inputs, np.abs(grad), 1)
        return [None if b is None else 2 * SMALL * np.abs(b) for b in bounds]

    return ReferenceOp(forward, forward_error, lambda a, inputs, grad: gradients(a, inputs, grad, 0), backward_error)


def _squares(a: Attributes, x: Array, t: Array) -> tuple[Array, Array]:
    return (x - t) ** 2, (x - t) ** 2


def _square_slopes(a: Attributes, x: Array, t: Array) -> tuple[Array, Array]:
    return 2 * (x - t), 2 * np.abs(x - t)


def _absolutes(a: Attributes, x: Array, t: Array) -> tuple[Array, Array]:
    return np.abs(x - t), np.abs(x - t)


def _signs(a: Attributes, x: Array, t: Array) -> tuple[Array, Array]:
    return np.sign(x - t), np.abs(np.sign(x - t))


def _hubers(a: Attributes, x: Array, t: Array) -> tuple[Array, Array]:
    delta, distance = a.get("delta", 1.0), np.abs(x - t)
    values = np.where(distance < delta, 0.5 * distance**2, delta * (distance - 0.5 * delta))
    return values, np.maximum(values, delta * distance * (distance >= delta))


def _huber_slopes(a: Attributes, x: Array, t: Array) -> tuple[Array, Array]:
    delta = a.get("delta", 1.0)
    return np.clip(x - t, -delta, delta), np.minimum(np.abs(x - t), delta)


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _bce(a: Attributes, x: Array, t: Array, pos_weight: Array | None = None) -> tuple[Array, Array]:
    """(1 - t) x + (1 + (p - 1) t) softplus(-x), with p = pos_weight per channel."""
    p = 1.0 if pos_weight is None else pos_weight.reshape(-1, *[1] * (x.ndim - 2))
    factor = 1 + (p - 1) * t
    values = (1 - t) * x + factor * _softplus(-x)
    return values, (1 + np.abs(t)) * np.abs(x) + (1 + (p + 1) * np.abs(t)) * (_softplus(-x) + np.abs(x) + 1)


def _bce_slopes(a: Attributes, x: Array, t: Array, pos_weight: Array | None = None) -> tuple[Array, Array]:
    p = 1.0 if pos_weight is None else pos_weight.reshape(-1, *[1] * (x.ndim - 2))
    negative = 1 / (1 + np.exp(x))  # sigmoid(-x)
    values = (1 - t) - (1 + (p - 1) * t) * negative
    return values, (1 + np.abs(t)) + (1 + (p + 1) * np.abs(t)) * negative * (1 + np.abs(x))


def _bce_target_slopes(a: Attributes, x: Array, t: Array, pos_weight: Array | None = None) -> tuple[Array, Array]:
    """d/dt = softplus(-x) p - softplus(x)."""
    p = 1.0 if pos_weight is None else pos_weight.reshape(-1, *[1] * (x.ndim - 2))
    values = p * _softplus(-x) - _softplus(x)
    return values + 0 * t, (p + 1) * (_softplus(-x) + _softplus(x) + np.abs(x) + 1) + 0 * t


def correct_count(a: Attributes, logits: Array, labels: Array) -> Array:
    return np.asarray(float((logits.argmax(1) == labels).sum()))


OPS: dict[str, ReferenceOp] = {
    "cross_entropy": ReferenceOp(
        cross_entropy, cross_entropy_error, cross_entropy_backward, cross_entropy_backward_error
    ),
    "nll_loss": ReferenceOp(nll_loss, nll_loss_error, nll_loss_backward, nll_loss_backward_error),
    "hinge_loss": ReferenceOp(hinge_loss, hinge_loss_error, hinge_loss_backward, hinge_loss_backward_error),
    "multi_margin_loss": ReferenceOp(
        multi_margin_loss, multi_margin_loss_error, multi_margin_loss_backward, multi_margin_loss_backward_error
    ),
    "mse_loss": regression(_squares, _square_slopes),
    "l1_loss": regression(_absolutes, _signs),
    "huber_loss": regression(_hubers, _huber_slopes),
    "bce_with_logits": regression(_bce, _bce_slopes, _bce_target_slopes),
    "correct_count": ReferenceOp(correct_count, lambda a, logits, labels: np.zeros(())),
}
