"""Modules: structure, state, files, initial values, compiling, summaries."""

import copy
import json
import math
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import convcore as cc
from checks import assert_same_bits
from convcore import functional as F
from convcore import nn
from reference import Array


class Block(nn.Module):
    """A residual block of a user's own."""

    def __init__(self, channels: int) -> None:
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Any) -> Any:
        return F.relu(self.norm(self.conv(x)) + x)


def lenet() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1176, 10))


def image(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# --- calling -----------------------------------------------------------------------------------------------------


def test_a_model_is_its_functions() -> None:
    model = lenet()
    x = image(3, 1, 28, 28)
    conv, linear = model[0], model[4]
    y = F.max_pool2d(F.relu(F.conv2d(x, conv.weight, conv.bias, padding=2)), 2)
    np.testing.assert_allclose(model(x), F.linear(F.flatten(y), linear.weight, linear.bias), rtol=1e-5, atol=1e-6)


def test_a_block_of_ones_own() -> None:
    block = Block(5)
    x = image(2, 5, 7, 6)
    normed = F.batch_norm(
        F.conv2d(x, block.conv.weight, block.conv.bias, padding=1),
        block.norm.running_mean,
        block.norm.running_var,
        block.norm.weight,
        block.norm.bias,
    )
    np.testing.assert_allclose(block(x), np.maximum(normed + x, 0), rtol=1e-5, atol=1e-6)


LAYERS: list[tuple[Callable[[], nn.Module], tuple[int, ...], Callable[[Array], Array]]] = [
    (lambda: nn.ReLU(), (2, 3, 4, 4), F.relu),
    (lambda: nn.LeakyReLU(0.2), (2, 3, 4, 4), lambda x: F.leaky_relu(x, 0.2)),
    (lambda: nn.ReLU6(), (2, 3), F.relu6),
    (lambda: nn.Sigmoid(), (2, 3), F.sigmoid),
    (lambda: nn.Tanh(), (2, 3), F.tanh),
    (lambda: nn.SiLU(), (2, 3), F.silu),
    (lambda: nn.GELU("tanh"), (2, 3), lambda x: F.gelu(x, "tanh")),
    (lambda: nn.Hardswish(), (2, 3), F.hardswish),
    (lambda: nn.Softmax(), (2, 3), F.softmax),
    (lambda: nn.LogSoftmax(), (2, 3), F.log_softmax),
    (lambda: nn.MaxPool2d(3, 2, 1), (2, 3, 7, 7), lambda x: F.max_pool2d(x, 3, 2, 1)),
    (lambda: nn.AvgPool2d(2), (2, 3, 6, 6), lambda x: F.avg_pool2d(x, 2)),
    (lambda: nn.SumPool2d(2), (2, 3, 6, 6), lambda x: F.sum_pool2d(x, 2)),
    (lambda: nn.MaxPool1d(2), (2, 3, 6), lambda x: F.max_pool1d(x, 2)),
    (lambda: nn.AvgPool1d(2), (2, 3, 6), lambda x: F.avg_pool1d(x, 2)),
    (lambda: nn.AdaptiveAvgPool2d(2), (2, 3, 5, 5), lambda x: F.adaptive_avg_pool2d(x, 2)),
    (lambda: nn.AdaptiveMaxPool2d((2, 1)), (2, 3, 5, 5), lambda x: F.adaptive_max_pool2d(x, (2, 1))),
    (lambda: nn.GlobalAvgPool2d(), (2, 3, 5, 5), F.global_avg_pool2d),
    (lambda: nn.GlobalMaxPool2d(), (2, 3, 5, 5), F.global_max_pool2d),
    (lambda: nn.Flatten(), (2, 3, 5, 5), F.flatten),
    (lambda: nn.LocalResponseNorm(3), (2, 5, 4, 4), lambda x: F.local_response_norm(x, 3)),
    (lambda: nn.Normalize(0.5, 0.25), (2, 3, 4, 4), lambda x: F.normalize(x, 0.5, 0.25)),
    (lambda: nn.Dropout(0.9), (2, 3, 4, 4), lambda x: x),
]


@pytest.mark.parametrize(("make", "shape", "function"), LAYERS)
def test_layers_are_their_functions(
    make: Callable[[], nn.Module], shape: tuple[int, ...], function: Callable[[Array], Array]
) -> None:
    x = image(*shape)
    assert_same_bits(make()(x), function(x), repr(make()))


def test_layers_with_weights_are_their_functions() -> None:
    conv = nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2)
    x = image(2, 4, 9)
    np.testing.assert_allclose(
        conv(x), F.conv1d(x, conv.weight, conv.bias, stride=2, padding=1, groups=2), rtol=1e-5, atol=1e-6
    )
    up = nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1)
    x = image(2, 4, 5, 5)
    expected = F.conv_transpose2d(x, up.weight, up.bias, stride=2, padding=1, output_padding=1)
    assert expected.shape == (2, 6, 10, 10)
    np.testing.assert_allclose(up(x), expected, rtol=1e-5, atol=1e-6)


def test_paddings_of_a_layer() -> None:
    x = image(1, 2, 6, 5)
    assert nn.Conv2d(2, 3, (3, 2), padding="same")(x).shape == (1, 3, 6, 5)
    assert nn.Conv2d(2, 3, (3, 2), padding="valid")(x).shape == (1, 3, 4, 4)
    assert nn.Conv2d(2, 3, (3, 2), padding="full")(x).shape == (1, 3, 8, 6)
    assert nn.Conv2d(2, 3, 3, padding=((0, 1), (2, 0)))(x).shape == (1, 3, 5, 5)


def test_branches() -> None:
    x = image(2, 4, 6, 6)
    one, two = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 5, 3, padding=1)
    np.testing.assert_allclose(nn.Parallel([one, two])(x), np.concatenate([one(x), two(x)], 1), rtol=1e-5, atol=1e-6)
    same = nn.Conv2d(4, 4, 3, padding=1)
    np.testing.assert_allclose(nn.Residual(same, None, nn.ReLU())(x), np.maximum(same(x) + x, 0), rtol=1e-5, atol=1e-6)


def test_several_inputs_and_outputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            self.linear = nn.Linear(3, 3)

        def forward(self, a: Any, b: Any) -> Any:
            return self.linear(a) + b, F.concat([a, b])

    model = Two()
    a, b = image(2, 3), image(2, 3, seed=1)
    first, second = model(a, b)
    np.testing.assert_allclose(first, F.linear(a, model.linear.weight, model.linear.bias) + b, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(second, np.concatenate([a, b], 1))


def test_constants_in_forward() -> None:
    class Shifted(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 2 + np.array([[1, 2, 3]])

    x = image(2, 3)
    np.testing.assert_allclose(Shifted()(x), 2 * x + [1, 2, 3], rtol=1e-6)


def test_bytes_go_in_as_they_are() -> None:
    model = cc.models.lenet5()
    x = np.random.default_rng(0).integers(0, 256, (3, 1, 28, 28)).astype(np.uint8)
    np.testing.assert_allclose(model(x), model(x.astype(np.float32)), rtol=1e-5, atol=1e-6)
    bare = lenet()
    np.testing.assert_allclose(bare(x), bare(x.astype(np.float32)), rtol=1e-5, atol=1e-4)


def test_editing_a_model_changes_what_it_computes() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    x = image(2, 4)
    before = model(x)
    model[0].weight.data = model[0].weight.data * 2
    model[0].bias.data = model[0].bias.data * 2
    np.testing.assert_allclose(model(x), 2 * before, rtol=1e-5)
    model.append(nn.Linear(4, 2))
    assert model(x).shape == (2, 2)


def test_predicting_from_many_threads() -> None:
    model = cc.models.resnet20(width=4, depth=1)
    batches = [image(2, 3, 16, 16, seed=i) for i in range(6)]
    expected = [model(x) for x in batches]
    fresh = copy.deepcopy(model)
    with ThreadPoolExecutor(4) as pool:
        for got, want in zip(pool.map(fresh, batches * 3), expected * 3, strict=True):
            assert_same_bits(got, want, "concurrent predictions")


# --- structure and state -----------------------------------------------------------------------------------------


def test_names_are_pytorchs() -> None:
    model = nn.Sequential(Block(4), nn.Flatten(), nn.Linear(4, 2, bias=False))
    assert list(model.state_dict()) == [
        "0.conv.weight",
        "0.conv.bias",
        "0.norm.weight",
        "0.norm.bias",
        "0.norm.running_mean",
        "0.norm.running_var",
        "2.weight",
    ]
    assert [name for name, _ in model.named_parameters()] == [
        "0.conv.weight",
        "0.conv.bias",
        "0.norm.weight",
        "0.norm.bias",
        "2.weight",
    ]
    assert model.num_parameters() == 4 * 4 * 9 + 4 + 8 + 8


def test_state_is_copied_out_and_in() -> None:
    model, other = lenet(), lenet()
    state = model.state_dict()
    state["0.weight"][...] = 0
    assert (model.state_dict()["0.weight"] != 0).any()
    other.load_state_dict(model.state_dict())
    x = image(2, 1, 28, 28)
    assert_same_bits(other(x), model(x), "loaded")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("0.bias"), r"0\.bias +missing +\(6,\)"),
        (lambda s: s.update(extra=np.zeros(3)), r"extra +unexpected +\(3,\)"),
        (lambda s: s.update({"4.bias": np.zeros(11)}), r"4\.bias +misshapen +\(11,\) +\(10,\)"),
        (lambda s: s.update({"4.bias": np.zeros(10, complex)}), r"4\.bias +no numbers +complex128 +\(10,\)"),
        (lambda s: s.update({"4.bias": np.array(["a"] * 10)}), r"4\.bias +no numbers +<U1"),
    ],
)
def test_wrong_states_change_nothing(change: Callable[[dict[str, Any]], Any], words: str) -> None:
    model = lenet()
    before, state = model.state_dict(), {k: v * 0 + 1 for k, v in model.state_dict().items()}
    change(state)
    with pytest.raises(ValueError, match=rf"load_state_dict: (?s:.*){words}"):
        model.load_state_dict(state)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_wrong_state_is_one_table() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2, bias=False))
    with pytest.raises(ValueError) as caught:
        model.load_state_dict({"0.weight": np.zeros((3, 2)), "1.weight": np.zeros((2, 2)), "fc.weight": np.zeros(5)})
    assert str(caught.value).splitlines() == [
        "load_state_dict: the state does not fit the model, nothing was changed",
        "name       problem     given   model",
        "---------  ----------  ------  ------",
        "0.bias     missing             (2,)",
        "fc.weight  unexpected  (5,)",
        "0.weight   misshapen   (3, 2)  (2, 3)",
    ]


def test_not_strict() -> None:
    model = lenet()
    model.load_state_dict({"0.bias": np.full(6, 3), "other": np.zeros(2)}, strict=False)
    assert (model.state_dict()["0.bias"] == 3).all()


def test_pytorchs_counter_is_passed_over() -> None:
    model = nn.BatchNorm2d(3)
    model.load_state_dict({**model.state_dict(), "num_batches_tracked": np.array(7)})


def test_shared_layers_train_one_parameter() -> None:
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    assert model.num_parameters() == 20
    assert set(model.state_dict()) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    loss, gradients = cc.value_and_grad(model, nn.MSELoss())(image(3, 4), image(3, 4, seed=1))
    assert set(gradients) == {"0.weight", "0.bias"}
    assert math.isfinite(loss)


def test_copies_are_independent() -> None:
    model = Block(3)
    x = image(1, 3, 5, 5)
    expected = model(x)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_same_bits(twin(x), expected, "copy")
        twin.conv.weight.data = twin.conv.weight.data * 0
        assert_same_bits(model(x), expected, "the original")


def test_parameters_are_read_only_views() -> None:
    weight = nn.Linear(2, 2).weight
    with pytest.raises(ValueError, match="read-only"):
        weight.data[0, 0] = 1
    with pytest.raises(ValueError, match=r"parameter: data must have shape \(2, 2\), got \(3,\)"):
        weight.data = np.zeros(3)


def test_a_variable_stays_one() -> None:
    """An array in its place would take the weight out of training and of files, silently."""
    layer = nn.Linear(3, 2)
    with pytest.raises(TypeError, match=r"Linear: weight must stay a Parameter .*got ndarray; .*weight\.data"):
        layer.weight = np.zeros((2, 3))
    assert isinstance(layer.weight, nn.Parameter)
    layer.weight = nn.Parameter(np.ones((2, 3)))
    layer.bias = None
    assert (layer(np.ones((1, 3))) == 3).all()


def test_printing() -> None:
    assert repr(nn.Conv2d(1, 6, 5, padding=2)).startswith("Conv2d(in_channels=1, out_channels=6")
    assert "(1): ReLU()" in repr(lenet())


# --- files -------------------------------------------------------------------------------------------------------


def test_a_model_of_library_layers_needs_no_code(tmp_path: Path) -> None:
    model = cc.models.resnet20(width=4, depth=1)
    model.save(tmp_path / "m.safetensors")
    loaded = cc.load(tmp_path / "m.safetensors")
    x = image(2, 3, 16, 16)
    assert_same_bits(loaded(x), model(x), "loaded")
    assert repr(loaded) == repr(model)


@pytest.mark.parametrize(("make", "shape", "function"), LAYERS)
def test_every_layer_can_be_saved(make: Callable[[], nn.Module], shape: Any, function: Any, tmp_path: Path) -> None:
    path = tmp_path / "layer.safetensors"
    model = nn.Sequential(make())
    model.save(path)
    assert repr(cc.load(path)) == repr(model)
    x = image(*shape)
    assert_same_bits(cc.load(path)(x), model(x), repr(model))


def test_a_file_is_plain_safetensors(tmp_path: Path) -> None:
    model = lenet()
    model.save(tmp_path / "m.safetensors")
    arrays = load_file(tmp_path / "m.safetensors")
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(arrays[name], value)


def test_a_model_of_ones_own_is_filled(tmp_path: Path) -> None:
    model, path = nn.Sequential(Block(3)), tmp_path / "own.safetensors"
    model.save(path)
    with pytest.raises(ValueError, match=r"load: .*own\.safetensors.*of your own"):
        cc.load(path)
    x = image(1, 3, 5, 5)
    assert_same_bits(cc.load(path, nn.Sequential(Block(3)))(x), model(x), "filled")


def _with_architecture(path: Path, text: str) -> None:
    save_file({"0.weight": np.zeros((2, 2), np.float32)}, path, {"format": "1", "architecture": text})


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        ("not json", ""),
        ("[]", "layer must be an object"),
        ('{"type": "os.system", "config": {}}', "os.system"),
        ('{"type": "Module", "config": {}}', "Module"),
        ('{"type": "Linear", "config": {"in_features": 2, "out_features": -2}}', "-2"),
        ('{"type": "Linear", "config": {"in_features": 100000000, "out_features": 100000000}}', "more than the file"),
        ('{"type": "Linear", "config": {"in_features": 2, "out_features": 2, "path": "x"}}', "path"),
        ('{"type": "Linear"}', "config"),
        ('{"type": "Sequential", "children": {"__class__": {"type": "ReLU", "config": {}}}}', "__class__"),
        ('{"type": "Sequential", "children": {"forward": {"type": "ReLU", "config": {}}}}', "forward"),
        (json.dumps({"type": "Sequential", "children": {"1": {"type": "ReLU", "config": {}}}}), "0.weight"),
    ],
)
def test_wrong_architectures(architecture: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    _with_architecture(path, architecture)
    with pytest.raises(ValueError, match=words or None):
        cc.load(path)


def test_nested_without_end(tmp_path: Path) -> None:
    text = '{"type":"Sequential","children":{"0":' * 5000 + '{"type":"ReLU","config":{}}' + "}}" * 5000
    _with_architecture(tmp_path / "m.safetensors", text)
    with pytest.raises(ValueError, match=r"m\.safetensors"):
        cc.load(tmp_path / "m.safetensors")


def test_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        cc.load(tmp_path / "nowhere.safetensors")
    with pytest.raises(ValueError, match="not a file"):
        cc.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="folder"):
        lenet().save(tmp_path / "missing" / "m.safetensors")
    whole = tmp_path / "whole.safetensors"
    lenet().save(whole)
    content = whole.read_bytes()
    for cut in (0, 5, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.safetensors").write_bytes(content[:cut])
        with pytest.raises(ValueError, match=r"cut\.safetensors"):
            cc.load(tmp_path / "cut.safetensors")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_identity() -> None:
    x = np.ones((2, 3, 4, 4), np.float32)
    np.testing.assert_array_equal(nn.Sequential(nn.Identity(7, any="thing"), nn.ReLU())(x), x)


def test_set_algorithm_reaches_every_convolution_or_none() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.ConvTranspose2d(4, 4, 3), nn.ReLU()), nn.Conv2d(4, 2, 1))
    assert model.set_algorithm("exact") is model
    assert [m.algorithm for m in model.modules() if hasattr(m, "algorithm")] == ["exact"] * 3
    with pytest.raises(ValueError, match=r"Conv2d: algorithm must be one of auto, exact, .*, got 'fast'"):
        model.set_algorithm("fast")
    assert [m.algorithm for m in model.modules() if hasattr(m, "algorithm")] == ["exact"] * 3


def test_winograd_can_be_switched_off() -> None:
    """For the process: programs made before are not used again. For a model: by set_algorithm."""
    model = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1))
    x = np.ones((1, 64, 28, 28), np.float32)

    def algorithm() -> str:
        return str(cc.compile(model, x.shape).profile(x).steps[0]["algorithm"])

    assert cc.get_winograd()
    assert algorithm() == "winograd"
    fast = model(x)
    try:
        cc.set_winograd(False)
        assert algorithm() == "direct"
        exact = model(x)
    finally:
        cc.set_winograd(True)
    assert (fast != exact).any()
    np.testing.assert_allclose(fast, exact, atol=2e-5 * np.abs(exact).max())
    np.testing.assert_array_equal(model.set_algorithm("exact")(x), exact)
