"""Fusion: what an inference program computes in one pass is what the layers compute one by one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import convcore as cc
from checks import machines
from convcore import _core, nn, optim
from convcore import functional as F
from convcore.parameter import Parameter
from fusion import assert_close, compiled, fused, image, one_by_one, shake
from math_cases import UNARY
from networks import Network, assert_near

Layers = Callable[[], nn.Sequential]


class Channels(nn.Module):
    """x * scale + shift; `only` one of them."""

    def __init__(self, *shape: int, only: str = "") -> None:
        self.scale, self.shift = (Parameter(image(*shape, seed=seed)) for seed in (5, 6))
        self.only = only

    def forward(self, x: Any) -> Any:
        y = x if self.only == "shift" else self.scale * x
        return y if self.only == "scale" else y + self.shift


PATTERNS: dict[str, tuple[Layers, tuple[int, ...], str]] = {
    "relu": (lambda: nn.Sequential(nn.Conv2d(3, 20, 3, padding=1), nn.ReLU()), (2, 3, 9, 7), "1"),
    "relu6": (lambda: nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.ReLU6()), (2, 3, 9, 7), "1"),
    "norm": (lambda: nn.Sequential(nn.Conv2d(3, 17, 3, stride=2), nn.BatchNorm2d(17)), (2, 3, 9, 7), "1"),
    "norm relu": (
        lambda: nn.Sequential(nn.Conv2d(4, 20, (1, 3), bias=False), nn.BatchNorm2d(20, eps=0.1), nn.ReLU()),
        (2, 4, 6, 9),
        "1 2",
    ),
    "no affine": (lambda: nn.Sequential(nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6, affine=False)), (2, 4, 5, 5), "1"),
    "groups": (lambda: nn.Sequential(nn.Conv2d(6, 9, 3, groups=3), nn.BatchNorm2d(9), nn.ReLU6()), (2, 6, 7, 7), "1 2"),
    "depthwise": (
        lambda: nn.Sequential(nn.Conv2d(6, 6, 3, groups=6, padding=1), nn.BatchNorm2d(6), nn.ReLU()),
        (2, 6, 7, 7),
        "1 2",
    ),
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(3, 5, 3), nn.BatchNorm1d(5), nn.ReLU()), (2, 3, 9), "1 2"),
    "transposed": (
        lambda: nn.Sequential(nn.ConvTranspose2d(6, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU()),
        (2, 6, 5, 5),
        "1 2",
    ),
    "transposed, groups": (
        lambda: nn.Sequential(nn.ConvTranspose2d(6, 15, 3, groups=3, bias=False), nn.BatchNorm2d(15)),
        (2, 6, 5, 5),
        "1",
    ),
    "linear": (lambda: nn.Sequential(nn.Linear(7, 19), nn.BatchNorm1d(19), nn.ReLU()), (3, 7), "1 2"),
    "two in a row": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4)),
        (1, 3, 8, 8),
        "1 3",
    ),
    "one activation only": (lambda: nn.Sequential(nn.Linear(7, 4), nn.ReLU(), nn.ReLU6()), (3, 7), "1"),
    "one norm only": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.ReLU()),
        (1, 3, 4, 4),
        "1 3",
    ),
    "norm behind relu": (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)), (1, 3, 4, 4), "1"),
    "another activation": (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.LeakyReLU(0.1)), (1, 3, 4, 4), "1"),
    "no function of one variable": (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Softmax()), (1, 3, 4, 4), ""),
    "no convolution": (lambda: nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(3), nn.ReLU()), (1, 3, 4, 4), "2"),
    "channels": (
        lambda: nn.Sequential(nn.Conv2d(3, 20, 3), nn.BatchNorm2d(20), Channels(20, 1, 1), nn.SiLU()),
        (2, 3, 9, 7),
        "1 2_2 2 2_4 2_3 3",
    ),
    "channels without a norm": (
        lambda: nn.Sequential(nn.Conv2d(3, 5, 3, groups=1, bias=False), Channels(1, 5, 1, 1), nn.ReLU()),
        (2, 3, 9, 7),
        "1 1_2 2",
    ),
    "a product with channels": (
        lambda: nn.Sequential(nn.ConvTranspose2d(6, 4, 3, groups=2), Channels(4, 1, 1, only="scale")),
        (2, 6, 5, 5),
        "1_2 1",
    ),
    "a late bias": (lambda: nn.Sequential(nn.Linear(7, 19), Channels(19, only="shift")), (3, 7), "1_2 1"),
    "channels behind a norm": (
        lambda: nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(20), Channels(20, 1, 1), nn.ReLU6()),
        (2, 20, 5, 5),
        "2_2 2 2_4 2_3 3",
    ),
    "channels once": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 1), Channels(4, 1, 1), Channels(4, 1, 1)),
        (1, 3, 4, 4),
        "1_2 1 1_4 1_3",
    ),
    "a norm behind channels": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 1), Channels(4, 1, 1), nn.BatchNorm2d(4)),
        (1, 3, 4, 4),
        "1_2 1 1_4 1_3",
    ),
    "rows": (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), Channels(4, 1)), (1, 3, 4, 4), ""),
    "empty batch": (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU()), (0, 3, 4, 4), "1 2"),
}


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("name", PATTERNS)
def test_patterns(name: str, isa: str) -> None:
    _core.force_isa(isa)
    layers, shape, names = PATTERNS[name]
    model = layers()
    shake(model)
    program = compiled(model, shape)
    assert fused(program) == names.split()
    x = image(*shape)
    expected = one_by_one(model, x)
    if expected.size:
        assert_close(program(x), expected)
        assert_close(program(x), expected)  # packed weights are kept
    else:
        assert program(x).shape == expected.shape


@pytest.mark.parametrize("algorithm", ["direct", "im2col"])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_algorithm_clamps_and_folds(algorithm: str, transposed: bool) -> None:
    """Below 0 and above 6 are cut, on channels beyond a whole tile too."""
    kind = "conv_transpose2d" if transposed else "conv2d"
    x, rng = image(2, 6, 8, 8), np.random.default_rng(2)
    weight = 3 * rng.standard_normal((6, 9, 3, 3) if transposed else (18, 3, 3, 3)).astype(np.float32)
    bias, gamma, beta, mean = rng.standard_normal((4, 18)).astype(np.float32)
    variance = rng.uniform(0.5, 2, 18).astype(np.float32)
    attributes: dict[str, Any] = {"groups": 2, "padding": [1, 1, 1, 1], "algorithm": algorithm}
    (y,) = _core.forward(kind, attributes, [x, weight, bias])
    (y,) = _core.forward("batch_norm", {"eps": 0.01}, [y, gamma, beta, mean, variance])
    for activation in ("none", "relu", "relu6"):
        expected = y if activation == "none" else _core.forward(activation, {}, [y])[0]
        both = {**attributes, "activation": activation, "batch_norm_eps": 0.01}
        (got,) = _core.forward(kind, both, [x, weight, bias, gamma, beta, mean, variance])
        assert_close(got, expected)


CONVOLUTIONS: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "winograd": ("conv2d", (2, 20, 9, 14), (24, 20, 3, 3), {"padding": [1, 1, 1, 1], "algorithm": "winograd"}),
    "winograd in groups": (
        "conv2d",
        (2, 40, 9, 9),
        (40, 20, 3, 3),
        {"padding": [1, 1, 1, 1], "groups": 2, "algorithm": "winograd"},
    ),
    "direct": ("conv2d", (2, 20, 9, 9), (70, 20, 3, 3), {"stride": [2, 2], "algorithm": "direct"}),
    "direct, 1x1": ("conv2d", (3, 20, 5, 5), (33, 20, 1, 1), {"algorithm": "direct"}),
    "few channels": ("conv2d", (1, 3, 20, 40), (4, 3, 3, 3), {"padding": [1, 1, 1, 1]}),
    "depthwise": ("conv2d", (2, 37, 9, 9), (37, 1, 3, 3), {"groups": 37, "stride": [2, 1]}),
    "grouped": ("conv2d", (4, 36, 19, 17), (36, 4, 3, 3), {"groups": 9, "padding": [1, 1, 1, 1]}),
    "im2col": ("conv2d", (2, 5, 7, 7), (9, 5, 3, 3), {"algorithm": "im2col"}),
    "transposed": ("conv_transpose2d", (2, 20, 5, 5), (20, 33, 3, 3), {"stride": [2, 2]}),
    "linear": ("linear", (5, 33), (50, 33), {}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_every_convolution_applies_every_function(name: str) -> None:
    """To results with bias and residual, while they are in cache; relu, relu6 and clamp in registers."""
    kind, x_shape, w_shape, attributes = CONVOLUTIONS[name]
    x, weight = image(*x_shape), image(*w_shape, seed=1)
    for _ in machines():
        (plain,) = _core.forward(kind, attributes, [x, weight])
        bias, residual = image(plain.shape[1], seed=2), image(*plain.shape, seed=3)
        inputs = [x, weight, bias, None, None, None, None, residual]
        (y,) = _core.forward(kind, attributes, inputs)
        for function, settings in UNARY.items():
            (expected,) = _core.forward(function, settings[-1], [y])
            both = {**attributes, "activation": function}
            both |= {f"activation.{key}": value for key, value in settings[-1].items()}
            (got,) = _core.forward(kind, both, inputs)
            np.testing.assert_array_equal(got, expected, err_msg=function)


@pytest.mark.parametrize("shape", [(1, 64, 14, 14), (1, 160, 7, 7), (2, 40, 20, 9)])
@pytest.mark.parametrize("kernel", [1, 3])
def test_weights_that_come_from_memory(shape: tuple[int, ...], kernel: int) -> None:
    """Other ways through the same sums; both within Winograd's bound."""
    x, weight = image(*shape), image(72, shape[1], kernel, kernel, seed=1)
    attributes = {"padding": [kernel // 2] * 4}
    for _ in machines():
        (expected,) = _core.forward("conv2d", {**attributes, "algorithm": "im2col"}, [x, weight])
        (got,) = _core.forward("conv2d", {**attributes, "cold_weights": True}, [x, weight])
        assert np.abs(got - expected).max() <= 4e-5 * np.abs(expected).max()


def test_large_networks_read_their_weights_from_memory() -> None:
    width = int((_core.cpu()["l3"] / 8) ** 0.5) + 8  # two layers of a quarter of the last cache each
    model = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
    x = image(3, width)
    np.testing.assert_allclose(model(x), one_by_one(model, x), rtol=1e-4, atol=1e-3)


def test_other_functions_are_for_inference() -> None:
    with pytest.raises(ValueError, match=r"linear: in training, activation must be none, relu or relu6"):
        _core.backward("linear", {"activation": "silu"}, [image(2, 3), image(4, 3)], [image(2, 4)], [True, True])


class Block(nn.Module):
    """out: which of its values forward returns, beside the last."""

    def __init__(self, out: str = "") -> None:
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.out = out

    def forward(self, x: Any) -> Any:
        y = self.conv(x)
        z = self.norm(y)
        last = self.relu(z)
        return (last, {"conv": y, "norm": z}[self.out]) if self.out else last


@pytest.mark.parametrize(("out", "names"), [("conv", ["relu"]), ("norm", ["norm"]), ("", ["norm", "relu"])])
def test_outputs_are_kept(out: str, names: list[str]) -> None:
    model = Block(out)
    shake(model)
    program = compiled(model, (1, 4, 6, 6))
    assert fused(program) == names
    x = image(1, 4, 6, 6)
    y = model.conv(x)
    z = model.norm(y)
    results = program(x)
    assert_close(results[0] if out else results, model.relu(z))
    if out:
        assert_close(results[1], {"conv": y, "norm": z}[out])


class Residual(Block):
    def forward(self, x: Any) -> Any:
        y = self.conv(x)
        return self.relu(self.norm(y) + y)


def test_what_others_read_is_not_folded() -> None:
    """The batch norm reads it, and does what is behind."""
    model = Residual()
    shake(model)
    program = compiled(model, (1, 4, 6, 6))
    assert fused(program) == ["add", "relu"]
    x = image(1, 4, 6, 6)
    y = model.conv(x)
    assert_close(program(x), np.maximum(model.norm(y) + y, 0))


class Shared(nn.Module):
    """One convolution, used twice; behind each its own norm."""

    def __init__(self) -> None:
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.first, self.second = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x: Any) -> Any:
        a, b = self.conv(x), self.conv(F.relu(x))  # a's reader comes after b
        return F.relu(self.first(a)) + self.second(b)


def test_shared_weights_are_scaled_apart() -> None:
    model = Shared()
    shake(model)
    kept = np.array(model.conv.weight.data)
    program = compiled(model, (1, 4, 6, 6))
    assert fused(program) == ["first", "relu_2", "second", "add"]
    x = image(1, 4, 6, 6)
    expected = np.maximum(model.first(model.conv(x)), 0) + model.second(model.conv(np.maximum(x, 0)))
    assert_close(program(x), expected)
    np.testing.assert_array_equal(model.conv.weight.data, kept)


def test_computed_weights_are_not_folded() -> None:
    """They would be scaled at every run. An activation costs nothing."""
    net = Network()
    x, weight = net.input(2, 5), net.input(4, 5, name="weight")
    y = net.node("relu", net.batch_norm(net.node("linear", x, weight, -1)))
    z = net.node("relu", net.node("linear", x, weight, -1))
    program = net.program(y, z)
    assert [s["algorithm"] == "fused" for s in program.steps()] == [False, False, True, False, True]
    for seed in range(2):
        inputs = [image(2, 5, seed=seed), image(4, 5, seed=seed + 5)]
        exact = net.exact(*inputs)
        for value, got in zip((y, z), program.run(inputs), strict=True):
            assert_near(got, exact[value], net.roundings(), f"value {value}")


def test_channels_in_another_order_are_not_taken() -> None:
    graph = _core.Graph()
    x, weight = graph.add_input("x", (1, 3, 4, 4)), graph.add_parameter("w", (6, 3, 1, 1))
    given = graph.add_parameter("given", (2, 3))
    scale = graph.add_node("rearrange", "turned", {"perm": [1, 0], "shape": [1, 6, 1, 1]}, [given])
    y = graph.add_node("conv2d", "conv", {}, [x, weight, -1])
    graph.set_outputs([graph.add_node("multiply", "scaled", {}, [y, scale])])
    program = _core.Program(graph)
    values, w, s = image(1, 3, 4, 4), image(6, 3, 1, 1, seed=1), image(2, 3, seed=2)
    program.bind([w, s], [])
    (plain,) = _core.forward("conv2d", {}, [values, w])
    assert_close(program.run([values])[0], plain * s.T.reshape(1, 6, 1, 1))


def block() -> nn.Sequential:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.GlobalAvgPool2d(), nn.Flatten())
    shake(model)
    return model


@pytest.mark.parametrize("name", ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"])
def test_new_values_are_seen(name: str) -> None:
    model, x = block(), image(2, 3, 9, 9)
    program = compiled(model, x.shape)
    before = program(x)
    layer, attribute = name.split(".")
    variable = getattr(model[int(layer)], attribute)
    variable.data = variable.data * 2 + 1
    assert np.abs(program(x) - before).max() > 1e-2
    assert_close(program(x), one_by_one(model, x))


def test_training_is_seen() -> None:
    """Weights and running statistics move at each step."""
    model, x = block(), image(4, 3, 9, 9)
    program = compiled(model, x.shape)
    trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(lr=0.1))
    for _ in range(3):
        before = program(x)
        trainer.step(x, np.array([0, 1, 2, 3]))
        assert np.abs(program(x) - before).max() > 1e-4
        assert_close(program(x), one_by_one(model, x))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6])
@pytest.mark.parametrize("isa", _core.available_isas())
def test_nan_stays_nan(isa: str, activation: type[nn.Module]) -> None:
    _core.force_isa(isa)
    for norm in ([], [nn.BatchNorm2d(20)]):
        model = nn.Sequential(nn.Conv2d(3, 20, 3, padding=1), *norm, activation())
        x = image(1, 3, 9, 9)
        x[0, 1, 4, 4] = np.nan
        got = model(x)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(one_by_one(model, x)))
        assert np.isnan(got[0, :, 3:6, 3:6]).all()
        assert np.isnan(got).sum() == 20 * 9


def test_infinity_is_clamped() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU6())
    model.load_state_dict({"0.weight": np.ones((1, 1, 1, 1), np.float32), "0.bias": np.zeros(1, np.float32)})
    got = model(np.array([[[[np.inf, -np.inf, 7, -7, 2]]]], np.float32))
    np.testing.assert_array_equal(got, [[[[6, 0, 6, 0, 2]]]])


def test_reports_show_every_layer(capsys: pytest.CaptureFixture[str]) -> None:
    model, x = block(), image(2, 3, 9, 9)
    program = compiled(model, x.shape)
    steps = program.profile(x).steps
    assert [s["kind"] for s in steps[:3]] == ["conv2d", "batch_norm", "relu"]
    assert [s["parameters"] for s in steps[:3]] == [8 * 28, 16, 0]
    assert [s["seconds"] > 0 for s in steps] == [True, False, False, True, True]
    summary = model.summary((3, 9, 9), batch_size=2)
    assert [layer.algorithm for layer in summary.layers][1:3] == ["fused", "fused"]
    assert sum(layer.parameters for layer in summary.layers) == summary.parameters
    assert capsys.readouterr().out.count("fused") == 2


def test_memory_counts_the_folded_weights() -> None:
    """Packed: the scaled weights and the bias. No copy of the convolution's output is kept for the layers behind."""
    convolution = nn.Conv2d(3, 16, 3)
    alone, whole = nn.Sequential(convolution), nn.Sequential(convolution, nn.BatchNorm2d(16), nn.ReLU())
    first, second = compiled(alone, (2, 3, 9, 9)).memory, compiled(whole, (2, 3, 9, 9)).memory
    assert first["packed"] < second["packed"] <= first["packed"] + 128
    assert second["activations"] == first["activations"]


def test_errors_still_name_the_layer() -> None:
    with pytest.raises(cc.ShapeError, match=r"^1 \(batch_norm\): .*8 channels"):
        cc.compile(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(4), nn.ReLU()), (1, 3, 9, 9))


@pytest.mark.parametrize(
    ("attributes", "inputs", "error", "words"),
    [
        ({"activation": "softmax"}, "xwb", ValueError, "activation.*softmax"),
        ({"activation": 1}, "xwb", TypeError, "activation"),
        ({"batch_norm_eps": 0.0}, "xwbgbmv", ValueError, "batch_norm_eps.*0"),
        ({"batch_norm_eps": float("nan")}, "xwbgbmv", ValueError, "batch_norm_eps.*nan"),
        ({"batch_norm_eps": 1e-5}, "xwb", ValueError, "batch norm.*3 inputs"),
        ({}, "xwbgbmv", ValueError, "optional bias.*7 inputs"),
        ({"batch_norm_eps": 1e-5}, "xwbgbm-", cc.ShapeError, "running_var.*4 channels"),
        ({"batch_norm_eps": 1e-5}, "xwb--x-", cc.ShapeError, r"running_mean.*4 channels, got \(2, 3\)"),
        ({"batch_norm_eps": 1e-5}, "xwbw-mv", cc.ShapeError, r"weight.*4 channels, got \(4, 3\)"),
        ({}, "xwb----x", cc.ShapeError, r"residual.*output's shape \(2, 4\), got \(2, 3\)"),
        ({}, "xwbgbmvx", ValueError, "batch norm need batch_norm_eps"),
        ({}, "xwb-----x", cc.ShapeError, r"scale.*4 channels, got \(2, 3\)"),
        ({}, "xwb------x", cc.ShapeError, r"shift.*4 channels, got \(2, 3\)"),
        ({}, "xwb----------b", ValueError, "14 inputs"),
        ({}, "xwb-------w", ValueError, "in_scale is for inference, and for conv2d"),
        ({}, "xwb--------b", ValueError, "need in_scale"),
        ({"statistics": 1}, "xwb", TypeError, "statistics"),
    ],
)
def test_wrong_attributes(attributes: dict[str, Any], inputs: str, error: type[Exception], words: str) -> None:
    arrays = {"x": image(2, 3), "w": image(4, 3), "-": None}
    given = [arrays.get(name, np.ones(4, np.float32)) for name in inputs]
    with pytest.raises(error, match=f"^linear: .*{words}"):
        _core.forward("linear", attributes, given)


def test_folded_batch_norms_are_for_inference() -> None:
    x, w, statistics = image(2, 3), image(4, 3), [np.ones(4, np.float32)] * 4
    with pytest.raises(ValueError, match="linear: batch_norm_eps is for inference only"):
        _core.backward("linear", {"batch_norm_eps": 1e-5}, [x, w, None, *statistics], [image(2, 4)], [True] * 7)
    with pytest.raises(ValueError, match="linear: scale and shift are for inference only"):
        _core.backward("linear", {}, [x, w, *[None] * 6, statistics[0]], [image(2, 4)], [True] * 9)
    with pytest.raises(ValueError, match="batch_norm: scale and shift are for inference only"):
        _core.backward("batch_norm", {}, [x, *[None] * 6, statistics[0][:3]], [x], [True] * 8)


@pytest.mark.parametrize("activation", ["none", "relu6"])
def test_statistics_are_of_what_is_stored(activation: str) -> None:
    """Parts of (pixels, means, sums of squared deviations); an algorithm that cannot gather them gives none."""
    x, w, b, r = image(3, 4, 9, 8), image(19, 4, 3, 3), image(1, 19)[0], image(3, 19, 7, 6)
    attributes: dict[str, Any] = {"statistics": True, "activation": activation, "algorithm": "direct"}
    y, rows = _core.forward("conv2d", attributes, [x, w, b, None, None, None, None, r])
    pixels, mean, square = rows[:, :1].astype(np.float64), rows[:, 1:20], rows[:, 20:]
    assert pixels.sum() == 3 * 7 * 6
    expected = y.astype(np.float64).transpose(0, 2, 3, 1).reshape(-1, 19)
    total = (pixels * mean).sum(0) / pixels.sum()
    np.testing.assert_allclose(total, expected.mean(0), rtol=1e-5, atol=1e-5)
    spread = (square + pixels * (mean - total) ** 2).sum(0)
    np.testing.assert_allclose(spread, ((expected - expected.mean(0)) ** 2).sum(0), rtol=1e-4)
    assert len(_core.forward("conv2d", {**attributes, "algorithm": "im2col"}, [x, w, b])) == 1


def test_unknown_algorithms_are_told_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"conv2d: algorithm must be one of auto, .*direct.*im2col.*, got 'fast'"):
        F.conv2d(image(1, 3, 5, 5), image(4, 3, 3, 3), algorithm="fast")
