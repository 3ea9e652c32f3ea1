"""Losses. Each returns a scalar (shape ()), unless it is told not to reduce; in a network it is the last node."""

from __future__ import annotations

from typing import Any

from ..arguments import integer, number, reduction
from ..symbol import Operand, T
from .dispatch import apply


def cross_entropy(
    x: T,
    target: Operand,
    weight: Operand | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> T:
    """-log softmax(x)[target], the mean (weighted by the labels' weights) or the sum over all places, or each ("none").

    x: logits (N, C) or (N, C, H, W); target: integer labels (N,) or (N, H, W) in [0, C), or ignore_index;
    weight: (C,) or None; label_smoothing in [0, 1]. Raises ValueError for labels outside.
    Source: torch.nn.functional.cross_entropy.
    """
    op = "cross_entropy"
    attributes: dict[str, Any] = {
        "label_smoothing": number(op, "label_smoothing", label_smoothing),
        "ignore_index": integer(op, "ignore_index", ignore_index),
        "reduction": _reduction(op, reduction, none=True),
    }
    return apply(op, attributes, x, target, weight)


def nll_loss(
    x: T,
    target: Operand,
    weight: Operand | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> T:
    """-x[target], the mean (weighted by the labels' weights) or the sum over all places, or each ("none").

    x: log-probabilities (N, C, ...); target: integer labels of x's shape without C, in [0, C), or ignore_index;
    weight: (C,) or None. Raises ShapeError where shapes do not fit, ValueError for labels outside.
    Source: torch.nn.functional.nll_loss.
    """
    op = "nll_loss"
    attributes: dict[str, Any] = {
        "ignore_index": integer(op, "ignore_index", ignore_index),
        "reduction": _reduction(op, reduction, none=True),
    }
    return apply(op, attributes, x, target, weight)


def hinge_loss(x: T, target: Operand, margin: float = 1.0) -> T:
    """The multi-class SVM loss: sum over j != y of max(0, x_j - x_y + margin), the mean over N.

    x: scores (N, C); target: integer labels (N,). Source: CS231n, "Multiclass Support Vector Machine loss";
    `multi_margin_loss` is the same divided by C.
    Raises ShapeError where shapes do not fit, ValueError for labels outside [0, C), TypeError for no integers.
    """
    return apply("hinge_loss", {"margin": number("hinge_loss", "margin", margin)}, x, target)


def multi_margin_loss(x: T, target: Operand, p: int = 1, margin: float = 1.0, weight: Operand | None = None) -> T:
    """sum over j != y of max(0, w_y (margin - x_y + x_j))^p / C, the mean over N.

    x: scores (N, C); target: integer labels (N,); weight: (C,) or None; p: 1 or 2.
    Raises ShapeError where shapes do not fit, ValueError for labels outside [0, C) and other p.
    Source: torch.nn.functional.multi_margin_loss.
    """
    op = "multi_margin_loss"
    return apply(op, {"margin": number(op, "margin", margin), "p": integer(op, "p", p)}, x, target, weight)


def mse_loss(x: T, target: Operand, *, reduction: str = "mean") -> T:
    """(x - target)^2, the mean or the sum over all elements. Equal shapes.

    Raises ShapeError for other shapes, ValueError for other reductions. Source: torch.nn.functional.mse_loss.
    """
    return apply("mse_loss", {"reduction": _reduction("mse_loss", reduction)}, x, target)


def l1_loss(x: T, target: Operand, *, reduction: str = "mean") -> T:
    """|x - target|, the mean or the sum over all elements. Equal shapes.

    Raises ShapeError for other shapes, ValueError for other reductions. Source: torch.nn.functional.l1_loss.
    """
    return apply("l1_loss", {"reduction": _reduction("l1_loss", reduction)}, x, target)


def huber_loss(x: T, target: Operand, reduction: str = "mean", delta: float = 1.0) -> T:
    """d^2/2 where |d| <= delta, delta (|d| - delta/2) elsewhere, d = x - target; the mean or the sum. Equal shapes.

    Raises ShapeError for other shapes, ValueError for other reductions and a delta that is not positive.
    Source: torch.nn.functional.huber_loss.
    """
    op = "huber_loss"
    return apply(op, {"reduction": _reduction(op, reduction), "delta": number(op, "delta", delta)}, x, target)


def binary_cross_entropy_with_logits(
    x: T, target: Operand, *, pos_weight: Operand | None = None, reduction: str = "mean"
) -> T:
    """-(w t log s + (1 - t) log(1 - s)) with s = sigmoid(x), the mean or the sum over all elements.

    x, target: equal shapes (N, C, ...), targets in [0, 1]; pos_weight w: (C,) or None.
    Raises ShapeError for other shapes, ValueError for other reductions.
    Source: torch.nn.functional.binary_cross_entropy_with_logits.
    """
    attributes = {"reduction": _reduction("bce_with_logits", reduction)}
    return apply("bce_with_logits", attributes, x, target, pos_weight)


_reduction = reduction  # the argument of the same name hides it in the functions above
