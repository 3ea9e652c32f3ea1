from dataclasses import replace

import numpy as np
import pytest

from case import Case
from cases import CASES
from checks import check, machines
from convcore import _core
from convcore import functional as F
from reference import OPS

KINDS = (
    "max_pool2d",
    "max_unpool2d",
    "avg_pool2d",
    "sum_pool2d",
    "lp_pool2d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
)


@pytest.mark.parametrize("case", [c for kind in KINDS for c in CASES[kind]], ids=lambda c: f"{c.kind} {c.id}")
def test_pool(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", CASES["max_pool2d"], ids=lambda c: c.id)
def test_max_pool2d_indices(case: Case) -> None:
    x = case.inputs()[0]
    assert x is not None
    expected = OPS["max_pool2d_indices"].forward(case.attributes, x)
    for _ in machines():
        indices = _core.forward("max_pool2d_indices", case.attributes, [x])[0]
        assert indices.dtype == np.int64
        np.testing.assert_array_equal(indices, expected)


def test_the_first_of_equal_maxima_takes_the_gradient() -> None:
    x = np.ones((1, 5, 4, 4), np.float32)
    dx = F.max_pool2d_backward(np.ones((1, 5, 2, 2), np.float32), x, 2)
    expected = np.zeros((4, 4))
    expected[::2, ::2] = 1
    np.testing.assert_array_equal(dx, np.broadcast_to(expected, x.shape))


def test_max_pool_of_negative_values_ignores_the_padding() -> None:
    x = np.full((1, 17, 3, 3), -5, np.float32)
    for _ in machines():
        assert (_core.forward("max_pool2d", {"kernel_size": [3, 3], "padding": [1, 1]}, [x])[0] == -5).all()


def test_max_pool_of_minus_infinity() -> None:
    x = np.full((1, 9, 4, 4), -np.inf, np.float32)
    y, indices = F.max_pool2d(x, 2, return_indices=True)
    assert (y == -np.inf).all()
    np.testing.assert_array_equal(indices[0, 0], [[0, 2], [8, 10]])
    assert F.max_pool2d_backward(np.ones_like(y), x, 2).sum() == y.size


@pytest.mark.parametrize("kind", ["max_pool2d", "avg_pool2d", "sum_pool2d"])
def test_the_stride_is_the_window_by_default(kind: str) -> None:
    x = Case(kind, ((2, 3, 8, 9),)).inputs()[0]
    pool = getattr(F, kind)
    np.testing.assert_array_equal(pool(x, (2, 3)), pool(x, (2, 3), stride=(2, 3)))


@pytest.mark.parametrize("case", CASES["avg_pool2d"][:5], ids=lambda c: c.id)
def test_average_is_sum_over_count(case: Case) -> None:
    x = case.inputs()[0]
    average, total = (_core.forward(kind, case.attributes, [x])[0] for kind in ("avg_pool2d", "sum_pool2d"))
    np.testing.assert_allclose(average * 4, total, rtol=1e-6, atol=1e-6)


def test_global_pooling_is_the_mean_and_the_maximum() -> None:
    x = Case("max_pool2d", ((3, 33, 7, 6),)).inputs()[0]
    assert x is not None
    np.testing.assert_allclose(F.global_avg_pool2d(x)[..., 0, 0], x.mean((2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(F.global_max_pool2d(x)[..., 0, 0], x.max((2, 3)))


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "max_unpool2d"])
def test_gradient_of_nothing(kind: str) -> None:
    settings = {"output_size": [2, 2]} if kind.startswith("adaptive") else {"kernel_size": [2, 2]}
    case = replace(CASES[kind][0], shapes=((0, 3, 4, 4),), attributes=settings)
    check(case)
