import numpy as np
import pytest

from case import Case
from cases import CASES
from checks import assert_same_bits, check, machines
from convcore import _core
from convcore import functional as F

KINDS = ("concat", "flatten")


@pytest.mark.parametrize("case", [c for kind in KINDS for c in CASES[kind]], ids=lambda c: f"{c.kind} {c.id}")
def test_arithmetic(case: Case) -> None:
    check(case)


def test_both_operands_the_same_array() -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    np.testing.assert_array_equal(F.add(x, x), 2 * x)
    np.testing.assert_array_equal(F.multiply(x, x), x * x)


@pytest.mark.parametrize("kind", ["add", "multiply"])
def test_nan_and_infinity(kind: str) -> None:
    x = np.array([[np.nan, np.inf, -np.inf, 0, 1] * 5], np.float32)
    y = np.array([[1, -np.inf, np.inf, np.inf, np.nan] * 5], np.float32)
    with np.errstate(invalid="ignore"):
        expected = x + y if kind == "add" else x * y
    for _ in machines():
        np.testing.assert_array_equal(_core.forward(kind, {}, [x, y])[0], expected)


# --- dropout: random, so it is held to its definition ------------------------------------------------------------

SHAPE = (4, 33, 16, 16)


def drop(p: float, seed: int = 7, stream: int = 3, training: bool = True) -> np.ndarray:
    return _core.forward("dropout", {"p": p}, [np.ones(SHAPE, np.float32)], training, seed, stream)[0]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_dropout_keeps_the_mean(p: float) -> None:
    y = drop(p)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / (1 - p))}
    dropped = (y == 0).mean()
    assert abs(dropped - p) < 5 * np.sqrt(p * (1 - p) / y.size)  # five standard deviations of a fixed seed
    assert len({round(float((channel == 0).mean()), 9) for channel in y.swapaxes(0, 1)}) > 10


def test_dropout_is_a_function_of_seed_stream_and_place() -> None:
    results = {}
    for isa, threads in machines():
        results[isa, threads] = drop(0.5)
    first = next(iter(results.values()))
    for where, y in results.items():
        assert_same_bits(y, first, f"dropout {where}")
    assert (drop(0.5, seed=8) != first).any()
    assert (drop(0.5, stream=4) != first).any()


def test_dropout_does_nothing_at_inference() -> None:
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    np.testing.assert_array_equal(_core.forward("dropout", {"p": 0.9}, [x], False, 1, 1)[0], x)


def test_dropout_at_its_ends() -> None:
    assert (drop(0.0) == 1).all()
    assert (drop(1.0) == 0).all()


def test_dropout_passes_gradients_where_it_passed_values() -> None:
    x = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    grad = np.random.default_rng(2).standard_normal(SHAPE).astype(np.float32)
    mask = drop(0.3)
    dx = _core.backward("dropout", {"p": 0.3}, [x], [grad], [True], 7, 3)[0]
    assert dx is not None
    np.testing.assert_allclose(dx, grad * mask, rtol=1e-6)
    np.testing.assert_allclose(_core.forward("dropout", {"p": 0.3}, [x], True, 7, 3)[0], x * mask, rtol=1e-6)
