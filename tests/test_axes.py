"""Functions along axes: folds, softmax, places of extremes, matrix products."""

from typing import Any

import numpy as np
import pytest

import convcore as cc
from axis_cases import AXIS_CASES
from case import Case
from checks import assert_same_bits, check, machines
from convcore import _core, nn
from convcore import functional as F

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "case", [c for kind, cases in AXIS_CASES.items() if kind != "topk" for c in cases], ids=lambda c: f"{c.kind} {c.id}"
)
def test_axes(case: Case) -> None:
    check(case)


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("case", AXIS_CASES["topk"], ids=lambda c: c.id)
def test_topk(case: Case) -> None:
    (x,) = case.inputs()
    assert x is not None
    a: dict[str, Any] = dict(case.attributes)
    k, axis, largest = a["k"], a.get("axis", -1), a.get("largest", True)
    order = np.argsort(-x if largest else x, axis, kind="stable")
    indices = np.take(order, range(k), axis)
    values = np.take_along_axis(x, indices, axis)
    grad = case.rng().standard_normal(values.shape).astype(np.float32)
    dx = np.zeros_like(x)
    np.put_along_axis(dx, indices, grad, axis)
    for isa, threads in machines():
        got = _core.forward("topk", a, [x])
        np.testing.assert_array_equal(got[0], values, f"{isa}, {threads} threads")
        np.testing.assert_array_equal(got[1], indices, f"{isa}, {threads} threads")
        (gradient,) = _core.backward("topk", a, [x], [grad, 0 * grad], [True])
        np.testing.assert_array_equal(gradient, dx, f"{isa}, {threads} threads")


def test_nan_is_an_extreme() -> None:
    x = normal(5, 40)
    x[1, 7], x[2, 39], x[3] = np.nan, np.nan, np.nan
    where = np.isnan(x).any(1)
    for _ in machines():
        for function in (F.amax, F.amin, F.sum, F.prod, F.norm, F.logsumexp, F.mean):
            np.testing.assert_array_equal(np.isnan(function(x, dim=1)), where)
            np.testing.assert_array_equal(np.isnan(function(x.T, dim=0)), where)
        np.testing.assert_array_equal(F.argmax(x, 1), x.argmax(1))
        np.testing.assert_array_equal(F.argmin(x, 1), x.argmin(1))
        np.testing.assert_array_equal(F.topk(x, 1)[1][:, 0], x.argmax(1))
        assert not np.isnan(F.topk(x, 3, largest=False)[0][:3]).any()


def test_log_sum_exp_at_infinity() -> None:
    infinity = np.inf
    x = np.array([[-infinity, -infinity], [infinity, 0], [-infinity, 2], [1e4, 1e4]], np.float32)
    for _ in machines():
        np.testing.assert_allclose(F.logsumexp(x, 1), [-infinity, infinity, 2, 1e4 + np.log(2)], rtol=1e-6)


def test_products_with_zeros_have_slopes() -> None:
    x = np.array([[2, 0, 3, 4], [0, 5, 0, 1], [1, 2, 3, 4]], np.float32)
    for _ in machines():
        (dx,) = _core.backward("reduce", {"function": "prod", "axes": [1]}, [x], [np.ones(3, np.float32)], [True])
        np.testing.assert_allclose(dx, [[0, 24, 0, 0], [0, 0, 0, 0], [24, 12, 8, 6]])


def test_long_sums_stay_exact() -> None:
    """Partial sums: the error does not grow with the length as that of one running sum would."""
    x = np.full((1, 1 << 22), 0.1, np.float32)
    for _ in machines():
        for y in (F.sum(x), F.sum(x.T, 0)):
            np.testing.assert_allclose(y, [np.float64(np.float32(0.1)) * x.size], rtol=1e-5)


def test_functions_do_what_numpy_does() -> None:
    x = normal(2, 5, 3, 4)
    for ours, theirs in (
        (F.sum(x), [x.sum()]),
        (F.sum(x, (0, -1)), x.sum((0, 3))),
        (F.mean(x, [1, 2], keepdim=True), x.mean((1, 2), keepdims=True)),
        (F.amax(x, 2), x.max(2)),
        (F.amin(x, keepdim=True), x.min(keepdims=True)),
        (F.prod(x, 1), x.prod(1)),
        (F.norm(x, 1, 3), np.abs(x).sum(3)),
        (F.norm(x), [np.sqrt((x * x).sum())]),
        (F.logsumexp(x, (1, 2)), np.log(np.exp(x).sum((1, 2)))),
        (F.argmax(x), [x.argmax()]),
        (F.argmax(x, keepdim=True), x.argmax(keepdims=True)),
        (F.argmin(x, 2), x.argmin(2)),
        (F.hardmax(x, 1), (x == x.max(1, keepdims=True)) * 1.0),
        (F.sum(F.softmax(x, 3), 3), np.ones((2, 5, 3))),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


MATRICES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    *[((4,), (4,)), ((4,), (4, 5)), ((3, 4), (4,)), ((3, 4), (4, 5)), ((2, 3, 4), (4,)), ((4,), (2, 4, 5))],
    *[((2, 9, 4), (4, 5)), ((9, 4), (2, 4, 5)), ((2, 1, 9, 4), (3, 4, 9)), ((2, 3, 9, 4), (4, 5))],
]


@pytest.mark.parametrize(("left", "right"), MATRICES)
def test_matmul_does_what_numpy_does(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    """With arrays; with two symbols; with a symbol and a parameter, whose gradient comes back."""
    a, b = normal(*left), normal(*right)
    expected = np.reshape(a @ b, np.shape(a @ b) or (1,))
    np.testing.assert_allclose(F.matmul(a, b), expected, rtol=1e-4, atol=1e-5)

    class Symbols(nn.Module):
        def forward(self, a: Any, b: Any) -> Any:
            return F.matmul(a, b)

    np.testing.assert_allclose(Symbols()(a, b), expected, rtol=1e-4, atol=1e-5)

    class Weight(nn.Module):
        def __init__(self) -> None:
            self.weight = nn.Parameter(b)

        def forward(self, a: Any) -> Any:
            return F.matmul(a, self.weight)

    class Sum(nn.Module):
        def forward(self, y: Any, factor: Any) -> Any:
            return F.mse_loss(F.reshape(y, (1, -1)), factor)

    np.testing.assert_allclose(Weight()(a), expected, rtol=1e-4, atol=1e-5)
    target = normal(1, expected.size)
    _, gradients = cc.value_and_grad(Weight(), Sum())(a, target)

    def loss(weight: Any) -> float:
        return float(((a.astype(np.float64) @ weight - target.reshape(np.shape(a @ b))) ** 2).mean())

    for place in list(np.ndindex(b.shape))[:12]:
        step = np.zeros(b.shape)
        step[place] = 1e-4
        slope = (loss(b + step) - loss(b - step)) / 2e-4
        assert gradients["weight"][place] == pytest.approx(slope, rel=1e-3, abs=1e-4)


class Attention(nn.Module):
    """Self-attention of four heads, scores kept to the best two of each row."""

    def __init__(self) -> None:
        self.query, self.key, self.value = (nn.Parameter(0.3 * normal(24, 24)) for _ in range(3))

    def forward(self, x: Any) -> Any:
        b, t, d = x.shape
        q, k, v = (
            F.permute(F.reshape(F.matmul(x, w), (b, t, 4, d // 4)), (0, 2, 1, 3))
            for w in (self.query, self.key, self.value)
        )
        scores = F.matmul(q, F.permute(k, (0, 1, 3, 2))) / np.sqrt(d // 4)
        best = F.amin(F.topk(scores, 2)[0], -1, keepdim=True)
        shares = F.softmax(F.where(scores >= best, scores, -1e9), -1)
        y = F.permute(F.matmul(shares, v), (0, 2, 1, 3))
        return F.reshape(y, (b, t, d)) - F.mean(x, (1, 2), keepdim=True)


def attention(x: Any, *weights: Any) -> Any:
    b, t, d = x.shape
    q, k, v = ((x @ w).reshape(b, t, 4, d // 4).transpose(0, 2, 1, 3) for w in weights)
    scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(d // 4)
    best = np.sort(scores, -1)[..., -2:-1]
    exps = np.where(scores >= best, np.exp(scores - scores.max(-1, keepdims=True)), 0)
    shares = exps / exps.sum(-1, keepdims=True)
    return (shares @ v).transpose(0, 2, 1, 3).reshape(b, t, d) - x.mean((1, 2), keepdims=True)


@pytest.mark.parametrize("length", [1, 5, 30])
def test_attention(length: int) -> None:
    model, x, target = Attention(), normal(2, max(length, 2), 24), normal(2, max(length, 2), 24)
    weights = [p.data.astype(np.float64) for p in (model.query, model.key, model.value)]
    x64 = x.astype(np.float64)
    for isa, threads in machines():
        first = model(x)
        np.testing.assert_allclose(first, attention(x64, *weights), rtol=1e-3, atol=1e-4, err_msg=f"{isa} {threads}")
        assert_same_bits(model(x), first, "attention")
    _, gradients = cc.value_and_grad(model, nn.MSELoss())(x, target)

    def loss(*weights: Any) -> float:
        return float(((attention(x64, *weights) - target) ** 2).mean())

    for i, name in enumerate(("query", "key", "value")):
        for place in ((0, 0), (3, 17), (23, 5)):
            step = np.zeros((24, 24))
            step[place] = 1e-5
            up, down = ([w + s * step if i == j else w for j, w in enumerate(weights)] for s in (1, -1))
            assert gradients[name][place] == pytest.approx((loss(*up) - loss(*down)) / 2e-5, rel=1e-2, abs=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: F.sum(x, 4), ValueError, r"sum: axis must be from -4 to 3 .*, got 4"),
        (lambda x: F.mean(x, (1, -3)), ValueError, r"mean: axes must hold each axis once, got \[1, -3\]"),
        (lambda x: F.amax(x, 1.5), TypeError, "amax: dim must be a sequence of ints"),
        (lambda x: F.norm(x, 3), ValueError, "norm: p must be 1 or 2, got 3"),
        (
            lambda x: _core.forward("reduce", {"function": "median"}, [x]),
            ValueError,
            "reduce: function must be .*'median'",
        ),
        (lambda x: F.argmax(x, 7), ValueError, "argmax: axis must be from -4 to 3"),
        (lambda x: F.argmax(x[:0], 0), cc.ShapeError, "argmax: x has no element along axis 0"),
        (lambda x: F.topk(x, 4, 2), ValueError, "topk: k must be from 0 to 3, the size of axis 2, got 4"),
        (lambda x: F.topk(x, -1), ValueError, "topk: k must be from 0"),
        (lambda x: F.softmax(x, -5), ValueError, "softmax: axis must be from -4 to 3"),
        (lambda x: F.hardmax(x, 4), ValueError, "hardmax: axis must be"),
        (lambda x: F.matmul(x, x), cc.ShapeError, r"matmul: a must be .* got \(2, 5, 3, 4\) and \(2, 5, 3, 4\)"),
        (lambda x: F.matmul(x, x[0, 0]), cc.ShapeError, "matmul: a must be"),
        (lambda x: F.matmul(x[:, :2], np.ones((2, 3, 4, 1))), cc.ShapeError, "matmul: a must be"),
    ],
)
def test_bad_arguments(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(normal(2, 5, 3, 4))
