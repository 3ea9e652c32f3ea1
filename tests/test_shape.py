import numpy as np
import pytest

import convcore as cc
from case import Case
from checks import check
from convcore import functional as F
from convcore import nn
from shape_cases import SHAPE_CASES

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("case", [c for cases in SHAPE_CASES.values() for c in cases], ids=lambda c: f"{c.kind} {c.id}")
def test_movement(case: Case) -> None:
    check(case)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def test_functions_do_what_numpy_does() -> None:
    x = normal(2, 12, 4, 6)
    np.testing.assert_array_equal(F.reshape(x, (2, -1, 8)), x.reshape(2, -1, 8))
    np.testing.assert_array_equal(F.reshape(x, [-1]), x.reshape(-1))
    np.testing.assert_array_equal(F.permute(x, (0, -1, 1, 2)), x.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(F.unsqueeze(x, -1), x[..., None])
    np.testing.assert_array_equal(F.squeeze(x[:1, :, :1]), x[0, :, 0])
    np.testing.assert_array_equal(F.squeeze(x[:1, :, :1], 2), x[:1, :, 0])
    np.testing.assert_array_equal(F.squeeze(x, 0), x)
    np.testing.assert_array_equal(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2), x)
    shuffled = x.reshape(2, 3, 4, 4, 6).swapaxes(1, 2).reshape(x.shape)
    np.testing.assert_array_equal(F.channel_shuffle(x, 3), shuffled)


def test_functions_do_what_pytorch_does() -> None:
    torch = pytest.importorskip("torch")
    x = normal(2, 12, 4, 6)
    for ours, theirs in (
        (F.pixel_shuffle(x, 2), torch.nn.functional.pixel_shuffle(torch.from_numpy(x), 2)),
        (F.pixel_unshuffle(x, 2), torch.nn.functional.pixel_unshuffle(torch.from_numpy(x), 2)),
        (F.channel_shuffle(x, 4), torch.nn.functional.channel_shuffle(torch.from_numpy(x), 4)),
    ):
        np.testing.assert_array_equal(ours, theirs.numpy())


class Mixed(nn.Module):
    """Parameters and constants of every rank beside symbols: with maps, and with fewer axes."""

    def __init__(self) -> None:
        self.place = nn.Parameter(normal(1, 6, 5))
        self.scale = nn.Parameter(normal(5))
        self.map = normal(6, 1, 4)

    def forward(self, x: np.ndarray) -> np.ndarray:
        y = F.permute(F.reshape(x * self.map, (2, 3, 2, 20)), (0, 2, 1, 3))
        y = F.reshape(y, (2, 6, 4, 5))
        return F.reshape(F.reshape(y, (8, 6, 5)) * self.scale + self.place, (2, 6, 5, 4))


def test_parameters_and_constants_of_any_rank() -> None:
    model, x = Mixed(), normal(2, 6, 5, 4)
    y = (x * model.map).reshape(2, 3, 2, 20).transpose(0, 2, 1, 3).reshape(8, 6, 5)
    expected = (y * model.scale.data + model.place.data).reshape(2, 6, 5, 4)
    np.testing.assert_allclose(model(x), expected, rtol=1e-6, atol=1e-6)

    target = normal(2, 6, 5, 4)
    loss, gradients = cc.value_and_grad(model, nn.MSELoss())(x, target)
    error = 2 * (expected - target).reshape(8, 6, 5) / target.size
    assert loss == pytest.approx(((expected - target) ** 2).mean(), rel=1e-5)
    np.testing.assert_allclose(gradients["place"], error.sum(0, keepdims=True), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gradients["scale"], (error * y).sum((0, 1)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: F.reshape(x, (7, -1)), cc.ShapeError, r"reshape: \(2, 12, 4, 6\) cannot be made \[7, -1\]"),
        (lambda x: F.reshape(x, (-1, -1)), ValueError, "one -1"),
        (lambda x: F.reshape(x, (5, 5)), cc.ShapeError, r"shape \(5, 5\) must have as many elements"),
        (lambda x: F.reshape(x, 5), TypeError, "shape must be a sequence of ints"),
        (lambda x: F.permute(x, (0, 1, 1, 2)), ValueError, "each of the view's 4 axes once"),
        (lambda x: F.permute(x, (0, 1, 2, 4)), ValueError, "from -4 to 3, got 4"),
        (lambda x: F.unsqueeze(x, 5), ValueError, "from -5 to 4, got 5"),
        (lambda x: F.channel_shuffle(x, 5), cc.ShapeError, "groups must divide 12, got 5"),
        (lambda x: F.pixel_shuffle(x, 3), cc.ShapeError, "upscale_factor squared must divide 12, got 9"),
        (lambda x: F.pixel_unshuffle(x[0], 2), cc.ShapeError, r"x must be \(N, C, H, W\)"),
    ],
)
def test_bad_arguments(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(normal(2, 12, 4, 6))
