from typing import Any

import numpy as np
import pytest

from case import Case
from cases import CASES
from checks import EPS, FLUSHED, check, machines
from convcore import _core
from reference import OPS

KINDS = (
    "relu",
    "leaky_relu",
    "relu6",
    "sigmoid",
    "tanh",
    "silu",
    "gelu",
    "hardswish",
    "hardsigmoid",
    "elu",
    "selu",
    "celu",
    "mish",
    "softplus",
    "softsign",
    "threshold",
    "erf",
    "softmax",
    "log_softmax",
)
ELEMENTWISE = KINDS[:-2]
FINITE = (0.0, 1e-30, 1e-6, 0.1, 0.5, 0.99, 1.0, 2.5, 5.0, 8.5, 17.0, 40.0, 88.0, 90.0, 104.0, 1e4, 1e8)


@pytest.mark.parametrize("case", [c for kind in KINDS[-2:] for c in CASES[kind]], ids=lambda c: f"{c.kind} {c.id}")
def test_activation(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_the_whole_range(kind: str) -> None:
    """Every magnitude, both signs, with gradients: nothing overflows on the way and tiny values keep their digits."""
    x = np.array([s * v for v in FINITE for s in (1, -1)], np.float32).reshape(1, -1)
    op = OPS[kind]
    exact = x.astype(np.float64)
    assert op.backward is not None
    assert op.backward_error is not None
    ones = np.ones_like(x)
    with np.errstate(over="ignore", invalid="ignore"):
        expected, bound = op.forward({}, exact), op.forward_error({}, exact)
        slope, slope_bound = op.backward({}, [exact], ones)[0], op.backward_error({}, [exact], ones)[0]
    assert slope is not None
    assert slope_bound is not None
    for isa, _ in machines():
        y = _core.forward(kind, {}, [x])[0]
        dx = _core.backward(kind, {}, [x], [ones], [True])[0]
        assert dx is not None
        for name, got, want, limit in (("y", y, expected, bound), ("dx", dx, slope, slope_bound)):
            known = np.isfinite(want) & np.isfinite(limit)  # float64 itself gives inf - inf at 1e8 in gelu's slope
            wrong = np.abs(got - want)[known] > (EPS * limit + FLUSHED)[known]
            assert not wrong.any(), (
                f"{kind} {name} {isa}: x={x[known][wrong]} got {got[known][wrong]} not {want[known][wrong]}"
            )
            assert np.isfinite(got).all(), f"{kind} {name} {isa}: not finite at {x[~np.isfinite(got)]}"


@pytest.mark.parametrize("channels", [5, 17, 64])
@pytest.mark.parametrize(
    ("kind", "at_infinity", "at_minus_infinity"),
    [
        ("relu", np.inf, 0),
        ("leaky_relu", np.inf, -np.inf),
        ("relu6", 6, 0),
        ("sigmoid", 1, 0),
        ("tanh", 1, -1),
        ("silu", np.inf, np.nan),
        ("gelu", np.inf, np.nan),
        ("hardswish", np.inf, np.nan),
        ("hardsigmoid", 1, 0),
        ("elu", np.inf, -1),
        ("mish", np.inf, np.nan),
        ("softplus", np.inf, 0),
        ("erf", 1, -1),
    ],
)
def test_nan_and_infinity(kind: str, at_infinity: float, at_minus_infinity: float, channels: int) -> None:
    """As in PyTorch; where it gives NaN for -inf (-inf * 0), 0 is as good."""
    x = np.linspace(-2, 2, channels, dtype=np.float32).reshape(1, channels)
    special = np.array([[np.nan, np.inf, -np.inf]], np.float32)
    for isa, _ in machines():
        plain = _core.forward(kind, {}, [x])[0]
        for place in (0, channels // 2, channels - 1):
            for j, expected in enumerate((np.nan, at_infinity, at_minus_infinity)):
                dirty = x.copy()
                dirty[0, place] = special[0, j]
                y = _core.forward(kind, {}, [dirty])[0]
                got = y[0, place]
                fine = np.isnan(got) if np.isnan(expected) else got == expected
                assert fine or (np.isnan(expected) and j == 2 and got == 0), f"{isa}: {kind}({special[0, j]}) = {got}"
                others = np.arange(channels) != place
                np.testing.assert_array_equal(y[0, others], plain[0, others])


@pytest.mark.parametrize("kind", ["softmax", "log_softmax"])
def test_nan_and_infinity_in_softmax(kind: str) -> None:
    x = np.zeros((3, 19), np.float32)
    x[0, 7], x[1, 18] = np.nan, -np.inf
    for _ in machines():
        y = _core.forward(kind, {}, [x])[0]
        assert np.isnan(y[0]).all()
        assert y[1, 18] == (0 if kind == "softmax" else -np.inf)
        np.testing.assert_allclose(y[1, :18], 1 / 18 if kind == "softmax" else -np.log(18), rtol=1e-6)
        np.testing.assert_allclose(y[2], 1 / 19 if kind == "softmax" else -np.log(19), rtol=1e-6)


def test_softmax_sums_to_one_for_large_logits() -> None:
    x = np.random.default_rng(0).standard_normal((4, 1000)).astype(np.float32) * 1e4
    for _ in machines():
        np.testing.assert_allclose(_core.forward("softmax", {}, [x])[0].sum(1), 1, rtol=1e-5)


def test_relu_has_no_slope_at_zero() -> None:
    x = np.zeros((1, 20), np.float32)
    settings: list[tuple[str, dict[str, Any], float]] = [
        ("relu", {}, 0),
        ("relu6", {}, 0),
        ("leaky_relu", {"negative_slope": 0.25}, 0.25),
    ]
    for _ in machines():
        for kind, attributes, slope in settings:
            dx = _core.backward(kind, attributes, [x], [np.ones_like(x)], [True])[0]
            assert dx is not None
            assert (dx == slope).all()
