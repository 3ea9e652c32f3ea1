"""Functions of one, two and three operands."""

from typing import Any

import numpy as np
import pytest

import convcore as cc
from case import Case
from checks import assert_same_bits, check, machines
from convcore import _core, nn
from convcore import functional as F
from math_cases import BINARY, COMPARISONS, LOGICAL, MATH_CASES, UNARY

RNG = np.random.default_rng(0)
NEW = [kind for kind in (*UNARY, *BINARY, *COMPARISONS, *LOGICAL, "where") if kind in MATH_CASES]


@pytest.mark.parametrize("case", [c for kind in NEW for c in MATH_CASES[kind]], ids=lambda c: f"{c.kind} {c.id}")
def test_elementwise(case: Case) -> None:
    check(case)


SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 2.5, -3.0, 0.5] * 4, np.float32)
NUMPY: dict[str, Any] = {
    **{kind: getattr(np, kind) for kind in (*COMPARISONS, *LOGICAL, *BINARY) if hasattr(np, kind)},
    **{kind: getattr(np, kind) for kind in ("exp", "log", "sqrt", "floor", "ceil", "sign", "abs", "reciprocal")},
    **{"round": np.rint, "neg": np.negative, "logical_not": np.logical_not},
}


@pytest.mark.parametrize("kind", sorted(NUMPY))
def test_special_values_are_numpys(kind: str) -> None:
    """NaN, infinities and zeros, in all pairs, around the vectors' widths."""
    unary = kind in UNARY
    x, y = (SPECIAL[None], SPECIAL[:, None]) if not unary else (SPECIAL, SPECIAL)
    with np.errstate(all="ignore"):
        expected = np.asarray(NUMPY[kind](x) if unary else NUMPY[kind](x, y), np.float32)
    for _ in machines():
        result = _core.forward(kind, {}, [x] if unary else [x, y])[0]
        np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_clamp_and_threshold_pass_nan() -> None:
    for y in (F.clamp(SPECIAL, -1, 1), F.threshold(SPECIAL, 0.5, 2.0)):
        np.testing.assert_array_equal(np.isnan(y), np.isnan(SPECIAL))
    np.testing.assert_array_equal(F.clamp(SPECIAL[1:8], min=2, max=1), np.ones(7))  # as in PyTorch


def test_whole_numbers_of_every_size() -> None:
    x = np.array([2.0**e + d for e in range(24) for d in (-0.5, 0, 0.25, 0.5)], np.float32)
    x = np.concatenate([x, -x])
    for _ in machines():
        for kind, exact in (("floor", np.floor), ("ceil", np.ceil), ("round", np.rint)):
            np.testing.assert_array_equal(_core.forward(kind, {}, [x])[0], exact(x), err_msg=kind)


@pytest.mark.parametrize("exponent", [2.0, 3.0, 0.5, -1.0, 0.0, 1.0])
def test_powers_by_one_number(exponent: float) -> None:
    x = RNG.standard_normal((3, 37)).astype(np.float32)
    x = np.abs(x) if exponent == 0.5 else x
    for _ in machines():
        np.testing.assert_allclose(F.power(x, exponent), x.astype(np.float64) ** exponent, rtol=1e-6)
        two = np.full_like(x, 2)
        np.testing.assert_allclose(F.power(exponent, two), exponent ** two.astype(np.float64), rtol=1e-6)


def test_slopes_of_powers_at_zero() -> None:
    """As in PyTorch: finite where they can be."""
    x, y = np.array([0, 0, 0, 2], np.float32), np.array([0, 1, 2, 0], np.float32)
    dx, dy = _core.backward("power", {}, [x, y], [np.ones(4, np.float32)], [True, True])
    np.testing.assert_allclose(dx, [0, 1, 0, 0])
    np.testing.assert_allclose(dy, [0, 0, 0, np.log(2)], rtol=1e-6)


def test_functions_do_what_pytorch_does() -> None:
    torch = pytest.importorskip("torch")
    x, y = (RNG.standard_normal((2, 6, 4, 5)).astype(np.float32) for _ in range(2))
    weight = RNG.standard_normal(6).astype(np.float32)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    theirs = torch.nn.functional
    names = ("elu", "selu", "celu", "hardsigmoid", "mish", "softplus", "softsign")
    for name in names:
        np.testing.assert_allclose(getattr(F, name)(x), getattr(theirs, name)(tx).numpy(), rtol=1e-5, atol=1e-6)
    for ours, expected in (
        (F.prelu(x, weight), theirs.prelu(tx, torch.from_numpy(weight))),
        (F.threshold(x, 0.1, 20), theirs.threshold(tx, 0.1, 20)),
        (F.clamp(x, max=0.5), torch.clamp(tx, max=0.5)),
        (F.remainder(x, y), torch.remainder(tx, ty)),
        (F.fmod(x, y), torch.fmod(tx, ty)),
        (F.where(x > y, x, y), torch.where(tx > ty, tx, ty)),
    ):
        np.testing.assert_allclose(ours, expected.numpy(), rtol=1e-5, atol=1e-6)


class Operators(nn.Module):
    """Every operator of symbols, with symbols of fewer axes, numbers, arrays and parameters on either side."""

    def __init__(self) -> None:
        self.scale = nn.Parameter(RNG.standard_normal((6, 1, 1)))
        self.slope = nn.Parameter(RNG.standard_normal(6))
        self.map = RNG.standard_normal((4, 5)).astype(np.float32)

    def forward(self, x: Any, y: Any, z: Any) -> Any:
        a = (x - self.scale) / (abs(y) + 1.0) - self.map + z
        b = 2.0 / (1.0 + x**2) + (3 - y) * (self.scale - y) - z
        c = (x > y) * 1.5 + (z <= x) - (y > 0.25) * (y >= self.map)
        d = self.map - F.prelu(x, self.slope) + (self.map > y) + self.map / (2 + y * y) - 2.0 ** (-z)
        return a + b * c + d


def operators(model: Operators, scale: Any, slope: Any, x: Any, y: Any, z: Any) -> Any:
    a = (x - scale) / (abs(y) + 1.0) - model.map + z
    b = 2.0 / (1.0 + x**2) + (3 - y) * (scale - y) - z
    c = (x > y) * 1.5 + (z <= x) - (y > 0.25) * (y >= model.map) * 1.0
    prelu = np.where(x > 0, x, slope[:, None, None] * x)
    return a + b * c + model.map - prelu + (model.map > y) + model.map / (2 + y * y) - 2.0 ** (-z)


def test_operators_of_symbols() -> None:
    model = Operators()
    x, y, target = (RNG.standard_normal((2, 6, 4, 5)).astype(np.float32) for _ in range(3))
    z = RNG.standard_normal((4, 5)).astype(np.float32)
    values = [v.data.astype(np.float64) for v in (model.scale, model.slope)]
    np.testing.assert_allclose(model(x, y, z), operators(model, *values, x, y, z), rtol=1e-4, atol=1e-5)

    class Loss(nn.Module):
        def forward(self, y: Any, target: Any) -> Any:
            return F.mse_loss(y, target)

    def loss(scale: Any, slope: Any) -> float:
        return float(((operators(model, scale, slope, x, y, z) - target) ** 2).mean())

    _, gradients = cc.value_and_grad(model, Loss())((x, y, z), target)
    for i, name in enumerate(("scale", "slope")):
        for place in np.ndindex(values[i].shape):
            step = np.zeros_like(values[i])
            step[place] = 1e-5
            up, down = ([v + s * step if i == j else v for j, v in enumerate(values)] for s in (1, -1))
            slope = (loss(*up) - loss(*down)) / 2e-5
            assert gradients[name][place] == pytest.approx(slope, rel=1e-3, abs=1e-5)


def test_in_place_and_repeated_operands_in_programs() -> None:
    """What the planner makes of elementwise nodes gives the bits that single calls give."""

    class Chain(nn.Module):
        def forward(self, x: Any) -> Any:
            y = F.exp(F.clamp(x, -1, 1)) - x
            z = F.maximum(y, x) / (1 + abs(y))
            return F.where(z < 0.5, F.reshape(z, (3, 5, 7)), x * z)

    x = RNG.standard_normal((3, 5, 7)).astype(np.float32)
    y = F.subtract(F.exp(F.clamp(x, -1, 1)), x)
    z = F.divide(F.maximum(y, x), F.add(1, F.abs(y)))
    assert_same_bits(Chain()(x), F.where(F.less(z, 0.5), z, F.multiply(x, z)), "chain")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: F.subtract(x, x[:, :2]), cc.ShapeError, r"subtract: operands .* \(2, 6\) and \(2, 2\)"),
        (lambda x: F.where(x, x, x[:, :2]), cc.ShapeError, "where: operands"),
        (lambda x: F.less(x, "a"), TypeError, "less: "),
        (lambda x: F.celu(x, 0.0), ValueError, "celu: alpha must not be zero"),
        (lambda x: F.elu(x, np.inf), ValueError, "elu: alpha must be finite"),
        (lambda x: F.softplus(x, 0.0), ValueError, "softplus: beta must not be zero"),
        (lambda x: F.clamp(x, np.nan), ValueError, "clamp: min and max must be numbers"),
        (lambda x: F.clamp(x, "a"), TypeError, "clamp: min must be a number"),
        (lambda x: _core.backward("less", {}, [x, x], [x], [True, False]), ValueError, "less: has no gradient"),
        (lambda x: _core.backward("logical_not", {}, [x], [x], [True]), ValueError, "logical_not: has no gradient"),
    ],
)
def test_bad_arguments(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(np.ones((2, 6), np.float32))


def test_symbols_refuse_what_they_have_no_values_for() -> None:
    class Branch(nn.Module):
        def forward(self, x: Any) -> Any:
            return x if x > 0 else -x

    class Function(nn.Module):
        def forward(self, x: Any) -> Any:
            return np.exp(x)

    for model in (Branch(), Function()):
        with pytest.raises(TypeError, match="no values yet"):
            model(np.ones((2, 6), np.float32))
