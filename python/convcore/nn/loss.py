"""Losses as modules, for `Trainer` and `value_and_grad`: loss(output, target) is a scalar.

Called with arrays they compute at once and return a float.
"""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import ArrayLike

from .. import functional as F
from ..arguments import integer, number, reduction
from ..parameter import Buffer
from ..symbol import Symbol
from .module import Module
from .settings import check_settings


class Loss(Module):
    """Base of the library's losses.

    target_dtype: "int64" for labels, "float32" for values.
    Raises, in use, ShapeError where output and target do not fit. Source: torch.nn.modules.loss.
    """

    target_dtype: ClassVar[str] = "float32"
    reduction: str = "mean"

    def __call__(self, output: Any, target: Any) -> Any:
        if isinstance(output, Symbol):
            return super().__call__(output, target)
        return float(self.forward(output, target))


class _Reduced(Loss):
    settings = ("reduction",)

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = _reduction(type(self).__name__, reduction)


class CrossEntropyLoss(Loss):
    """-log softmax(x)[label], `functional.cross_entropy`. Logits (N, C) or (N, C, H, W); labels (N,) or (N, H, W).

    weight: (C,), a weight for each class. Source: torch.nn.CrossEntropyLoss.
    Raises TypeError or ValueError for wrong settings; in use, what `functional.cross_entropy` raises.
    """

    settings = ("weight", "ignore_index", "reduction", "label_smoothing")
    target_dtype = "int64"

    def __init__(
        self,
        weight: ArrayLike | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        name = "CrossEntropyLoss"
        self.weight = None if weight is None else Buffer(weight)
        self.ignore_index = integer(name, "ignore_index", ignore_index)
        self.reduction = _reduction(name, reduction)
        self.label_smoothing = number(name, "label_smoothing", label_smoothing)
        check_settings(name, lambda x: self.forward(x, 0))

    def forward(self, x: Any, target: Any) -> Any:
        return F.cross_entropy(
            x,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class HingeLoss(Loss):
    """The multi-class SVM loss, `functional.hinge_loss`. Scores (N, C); labels (N,).

    Raises TypeError or ValueError for wrong settings; in use, what `functional.hinge_loss` raises. Source: CS231n.
    """

    settings = ("margin",)
    target_dtype = "int64"

    def __init__(self, margin: float = 1.0) -> None:
        self.margin = number("HingeLoss", "margin", margin)

    def forward(self, x: Any, target: Any) -> Any:
        return F.hinge_loss(x, target, self.margin)


class MultiMarginLoss(Loss):
    """PyTorch's multi-class margin loss, `functional.multi_margin_loss`. Scores (N, C); labels (N,).

    Raises TypeError or ValueError for wrong settings; in use, what `functional.multi_margin_loss` raises.
    Source: torch.nn.MultiMarginLoss.
    """

    settings = ("p", "margin", "weight")
    target_dtype = "int64"

    def __init__(self, p: int = 1, margin: float = 1.0, weight: ArrayLike | None = None) -> None:
        self.p = integer("MultiMarginLoss", "p", p)
        self.margin = number("MultiMarginLoss", "margin", margin)
        self.weight = None if weight is None else Buffer(weight)
        check_settings("MultiMarginLoss", lambda x: self.forward(x, 0))

    def forward(self, x: Any, target: Any) -> Any:
        return F.multi_margin_loss(x, target, self.p, self.margin, self.weight)


class MSELoss(_Reduced):
    """(x - target)^2, `functional.mse_loss`. Equal shapes.

    Raises TypeError or ValueError for wrong settings; in use, what `functional.mse_loss` raises.
    Source: torch.nn.MSELoss.
    """

    def forward(self, x: Any, target: Any) -> Any:
        return F.mse_loss(x, target, reduction=self.reduction)


class L1Loss(_Reduced):
    """|x - target|, `functional.l1_loss`. Equal shapes.

    Raises TypeError or ValueError for wrong settings; in use, what `functional.l1_loss` raises.
    Source: torch.nn.L1Loss.
    """

    def forward(self, x: Any, target: Any) -> Any:
        return F.l1_loss(x, target, reduction=self.reduction)


class HuberLoss(Loss):
    """Quadratic near 0, linear beyond delta, `functional.huber_loss`. Equal shapes.

    Raises TypeError or ValueError for wrong settings; in use, what `functional.huber_loss` raises.
    Source: torch.nn.HuberLoss.
    """

    settings = ("reduction", "delta")

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        self.reduction = _reduction("HuberLoss", reduction)
        self.delta = number("HuberLoss", "delta", delta)
        check_settings("HuberLoss", lambda x: self.forward(x, x))

    def forward(self, x: Any, target: Any) -> Any:
        return F.huber_loss(x, target, self.reduction, self.delta)


class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy of sigmoid(x), `functional.binary_cross_entropy_with_logits`. Equal shapes (N, C, ...).

    pos_weight: (C,), a weight for the positives of each class. Source: torch.nn.BCEWithLogitsLoss.
    Raises TypeError or ValueError for wrong settings; in use, what `functional.binary_cross_entropy_with_logits`
    raises.
    """

    settings = ("pos_weight", "reduction")

    def __init__(self, *, pos_weight: ArrayLike | None = None, reduction: str = "mean") -> None:
        self.pos_weight = None if pos_weight is None else Buffer(pos_weight)
        self.reduction = _reduction("BCEWithLogitsLoss", reduction)

    def forward(self, x: Any, target: Any) -> Any:
        return F.binary_cross_entropy_with_logits(x, target, pos_weight=self.pos_weight, reduction=self.reduction)


_reduction = reduction  # the argument of the same name hides it in the classes above
