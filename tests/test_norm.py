import numpy as np
import pytest

from case import Case
from cases import CASES
from checks import EPS, assert_same_bits, check, machines
from convcore import _core
from convcore import functional as F
from reference.norm import batch_statistics


@pytest.mark.parametrize("case", CASES["batch_norm"], ids=lambda c: c.id)
def test_batch_norm_inference(case: Case) -> None:
    check(case, gradients=False)


@pytest.mark.parametrize("case", CASES["batch_norm"] + CASES["batch_norm statistics"], ids=lambda c: c.id)
def test_batch_norm_training(case: Case) -> None:
    check(case, training=True)


@pytest.mark.parametrize("case", CASES["batch_norm"] + CASES["batch_norm statistics"], ids=lambda c: c.id)
def test_batch_norm_moves_its_running_statistics(case: Case) -> None:
    """running <- (1 - momentum) running + momentum batch, the variance unbiased; in place, and only in training."""
    x, weight, bias, mean, variance, *more = case.inputs()
    assert x is not None
    assert mean is not None
    assert variance is not None
    momentum = case.attributes.get("momentum", 0.1)
    count = x.size / x.shape[1]
    batch_mean, batch_variance = batch_statistics(x.astype(np.float64))
    unbiased = batch_variance * count / (count - 1)
    magnitude = np.abs(x).max() ** 2 + np.abs(x).max() + np.abs(mean) + variance
    first: list[np.ndarray] = []
    for isa, threads in machines():
        running = [mean.copy(), variance.copy()]
        _core.forward("batch_norm", case.attributes, [x, weight, bias, *running, *more[:1]], False)
        np.testing.assert_array_equal(running, [mean, variance])
        _core.forward("batch_norm", case.attributes, [x, weight, bias, *running, *more], True)
        for got, old, new in zip(running, (mean, variance), (batch_mean, unbiased), strict=True):
            error = np.abs(got - ((1 - momentum) * old.astype(np.float64) + momentum * new))
            assert (error <= EPS * (count + 8) * magnitude).all(), f"{isa}: {error.max()}"
        first = running if threads == 1 else first
        for a, b in zip(running, first, strict=True):
            assert_same_bits(a, b, f"running statistics, {isa}, {threads} threads")


def test_batch_norm_has_zero_mean_and_unit_variance_far_from_zero() -> None:
    """The variance is not had as E[x^2] - E[x]^2, which would leave no digits here."""
    x = (1000 + np.random.default_rng(0).standard_normal((16, 17, 8, 8))).astype(np.float32)
    zero, one = np.zeros(17, np.float32), np.ones(17, np.float32)
    for _ in machines():
        y = _core.forward("batch_norm", {}, [x, None, None, zero.copy(), one.copy()], True)[0].astype(np.float64)
        np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-3)
        np.testing.assert_allclose(y.var((0, 2, 3)), 1, rtol=1e-3)


def test_batch_norm_of_a_constant_channel() -> None:
    x = np.full((4, 5, 3, 3), 2.5, np.float32)
    bias = np.arange(5, dtype=np.float32)
    y = F.batch_norm(x, np.zeros(5, np.float32), np.ones(5, np.float32), None, bias, training=True)
    np.testing.assert_allclose(y, np.broadcast_to(bias[:, None, None], x.shape), atol=1e-4)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(("activation", "top"), [("relu", 9.0), ("relu6", 6.0)])
def test_batch_norm_passes_gradients_inside_the_kinks_only(activation: str, top: float, residual: bool) -> None:
    """The activation's argument is bias + residual, exactly: weight is 0. NaN stays one, and PyTorch's gradient of relu
    goes through it."""
    values = np.array([-1, -0.0, 0, 1e-30, 3, 6, np.nextafter(np.float32(6), np.float32(0)), 7, np.nan], np.float32)
    passed = [0, 0, 0, 1, 1, int(activation == "relu"), 1, int(activation == "relu"), int(activation == "relu")]
    x = np.random.default_rng(0).standard_normal((5, 9, 3, 2)).astype(np.float32)
    zero, grad = np.zeros(9, np.float32), np.ones(x.shape, np.float32)
    inputs = [x, zero, zero if residual else values, zero.copy(), zero + 1]
    if residual:
        inputs.append(np.broadcast_to(values[:, None, None], x.shape).copy())
    mask = [False, False, True, False, False, True][: len(inputs)]
    for isa, _ in machines():
        y = _core.forward("batch_norm", {"activation": activation}, inputs, True)[0]
        np.testing.assert_array_equal(y[1, :, 2, 1], np.where(np.isnan(values), values, np.clip(values, 0, top)), isa)
        got = _core.backward("batch_norm", {"activation": activation}, inputs, [grad], mask)
        np.testing.assert_array_equal(got[2], np.array(passed) * 30.0, isa)
        if residual:
            np.testing.assert_array_equal(got[5], np.broadcast_to(np.array(passed)[:, None, None], x.shape), isa)


@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_of_no_images(training: bool) -> None:
    """Nothing is learnt from nothing."""
    zero, one = np.zeros(5, np.float32), np.ones(5, np.float32)
    x = np.zeros((0, 5, 3, 3), np.float32)
    assert F.batch_norm(x, zero, one, training=training).shape == (0, 5, 3, 3)
    assert (zero == 0).all()
    assert (one == 1).all()


@pytest.mark.parametrize("case", CASES["local_response_norm"], ids=lambda c: c.id)
def test_local_response_norm(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", CASES["normalize"], ids=lambda c: c.id)
def test_normalize(case: Case) -> None:
    check(case)
