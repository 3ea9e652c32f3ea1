"""Initial values: their distributions, by name, and their seed."""

import math
from collections.abc import Callable

import numpy as np
import pytest

import convcore as cc
from convcore import nn
from convcore.nn import init
from reference import Array


def values(layer: nn.Module, name: str = "weight") -> Array:
    return layer.state_dict()[name].astype(np.float64).ravel()


def assert_uniform(v: Array, bound: float) -> None:
    """Within +-bound, filling it, with a uniform's deviation; five standard errors of a fixed seed."""
    assert np.abs(v).max() <= bound * (1 + 1e-6)
    assert np.abs(v).max() > 0.99 * bound
    assert abs(v.mean()) < 5 * bound / math.sqrt(3 * v.size)
    assert v.std() == pytest.approx(bound / math.sqrt(3), rel=5 / math.sqrt(v.size))


def assert_normal(v: Array, std: float) -> None:
    assert abs(v.mean()) < 5 * std / math.sqrt(v.size)
    assert v.std() == pytest.approx(std, rel=5 / math.sqrt(v.size))
    assert np.abs(v).max() > 3 * std


@pytest.fixture(autouse=True)
def _seed() -> None:
    cc.manual_seed(0)


@pytest.mark.parametrize(
    ("make", "fan"),
    [
        (lambda: nn.Linear(300, 200), 300),
        (lambda: nn.Conv2d(32, 64, 3), 288),
        (lambda: nn.Conv2d(32, 64, (5, 3), groups=4), 120),
        (lambda: nn.Conv1d(64, 128, 5), 320),
        (lambda: nn.ConvTranspose2d(32, 64, 3), 576),  # PyTorch takes the second axis: its fan_in is O k k
    ],
)
def test_pytorchs_default(make: Callable[[], nn.Module], fan: int) -> None:
    layer = make()
    assert_uniform(values(layer), 1 / math.sqrt(fan))
    bias = values(layer, "bias")
    assert np.abs(bias).max() <= 1 / math.sqrt(fan)
    assert bias.std() > 0.4 / math.sqrt(fan)


def test_by_name() -> None:
    model = nn.Sequential(nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.Flatten(), nn.Linear(300, 200))
    relu = math.sqrt(2)
    expected = {
        "he_normal": (assert_normal, lambda i, o: relu / math.sqrt(i)),
        "kaiming_normal": (assert_normal, lambda i, o: relu / math.sqrt(i)),
        "he_uniform": (assert_uniform, lambda i, o: relu * math.sqrt(3 / i)),
        "kaiming_uniform": (assert_uniform, lambda i, o: relu * math.sqrt(3 / i)),
        "xavier_normal": (assert_normal, lambda i, o: math.sqrt(2 / (i + o))),
        "glorot_normal": (assert_normal, lambda i, o: math.sqrt(2 / (i + o))),
        "xavier_uniform": (assert_uniform, lambda i, o: math.sqrt(6 / (i + o))),
        "glorot_uniform": (assert_uniform, lambda i, o: math.sqrt(6 / (i + o))),
        "default": (assert_uniform, lambda i, o: 1 / math.sqrt(i)),
    }
    for name, (check, size) in expected.items():
        init.initialize(model, name)
        check(values(model[0]), size(288, 576))
        check(values(model[3]), size(300, 200))
        assert (values(model[1]) == 1).all()
        assert (values(model[0], "bias") == 0).all() == (name != "default")


def test_in_place_functions() -> None:
    weight = nn.Linear(300, 200).weight
    init.uniform_(weight, -2, 2)
    assert_uniform(np.asarray(weight.data, np.float64).ravel(), 2)
    init.normal_(weight, std=0.5)
    assert_normal(np.asarray(weight.data, np.float64).ravel(), 0.5)
    init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
    assert_normal(np.asarray(weight.data, np.float64).ravel(), math.sqrt(2 / 200))
    for function, value in ((init.zeros_, 0), (init.ones_, 1), (lambda w: init.constant_(w, 3), 3)):
        function(weight)
        assert (weight.data == value).all()


def test_batch_norm_starts_neutral() -> None:
    state = nn.BatchNorm2d(5).state_dict()
    assert {name: set(v) for name, v in state.items()} == {
        "weight": {1},
        "bias": {0},
        "running_mean": {0},
        "running_var": {1},
    }
    assert set(nn.BatchNorm2d(5, affine=False).state_dict()) == {"running_mean", "running_var"}


def test_the_seed_decides() -> None:
    def draw(seed: int) -> Array:
        cc.manual_seed(seed)
        return values(nn.Linear(20, 20))

    assert (draw(1) == draw(1)).all()
    assert (draw(1) != draw(2)).all()


@pytest.mark.parametrize("name", ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"])
def test_gains(name: str) -> None:
    expected = {"tanh": 5 / 3, "relu": math.sqrt(2), "leaky_relu": math.sqrt(2 / (1 + 0.01**2)), "selu": 0.75}
    assert init.calculate_gain(name) == pytest.approx(expected.get(name, 1.0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: init.initialize(nn.Linear(2, 2), "best"), "initialize: 'best'"),
        (lambda: init.calculate_gain("swish"), "calculate_gain: 'swish'"),
        (lambda: init.kaiming_normal_(nn.Linear(2, 2).weight, mode="fan"), "init: mode.*'fan'"),
        (lambda: init.xavier_normal_(nn.Parameter(np.zeros(3))), r"init: .*\(3,\)"),
        (lambda: cc.manual_seed(-1), "manual_seed: seed.*-1"),
        (lambda: cc.manual_seed(2**64), "manual_seed: seed"),
    ],
)
def test_wrong_arguments(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
