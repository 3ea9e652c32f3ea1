# SPDX-License-Identifier: BSD-3-Clause
"""Model files: every layer comes back, nothing else does."""

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import convcore as cc
from convcore import nn, serialization

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "Conv1d": (2, 4, 3, 2, (1, 0), 1, 2, False),
    "Conv2d": (2, 4, (3, 5), 2, ((1, 0), (2, 1)), 1, 2),
    "ConvTranspose2d": (2, 4, 3, 2, 1, 1, 2, False, 1),
    "Linear": (3, 4, False),
    "MaxPool1d": (2,),
    "MaxPool2d": (3, 2, 1, 2),
    "AvgPool1d": (2,),
    "AvgPool2d": (2, 1, 0, False, False),
    "SumPool2d": (2,),
    "AdaptiveAvgPool2d": ((2, 3),),
    "AdaptiveMaxPool2d": (2,),
    "BatchNorm1d": (3, 1e-4, 0.2, False),
    "BatchNorm2d": (3,),
    "LocalResponseNorm": (5,),
    "BatchNorm3d": (3,),
    "LayerNorm": ((3, 4), 1e-3, True, False),
    "GroupNorm": (2, 6),
    "InstanceNorm1d": (3,),
    "InstanceNorm2d": (3, 1e-3, 0.1, True),
    "LSTM": (3, 4, 2),
    "Upsample": (None, 2.5, "bilinear"),
    "LeakyReLU": (0.2,),
    "GELU": ("tanh",),
    "Normalize": ([0.1, 0.2], [0.3, 0.4]),
}


@pytest.mark.parametrize("name", serialization._LAYERS)
def test_every_layer_comes_back(name: str, tmp_path: Path) -> None:
    layer = serialization._LAYERS[name](*ARGUMENTS.get(name, ()))
    layer.save(tmp_path / "m.safetensors")
    again = cc.load(tmp_path / "m.safetensors")
    assert type(again) is type(layer)
    assert again.config() == layer.config()
    ignored = {"inplace", "end_dim"}  # PyTorch's, which change nothing here
    assert set(layer.config()) == set(inspect.signature(type(layer)).parameters) - ignored
    state = again.state_dict()
    assert all((state[key] == value).all() for key, value in layer.state_dict().items())


def test_a_network_with_branches_comes_back(tmp_path: Path) -> None:
    body = nn.Sequential({"conv": nn.Conv2d(3, 3, 3, padding="same"), "norm": nn.BatchNorm2d(3)})
    model = nn.Sequential(nn.Residual(body, None, nn.ReLU()), nn.Parallel([nn.MaxPool2d(2), nn.AvgPool2d(2)]))
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    cc.save(model, tmp_path / "m.safetensors", {"note": "mine"})
    again = cc.load(tmp_path / "m.safetensors")
    assert repr(again) == repr(model)
    assert (again(x) == model(x)).all()
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


class Own(nn.Module):
    def __init__(self) -> None:
        self.conv = nn.Conv2d(3, 3, 3)

    def forward(self, x: Any) -> Any:
        return self.conv(x) * 2


def test_own_modules_are_filled(tmp_path: Path) -> None:
    model, path = Own(), tmp_path / "m.safetensors"
    model.save(path)
    with pytest.raises(ValueError, match="whose code is not in the file"):
        cc.load(path)
    again = cc.load(path, Own())
    assert (again.conv.weight.data == model.conv.weight.data).all()


def test_layers_used_twice_come_back_as_one(tmp_path: Path) -> None:
    block = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    model = nn.Sequential(block, nn.Tanh(), block, nn.Residual(block))
    model.save(tmp_path / "m.safetensors")
    again = cc.load(tmp_path / "m.safetensors")
    assert again[2] is again[0]
    assert len(list(again.parameters())) == 2
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    assert (again(x) == model(x)).all()


def test_frozen_parameters_come_back_frozen(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    model[0].weight.requires_grad = False
    model.save(tmp_path / "m.safetensors")
    again = cc.load(tmp_path / "m.safetensors")
    assert [p.requires_grad for p in again.parameters()] == [False, True, True, True]


def test_what_constructors_do_not_make_is_not_described(tmp_path: Path) -> None:
    """Such models keep their weights, and say that they need their code."""
    direct = nn.Sequential(nn.Linear(3, 3))
    direct.extra = nn.Parameter(2.0)  # type: ignore[attr-defined]
    on_layer = nn.ReLU()
    on_layer.extra = nn.Parameter([1.0])  # type: ignore[attr-defined]
    reshaped = nn.Linear(3, 3)
    reshaped.weight = nn.Parameter(np.zeros((2, 3)))
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    for model in (direct, on_layer, reshaped, tied):
        model.save(tmp_path / "m.safetensors")
        with pytest.raises(ValueError, match="layers or parameters of your own"):
            cc.load(tmp_path / "m.safetensors")
        arrays, _ = serialization.read(tmp_path / "m.safetensors")
        assert {k: a.shape for k, a in arrays.items()} == {k: a.shape for k, a in model.state_dict().items()}
        cc.load(tmp_path / "m.safetensors", model)


def doubling(levels: int) -> Any:
    """2**levels layers in so many lines."""
    inner = {"type": "ReLU", "config": {}}
    children: dict[str, Any] = {"0": inner}
    for i in range(1, levels):
        shared = {"shared": str(i - 1)}
        children[str(i)] = {"type": "Sequential", "children": {"a": shared, "b": shared}}
    return {"type": "Sequential", "children": children}


def deep(levels: int) -> Any:
    description: Any = {"type": "ReLU", "config": {}}
    for _ in range(levels):
        description = {"type": "Sequential", "children": {"0": description}}
    return description


@pytest.mark.parametrize(
    "description",
    [
        5,
        {"type": "os.system", "config": {}},
        {"type": "Module", "config": {}},
        {"type": "Conv2d", "config": {"in_channels": 3}},
        {"type": "ReLU", "config": {"a": 1}},
        {"type": "ReLU", "config": {}, "more": 1},
        {"type": "BatchNorm2d", "config": {"num_features": 10**30}},
        {"type": "Linear", "config": {"in_features": 10**6, "out_features": 10**6}},
        {"type": "Sequential", "children": {"forward": {"type": "ReLU", "config": {}}}},
        {"type": "Sequential", "children": {"a.b": {"type": "ReLU", "config": {}}}},
        {"type": "Residual", "children": {"x": {"type": "ReLU", "config": {}}}},
        {"type": "Normalize", "config": {"mean": "abc"}},
        {"shared": ""},
        {"shared": 3},
        {"type": "Sequential", "children": {"0": {"shared": ""}}},
        {"type": "Linear", "config": {"in_features": 2, "out_features": 2, "bias": False}, "frozen": ["bias"]},
        {"type": "ReLU", "config": {}, "frozen": [["a"]]},
        deep(100),
        doubling(60),
    ],
)
def test_descriptions_are_not_believed(description: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"0.weight": np.zeros((2, 2), np.float32)}, path, {"architecture": json.dumps(description)})
    with pytest.raises(ValueError, match=r"m\.safetensors: model"):
        cc.load(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", ""])
def test_damaged_json(text: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({}, path, {"architecture": text})
    with pytest.raises(ValueError, match=r"m\.safetensors"):
        cc.load(path)


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    cc.models.lenet5().save(path)
    whole = path.read_bytes()
    for size in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="not a sound safetensors file"):
            cc.load(path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        cc.load(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        cc.models.lenet5().save(tmp_path / "none" / "m.safetensors")
