import math

import numpy as np
import pytest

from case import Case
from cases import CASES
from checks import check, machines
from convcore import _core
from convcore import functional as F

KINDS = (
    "cross_entropy",
    "nll_loss",
    "hinge_loss",
    "multi_margin_loss",
    "mse_loss",
    "l1_loss",
    "huber_loss",
    "bce_with_logits",
    "correct_count",
)


@pytest.mark.parametrize("case", [c for kind in KINDS for c in CASES[kind]], ids=lambda c: f"{c.kind} {c.id}")
def test_loss(case: Case) -> None:
    check(case)


def test_losses_are_scalars() -> None:
    logits, labels = np.zeros((4, 3), np.float32), np.array([0, 1, 2, 0])
    for loss in (F.cross_entropy(logits, labels), F.hinge_loss(logits, labels), F.mse_loss(logits, logits)):
        assert loss.shape == ()
        assert loss.dtype == np.float32


def test_cross_entropy_of_equal_logits_is_log_c() -> None:
    assert F.cross_entropy(np.zeros((8, 10), np.float32), np.arange(8)) == pytest.approx(math.log(10), rel=1e-6)


def test_cross_entropy_of_large_logits() -> None:
    logits = np.array([[1e4, 0, -1e4], [-1e4, 0, 1e4]], np.float32)
    for _ in machines():
        assert _core.forward("cross_entropy", {}, [logits, np.array([0, 0])])[0] == 1e4


def test_the_hinge_loss_of_cs231n() -> None:
    """Scores 13, -7, 11 with the first class right and margin 10: max(0, -10) + max(0, 8) = 8."""
    scores = np.array([[13, -7, 11]], np.float32)
    assert F.hinge_loss(scores, np.array([0]), margin=10) == 8
    assert F.multi_margin_loss(scores, np.array([0]), margin=10) == pytest.approx(8 / 3, rel=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.int32, np.uint32, np.int64])
def test_labels_of_any_integer_type(dtype: type) -> None:
    logits = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
    labels = np.array([0, 4, 2, 1, 3, 3])
    assert F.cross_entropy(logits, labels.astype(dtype)) == F.cross_entropy(logits, labels)


def test_ignored_labels_have_no_gradient() -> None:
    logits = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
    labels = np.array([0, -100, 2, -100, 3, 3])
    for _ in machines():
        dx = _core.backward("cross_entropy", {}, [logits, labels], [np.float32(1)], [True, False])[0]
        assert dx is not None
        assert (dx[[1, 3]] == 0).all()
        assert (dx[[0, 2, 4, 5]] != 0).any()
        kept = labels >= 0
        assert _core.forward("cross_entropy", {}, [logits, labels])[0] == pytest.approx(
            float(_core.forward("cross_entropy", {}, [logits[kept], labels[kept]])[0]), rel=1e-6
        )


def test_correct_count() -> None:
    logits = np.array([[1, 2, 3], [3, 2, 1], [1, 3, 2]], np.float32)
    assert F.correct_count(logits, np.array([2, 0, 0])) == 2
    assert F.correct_count(np.zeros((0, 3), np.float32), np.zeros(0, np.int64)) == 0


def test_nan_reaches_the_loss() -> None:
    logits = np.zeros((4, 10), np.float32)
    logits[2, 3] = np.nan
    target, labels = np.zeros((4, 10), np.float32), np.zeros(4, np.int64)
    for _ in machines():
        assert np.isnan(_core.forward("cross_entropy", {}, [logits, labels])[0])
        for kind in ("mse_loss", "l1_loss", "huber_loss", "bce_with_logits"):
            assert np.isnan(_core.forward(kind, {}, [logits, target])[0]), kind
