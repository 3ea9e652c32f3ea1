"""Batch norms and gates before a convolution, which takes them into its copy of the input."""

from typing import Any

import pytest

import convcore as cc
from checks import machines
from convcore import _core, nn
from convcore import functional as F
from fusion import assert_close, compiled, image, shake

PREPARED: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "1x1": ((2, 37, 9, 11), (40, 37, 1, 1), {}),
    "1x1 of many channels": ((1, 600, 14, 14), (40, 600, 1, 1), {}),
    "1x1, a vector": ((3, 37, 1, 1), (40, 37, 1, 1), {}),
    "1x1, strided": ((2, 20, 9, 9), (33, 20, 1, 1), {"stride": [2, 2]}),
    "5x5": ((2, 20, 12, 9), (17, 20, 5, 5), {"padding": [2, 2, 2, 2]}),
    "3x3, strided": ((2, 20, 12, 9), (17, 20, 3, 3), {"padding": [0, 1, 0, 1], "stride": [2, 2]}),
    "groups": ((2, 40, 9, 9), (40, 20, 3, 3), {"padding": [1, 1, 1, 1], "groups": 2, "stride": [2, 1]}),
    "1-D": ((2, 20, 50), (17, 20, 5), {"stride": [1, 2]}),
}


@pytest.mark.parametrize("name", PREPARED)
def test_inputs_are_prepared_on_their_way_in(name: str) -> None:
    """A batch norm with its activation, or one factor for each channel and image; zeros of the padding stay zeros."""
    x_shape, w_shape, attributes = PREPARED[name]
    attributes = {**attributes, "algorithm": "direct"}
    x, weight, rest = image(*x_shape), image(*w_shape, seed=1), (1,) * (len(x_shape) - 2)
    images, channels = x_shape[:2]
    scale, shift = image(1, channels, *rest, seed=2), image(1, channels, *rest, seed=3)
    gate = image(images, channels, *rest, seed=4)
    none = [None] * 8
    for _ in machines():
        for activation in ("none", "relu", "relu6"):
            given = x * scale + shift
            if activation != "none":
                (given,) = _core.forward(activation, {}, [given])
            (expected,) = _core.forward("conv2d", attributes, [given, weight])
            both = {**attributes, "input_activation": activation}
            (got,) = _core.forward("conv2d", both, [x, weight, *none, scale, shift])
            assert_close(got, expected)
        (expected,) = _core.forward("conv2d", attributes, [x * gate, weight])
        (got,) = _core.forward("conv2d", attributes, [x, weight, *none, gate])
        assert_close(got, expected)


@pytest.mark.parametrize("isa", _core.available_isas())
def test_what_prepares_an_input_may_have_gaps(isa: str) -> None:
    _core.force_isa(isa)
    x, weight, vectors = image(2, 6, 5, 5), image(4, 6, 1, 1, seed=1), image(2, 6, 1, 1, 5, seed=2)
    scale, shift = vectors[..., 1], vectors[:1, ..., 3]
    (expected,) = _core.forward("conv2d", {}, [x * scale + shift, weight])
    (got,) = _core.forward("conv2d", {}, [x, weight, *[None] * 8, scale, shift])
    assert_close(got, expected)


def test_what_cannot_be_prepared() -> None:
    x, weight, scale, none = image(2, 6, 5, 5), image(4, 6, 1, 1), image(1, 6, 1, 1), [None] * 8
    for shape in ((6,), (6, 1, 1), (2, 6, 1, 1), (1, 6, 1, 5)):
        with pytest.raises(cc.ShapeError, match=r"conv2d: in_shift needs shape \(1, 6, 1, \.\.\.\)"):
            _core.forward("conv2d", {}, [x, weight, *none, scale, image(*shape)])
    with pytest.raises(
        ValueError, match="algorithm must be auto, exact or direct where there is in_scale, got 'im2col'"
    ):
        _core.forward("conv2d", {"algorithm": "im2col"}, [x, weight, *none, scale])
    with pytest.raises(ValueError, match="linear: in_scale is for inference, and for conv2d"):
        _core.forward("linear", {}, [image(2, 6), image(4, 6), *none, image(1, 6)])
    with pytest.raises(ValueError, match="in_scale is for inference"):
        _core.backward("conv2d", {}, [x, weight, *none, scale], [image(2, 4, 5, 5)], [True] * 11)


class Preactivated(nn.Module):
    """What stands before the convolutions: a norm, or a gate as squeeze-and-excitation has it."""

    def __init__(self, kernel: int, gated: bool, activation: str = "relu") -> None:
        self.first = nn.Conv2d(3, 40, 3, stride=2)
        self.norm = nn.BatchNorm2d(40)
        self.squeeze, self.excite = nn.Conv2d(40, 8, 1), nn.Conv2d(8, 40, 1)
        self.last = nn.Conv2d(40, 24, kernel, padding=kernel // 2)
        self.gated, self.activation = gated, activation

    def before(self, x: Any) -> Any:
        x = F.max_pool2d(self.first(x), 2)
        if self.gated:
            pooled = F.adaptive_avg_pool2d(x, 1)
            return F.sigmoid(self.excite(F.relu(self.squeeze(pooled)))) * x
        return getattr(F, self.activation)(self.norm(x))

    def forward(self, x: Any) -> Any:
        return self.last(self.before(x))


class Before(Preactivated):
    def forward(self, x: Any) -> Any:
        return self.before(x)


@pytest.mark.parametrize("activation", ["relu", "relu6", "sigmoid"])
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("kernel", [1, 3])
def test_norms_and_gates_before_convolutions(kernel: int, gated: bool, activation: str) -> None:
    """Direct convolutions take them in, where they are large; Winograd's do not."""
    model, before = Preactivated(kernel, gated, activation), Before(kernel, gated, activation)
    shake(model)
    before.load_state_dict(model.state_dict())
    side = 4 * int((_core.cpu()["l2"] / 2 / 4 / 3 / 40) ** 0.5) + 11  # more than half of L2 behind the pooling
    x = image(3, 3, side, side)
    program = compiled(model, x.shape)
    done = {s["kind"]: s["algorithm"] for s in program.steps if s["kind"] in ("batch_norm", "multiply")}
    taken_in = kernel == 1 and (gated or activation != "sigmoid")
    assert done == (
        {"multiply": "fused" if taken_in else ""} if gated else {"batch_norm": "coefficients" if taken_in else ""}
    )
    expected = model.last(before(x))
    assert_close(program(x), expected)
    assert_close(model(x), expected)
    small = compiled(model, (1, 3, 19, 19)).steps
    assert [s["algorithm"] for s in small if s["kind"] in ("batch_norm", "multiply")] == [""]
