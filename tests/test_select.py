"""Parts of arrays, padding, repeating, gathering: what NumPy and PyTorch say, in programs as on arrays."""

from typing import Any

import numpy as np
import pytest

import convcore as cc
from convcore import functional as F
from convcore import nn
from networks import Network

RNG = np.random.default_rng(0)
S = slice


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


class Map(nn.Module):
    """Any function of symbols, as a model."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


KEYS = [
    1,
    -1,
    S(1, 3),
    S(None, None, -1),
    (S(None), S(2, 9)),
    (S(None), 3),
    (..., 0),
    (..., S(4, 0, -2)),
    (0, ..., -1),
    (1, 2, 3, 4),
    (S(None), None, S(1, 2)),
    (None, 0, ..., None),
    (S(None), S(5, 2)),
    (S(None), S(None), np.int64(2), S(-3, None)),
    ...,
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_is_numpys(key: Any) -> None:
    x = normal(2, 6, 4, 5)
    np.testing.assert_array_equal(Map(lambda x: x[key])(x), np.atleast_1d(x[key]))


@pytest.mark.parametrize(
    ("key", "error", "words"),
    [
        (2, IndexError, "index 2 is out of bounds for axis 0 of size 2"),
        ((0, 0, 0, 0, 0), IndexError, "too long"),
        ((..., ...), IndexError, "too long"),
        (1.0, TypeError, "functional.take"),
        ([0, 1], TypeError, "functional.take"),
        (True, TypeError, "functional.take"),
        (S(None, None, 0), ValueError, "step"),
    ],
    ids=str,
)
def test_what_is_no_index(key: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Map(lambda x: x[key])(normal(2, 3, 4, 5))


PADS = [("constant", "constant"), ("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]


@pytest.mark.parametrize(("mode", "numpys"), PADS)
def test_pad(mode: str, numpys: Any) -> None:
    x = normal(2, 5, 4, 3)
    np.testing.assert_array_equal(F.pad(x, (2, 1, 7, 9), mode), np.pad(x, ((0, 0), (0, 0), (7, 9), (2, 1)), numpys))
    assert F.pad(x, (-1, 0), value=7.0).shape == (2, 5, 4, 2)
    assert (F.pad(x, (0, 0, 0, 0, 0, 0, 1, 0), value=7.0)[0] == 7).all()
    np.testing.assert_array_equal(F.pad(np.ones(6), (-7, 5), value=2.0), [2] * 4)  # cropped beyond its end


@pytest.mark.parametrize(
    ("mode", "pads"), [("constant", (1, -2, 0, 3)), ("reflect", (2, 1, 3, 0)), ("circular", (1, 2, 3, 4))]
)
def test_pad_is_pytorchs(mode: str, pads: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    x = normal(2, 5, 4, 3)
    np.testing.assert_array_equal(
        F.pad(x, pads, mode), torch.nn.functional.pad(torch.from_numpy(x), pads, mode).numpy()
    )


def test_repeats() -> None:
    x = normal(2, 1, 4, 5)
    np.testing.assert_array_equal(F.expand(x, (3, 2, 6, 4, 5)), np.broadcast_to(x, (3, 2, 6, 4, 5)))
    np.testing.assert_array_equal(F.expand(x, (-1, 6, -1, 1)), np.broadcast_to(x, (2, 6, 4, 5)))
    np.testing.assert_array_equal(F.expand(x, (5,)), x)
    for repeats in (2, (2, 3), (1, 2, 1, 3), (2, 1, 1, 1, 2)):
        np.testing.assert_array_equal(F.tile(x, repeats), np.tile(x, repeats))


def test_parts() -> None:
    x = normal(2, 7, 4)
    np.testing.assert_array_equal(F.narrow(x, 1, -3, 2), x[:, 4:6])
    for got, want in zip(F.split(x, 3, dim=1), np.split(x, [3, 6], 1), strict=True):
        np.testing.assert_array_equal(got, want)
    assert [p.shape for p in F.split(x, [1, 0, 6], 1)] == [(2, 1, 4), (2, 0, 4), (2, 6, 4)]
    assert [p.shape[1] for p in F.chunk(x, 4, 1)] == [2, 2, 2, 1]
    assert [p.shape for p in F.chunk(x[:, :0], 2, 1)] == [(2, 0, 4)] * 2
    np.testing.assert_array_equal(F.concat(F.chunk(x, 3, -1), -1), x)


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("indices", [1, [0, -1, 1], [[0, 1], [-1, 0]], []], ids=str)
def test_take(indices: Any, dim: int) -> None:
    x = normal(2, 3, 4)
    expected = np.take(x, np.asarray(indices, np.int64), dim)
    np.testing.assert_array_equal(F.take(x, indices, dim), expected)
    np.testing.assert_array_equal(Map(lambda x: F.take(x, indices, dim))(x), expected)


class Embedding(nn.Module):
    def __init__(self) -> None:
        self.weight = nn.Parameter(normal(7, 5))

    def forward(self, indices: Any) -> Any:
        return F.take(self.weight, indices)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
def test_take_computed_indices(shape: tuple[int, ...]) -> None:
    model, indices = Embedding(), RNG.integers(-7, 7, shape)
    y = model(indices.astype(np.float32))
    np.testing.assert_array_equal(y, model.weight.data[indices])
    for wrong, words in ((7, "index 7"), (-8, "index -8"), (0.5, "no integer"), (np.nan, "index -?nan")):
        bad = indices.astype(np.float32)
        bad.flat[1] = wrong
        with pytest.raises(ValueError, match=words):
            model(bad)
    np.testing.assert_array_equal(model(indices.astype(np.float32)), y)

    _, gradients = cc.value_and_grad(model, nn.MSELoss())(indices.astype(np.float32), np.zeros_like(y))
    expected = np.zeros((7, 5))
    np.add.at(expected, indices, 2 * y / y.size)
    np.testing.assert_allclose(gradients["weight"], expected, rtol=1e-5, atol=1e-7)


def test_take_given_indices() -> None:
    net = Network()
    x, indices = normal(5, 3, 2), RNG.integers(-5, 5, (2, 3, 4))
    values = [net.input(*x.shape), net.input(*indices.shape, dtype="int64", name="indices")]
    program = net.program(net.node("gather", *values, axis=0))
    np.testing.assert_array_equal(program.run([x, indices])[0], x[indices])
    with pytest.raises(ValueError, match="gather: index 5 at 0"):
        program.run([x, np.full_like(indices, 5)])


class Shuffle(nn.Module):
    """A unit of ShuffleNet v2, twice: halves of the channels go through and past the convolutions."""

    def __init__(self) -> None:
        self.first, self.left, self.right = nn.Conv2d(3, 16, 3), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)

    def forward(self, x: Any) -> Any:
        y = F.relu(self.first(x))
        for conv in (self.left, self.right):
            past, through = F.chunk(y, 2, dim=1)
            y = F.channel_shuffle(F.concat([past, F.relu(conv(through))]), 2)
        rows = F.split(y, 2, dim=2)
        return F.concat([rows[1], rows[0][:, :, ::-1] * 2.0, y[:, 5:7, :2]], dim=1)


def test_slices_in_programs() -> None:
    model, x = Shuffle(), normal(2, 3, 8, 7)
    expected = model.forward(x)  # op by op
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-6)
    steps = [s for s in cc.compile(model, x.shape).profile(x).steps if s["kind"] == "slice"]
    # Those that go past the convolutions are copied into the concat, the others stay where they are.
    assert [s["bytes"] == 0 for s in steps if s["output"][1] == 8] == [False, True, False, True]


def test_gradients_of_slices_in_programs() -> None:
    torch = pytest.importorskip("torch")
    model, x = Shuffle(), normal(2, 3, 8, 7)
    loss, gradients = cc.value_and_grad(model, nn.MSELoss())(x, np.zeros_like(model(x)))
    given = {k: torch.tensor(np.asarray(v), requires_grad=True) for k, v in model.state_dict().items()}

    def conv(name: str, x: Any, padding: int = 0) -> Any:
        return torch.nn.functional.conv2d(x, given[f"{name}.weight"], given[f"{name}.bias"], padding=padding).relu()

    y = conv("first", torch.from_numpy(x))
    for name, padding in (("left", 1), ("right", 0)):
        past, through = y.chunk(2, 1)
        y = torch.nn.functional.channel_shuffle(torch.cat([past, conv(name, through, padding)], 1), 2)
    rows = y.split(2, 2)
    result = torch.cat([rows[1], rows[0].flip(2) * 2, y[:, 5:7, :2]], 1)
    wanted = (result**2).mean()
    wanted.backward()
    assert loss == pytest.approx(wanted.item(), rel=1e-5)
    for name, value in given.items():
        np.testing.assert_allclose(gradients[name], value.grad.numpy(), rtol=1e-4, atol=1e-6)


class Mixture(nn.Module):
    """A map that all these ops read, so that their gradients meet in it."""

    def __init__(self) -> None:
        self.conv = nn.Conv2d(3, 6, 3)

    def forward(self, x: Any) -> Any:
        y = self.conv(x)
        pooled, at = F.max_pool2d(y, 2, return_indices=True)
        parts = [
            F.pad(y, (1, 2, 1, 0), "reflect")[:, :, :4, :6],
            F.tile(y[:, :, 1:3, :3], (1, 1, 2, 2)),
            F.expand(y[:, :, :1], y.shape),
            F.take(y, [3, 0, -1, 3], 2),
            F.max_unpool2d(pooled, at, 2),
            F.lp_pool2d(F.pad(y, (1, 1, 1, 1)), 2, 3, 1),
        ]
        return F.concat([F.concat(parts), F.tile(y[1:], (2, 6, 1, 1))], 2)


def mixed(torch: Any, y: Any) -> Any:
    """What Mixture does, in PyTorch."""
    f = torch.nn.functional
    pooled, at = f.max_pool2d(y, 2, return_indices=True)
    parts = [
        f.pad(y, (1, 2, 1, 0), "reflect")[:, :, :4, :6],
        y[:, :, 1:3, :3].tile(1, 1, 2, 2),
        y[:, :, :1].expand(y.shape),
        y[:, :, [3, 0, -1, 3]],
        f.max_unpool2d(pooled, at, 2),
        f.lp_pool2d(f.pad(y, (1, 1, 1, 1)), 2, 3, 1),
    ]
    return torch.cat([torch.cat(parts, 1), y[1:].tile(2, 6, 1, 1)], 2)


def test_gradients_meet() -> None:
    torch = pytest.importorskip("torch")
    model, x = Mixture(), normal(2, 3, 6, 8)
    weight, bias = (
        torch.tensor(np.asarray(model.state_dict()[f"conv.{n}"]), requires_grad=True) for n in ("weight", "bias")
    )
    expected = mixed(torch, torch.nn.functional.conv2d(torch.from_numpy(x), weight, bias))
    y = model(x)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    target = normal(*y.shape)
    loss, gradients = cc.value_and_grad(model, nn.MSELoss())(x, target)
    wanted = ((expected - torch.from_numpy(target)) ** 2).mean()
    wanted.backward()
    assert loss == pytest.approx(wanted.item(), rel=1e-5)
    np.testing.assert_allclose(gradients["conv.weight"], weight.grad.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradients["conv.bias"], bias.grad.numpy(), rtol=1e-4, atol=1e-5)


class NLLLoss(nn.Module):
    target_dtype = "int64"

    def forward(self, x: Any, target: Any) -> Any:
        return F.nll_loss(F.log_softmax(x), target)


def test_nll_loss_trains_as_cross_entropy() -> None:
    model, x, labels = nn.Conv2d(3, 6, 3), normal(2, 3, 6, 8), RNG.integers(0, 6, (2, 4, 6))
    loss, gradients = cc.value_and_grad(model, NLLLoss())(x, labels)
    same, wanted = cc.value_and_grad(model, nn.CrossEntropyLoss())(x, labels)
    assert loss == pytest.approx(same, rel=1e-5)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, wanted[name], rtol=1e-4, atol=1e-6)


def test_a_slice_of_what_is_overwritten_is_a_copy() -> None:
    def forward(x: Any) -> Any:
        y = F.sigmoid(x)
        part = y[:, 1:3]
        z = F.relu(y + -0.5)  # may stand where y stood
        return F.concat([F.tanh(z), F.sigmoid(part), part * 3.0])

    x = normal(2, 4, 3, 3)
    np.testing.assert_allclose(Map(forward)(x), forward(x), rtol=1e-6)


def test_unpooling_undoes_pooling() -> None:
    torch = pytest.importorskip("torch")
    x = normal(2, 5, 7, 9)
    y, at = F.max_pool2d(x, 3, 2, return_indices=True)
    theirs, there = torch.nn.functional.max_pool2d(torch.from_numpy(x), 3, 2, return_indices=True)
    for size in (None, (8, 10), (2, 5, 7, 9)):
        want = torch.nn.functional.max_unpool2d(theirs, there, 3, 2, output_size=size)
        np.testing.assert_array_equal(F.max_unpool2d(y, at, 3, 2, output_size=size), want.numpy())

    def around(x: Any) -> Any:
        return F.max_unpool2d(*F.max_pool2d(x, 3, 2, return_indices=True), 3, 2)

    np.testing.assert_array_equal(Map(around)(x), around(x))


def test_lp_pool_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    x = normal(2, 5, 7, 9)
    want = torch.nn.functional.lp_pool2d(torch.from_numpy(x), 2, 3, 2)
    np.testing.assert_allclose(F.lp_pool2d(x, 2, 3, 2), want.numpy(), rtol=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(4, 6), (2, 6, 5), (2, 6, 4, 5), (2, 6, 3, 4, 5)])
def test_losses_are_pytorchs(shape: tuple[int, ...], reduction: str) -> None:
    torch = pytest.importorskip("torch")
    x, labels, weight = normal(*shape), RNG.integers(0, 6, (shape[0], *shape[2:])), np.abs(normal(6))
    functions = [(F.nll_loss, torch.nn.functional.nll_loss)]
    if len(shape) < 5:
        functions.append((F.cross_entropy, torch.nn.functional.cross_entropy))
    for ours, theirs in functions:
        got = ours(x, labels, weight, ignore_index=2, reduction=reduction)
        given = [torch.from_numpy(v) for v in (x, labels, weight)]
        want = theirs(*given, ignore_index=2, reduction=reduction)
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: F.narrow(x, 1, 2, 2), ValueError, "narrow: start 2 and length 2 do not fit axis 1 of size 3"),
        (lambda x: F.narrow(x, 1, 0, -1), ValueError, "narrow: start 0 and length -1"),
        (lambda x: F.narrow(x, 4, 0, 1), ValueError, "narrow: dim must be from -4 to 3, got 4"),
        (lambda x: F.split(x, [1, 1], 1), ValueError, r"split: the pieces of axis 1 must be 3 in all, got \[1, 1\]"),
        (lambda x: F.split(x, 0), ValueError, "split: split_size_or_sections must be positive, got 0"),
        (lambda x: F.chunk(x, 0), ValueError, "chunk: chunks must be positive, got 0"),
        (lambda x: F.pad(x, (1,)), ValueError, r"pad: pad must be pairs for at most 4 axes, got \[1\]"),
        (lambda x: F.pad(x, (1, 1), "edge"), ValueError, "pad: mode must be one of constant, .*'edge'"),
        (lambda x: F.pad(x, (-3, -3)), cc.ShapeError, "pad: axis 3 of size 5 cannot be padded by -3 and -3"),
        (lambda x: F.pad(x[..., :0], (1, 0), "reflect"), cc.ShapeError, "pad: axis 3 of size 0"),
        (lambda x: F.pad(x[..., :2], (2**40, 0), "reflect"), cc.ShapeError, "pad: axis 3 of size 2 cannot be mirrored"),
        (lambda x: F.expand(x, (2, 3, 8, 5)), cc.ShapeError, r"expand: x of shape \(2, 3, 4, 5\) cannot be expanded"),
        (lambda x: F.expand(x, (-1, 2, 3, 4, 5)), cc.ShapeError, "expand: "),
        (lambda x: F.expand(x, [1] * 7), cc.ShapeError, "expand: shape must have from 4 to 6 dimensions"),
        (lambda x: F.tile(x, (1, -1)), ValueError, r"tile: repeats must not be negative, got \[1, 1, 1, -1\]"),
        (lambda x: F.take(x, [3], 1), ValueError, "take: index 3 at 0 is outside of axis 1 of size 3"),
        (lambda x: F.take(x, [0, 2**62], 1), ValueError, f"take: index {2**62} at 1"),
        (lambda x: F.take(x, [0.5], 1), TypeError, "take: indices must be integers, got float64"),
        (lambda x: F.take(x, np.zeros((1, 1, 1, 1), int)), cc.ShapeError, "take: the result may have 6 dim.*, got 7"),
        (lambda x: F.concat([x, x[:1]], 2), cc.ShapeError, "concat: all dimensions but axis 2 must match"),
        (lambda x: F.max_unpool2d(x, np.full(x.shape, 80), 2), ValueError, r"max_unpool2d: index 80 .*\(8, 10\)"),
        (lambda x: F.max_unpool2d(x, np.zeros((1, 1, 1, 1), int), 2), cc.ShapeError, "max_unpool2d: indices must have"),
        (
            lambda x: F.max_unpool2d(x, x, 2, output_size=(9, 12)),
            ValueError,
            "max_unpool2d: output_size must be within",
        ),
        (lambda x: F.lp_pool2d(x, 0.5, 2), ValueError, "lp_pool2d: p must be at least 1, got 0.5"),
        (lambda x: F.nll_loss(x[0, 0, 0], [1]), cc.ShapeError, r"nll_loss: x must be \(N, C, ...\)"),
    ],
)
def test_bad_arguments(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call(normal(2, 3, 4, 5))
