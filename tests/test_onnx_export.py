# SPDX-License-Identifier: BSD-3-Clause
"""Exported models: the checker takes them, onnxruntime gives the same numbers, and they come back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import convcore as cc  # noqa: E402
from convcore import functional as F  # noqa: E402
from convcore import nn  # noqa: E402
from onnx_models import light  # noqa: E402

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def same(model: nn.Module, *inputs: np.ndarray, **options: Any) -> Any:
    """Exports, and runs in onnxruntime and again in convcore."""
    dtypes = [str(x.dtype) for x in inputs]
    proto = cc.onnx.export(model, None, [x.shape for x in inputs], dtype=dtypes, **options)
    expected = model(*inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    again = cc.onnx.load(proto)(*inputs)
    results = [again if isinstance(again, tuple) else (again,)]
    try:
        import onnxruntime
    except ImportError:
        pass
    else:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        feed = {i.name: x for i, x in zip(session.get_inputs(), inputs, strict=True)}
        results.append(tuple(session.run(None, feed)))
    for result in results:
        for ours, theirs in zip(expected, result, strict=True):
            assert ours.shape == theirs.shape
            assert np.abs(ours - theirs).max(initial=0) <= 1e-4 * np.abs(ours).max(initial=0) + 1e-6
    return proto


class Everything(nn.Module):
    """Functions of every kind on images."""

    def __init__(self) -> None:
        self.scale = nn.Parameter(normal(1, 6, 1, 1))
        self.table = nn.Parameter(normal(7, 3))

    def forward(self, x: Any) -> Any:
        y = F.silu(x) + F.gelu(x) * F.hardswish(x) - F.softplus(x) / (F.exp(x) + 1.0)
        y = F.clamp(F.relu6(y) * self.scale, -1.0, 4.0) + F.threshold(x, 0.5, 0.1)
        y = F.concat([y, F.channel_shuffle(x, 2)], 1)[:, ::2, 1:, ::-1]
        y = F.pad(y, (1, 2, 0, 1), "reflect") + F.where(F.greater(y[:, :1, :1, :1], 0.0), 1.0, 2.0)
        return F.permute(y, (0, 2, 3, 1)), F.tile(F.pixel_shuffle(x[:, :4], 2), (1, 2, 1, 1)), F.softmax(x)


class Folds(nn.Module):
    """Folds, places, products, normalisations."""

    def __init__(self) -> None:
        self.weight = nn.Parameter(normal(6, 4))

    def forward(self, x: Any) -> Any:
        rows = F.reshape(x, (2, 6, 30))
        values, places = F.topk(x, 2, 2)
        return (
            F.sum(x),
            F.mean(x, (2, 3), keepdim=True),
            F.amax(x, 1),
            F.norm(x, 2, -1),
            F.logsumexp(x, 2),
            F.argmax(x, 2, keepdim=True),
            F.argmin(x, 1),
            values,
            places,
            F.matmul(F.permute(rows, (0, 2, 1)), rows),
            F.matmul(F.permute(x, (0, 2, 3, 1)), self.weight),
            F.hardmax(x, 1),
            F.softmax(x, -1),
            F.log_softmax(x, 2),
            F.layer_norm(x, (5, 6)),
            F.group_norm(x, 3),
            F.instance_norm(x),
            F.remainder(x, 0.7) + F.fmod(x, 0.7),
            F.power(F.abs(x), 1.5) - F.sqrt(F.abs(x)),
            F.take(x, np.array([[0, -1], [2, 3]]), 1),
            F.lp_pool2d(x, 2, 3),
        )


class Windows(nn.Module):
    def forward(self, x: Any) -> Any:
        return (
            F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
            F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
            F.sum_pool2d(x, 2),
            F.adaptive_avg_pool2d(x, (3, 4)),
            F.adaptive_max_pool2d(x, 2),
            F.global_avg_pool2d(x),
            F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False),
            F.local_response_norm(x, 3),
        )


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding="same"),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Residual(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)), None, nn.ReLU()),
        nn.Dropout(0.3),
        nn.ConvTranspose2d(8, 4, 3, 2, 1, 1),
        nn.GlobalAvgPool2d(),
        nn.Flatten(),
        nn.Linear(4, 5),
    )


def trained(model: nn.Module) -> nn.Module:
    for name, buffer in model.named_buffers():
        buffer.data = RNG.uniform(0.5, 1.5, buffer.shape) if name.endswith("var") else normal(*buffer.shape)
    return model


@pytest.mark.parametrize("fold", [True, False])
def test_networks(fold: bool) -> None:
    model = trained(network())
    proto = same(model, normal(2, 3, 12, 12), fold=fold)
    kinds = [n.op_type for n in proto.graph.node]
    assert ("BatchNormalization" in kinds) == ("Dropout" in kinds) == (not fold)
    if not fold:
        names = {i.name for i in proto.graph.initializer}
        assert set(model.state_dict()) <= names


def test_every_kind_of_function() -> None:
    same(Everything(), normal(2, 6, 5, 6))
    same(Windows(), normal(2, 6, 7, 9))
    same(Folds(), normal(2, 6, 5, 6))


def test_columns_and_recurrence() -> None:
    class Columns(nn.Module):
        def forward(self, x: Any) -> Any:
            return F.col2im(F.im2col(x, (3, 2), 2, (1, 0), 1) * 2.0, (8, 9), (3, 2), 2, (1, 0))

    same(Columns(), normal(2, 3, 8, 9))
    same(nn.LSTM(5, 4, num_layers=2, bidirectional=True), normal(6, 3, 5))
    same(nn.LSTM(5, 4, bias=False, batch_first=True), normal(3, 6, 5), normal(1, 3, 4), normal(1, 3, 4))


def test_lines() -> None:
    model = nn.Sequential(nn.Conv1d(3, 6, 3, padding=(2, 0)), nn.BatchNorm1d(6), nn.MaxPool1d(2), nn.AvgPool1d(2))
    same(trained(model), normal(2, 3, 17))


def test_bytes_and_files(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Normalize([0.1, 0.2, 0.3], [0.5, 0.6, 0.7]), nn.Conv2d(3, 4, 3))
    x = RNG.integers(0, 256, (1, 3, 8, 8)).astype(np.uint8)
    same(model, x)
    cc.onnx.export(model, tmp_path / "m.onnx", x.shape, dtype="uint8", input_names=["image"], output_names=["maps"])
    again = cc.onnx.load(tmp_path / "m.onnx")
    assert (again.input_names, again.output_names) == (["image"], ["maps"])
    np.testing.assert_allclose(again(x), model(x), rtol=1e-4, atol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
    with pytest.raises(FileNotFoundError, match="no folder"):
        cc.onnx.export(model, tmp_path / "missing" / "m.onnx", x.shape)


def test_an_imported_network() -> None:
    same(cc.onnx.load(light("squeezenet")), normal(1, 3, 224, 224))


def test_what_onnx_has_not() -> None:
    class Loss(nn.Module):
        def forward(self, x: Any) -> Any:
            return F.mse_loss(x, x)

    with pytest.raises(cc.onnx.UnsupportedError, match="mse_loss"):
        cc.onnx.export(Loss(), None, (1, 3, 8, 8))
    with pytest.raises(TypeError, match="must be a Module"):
        cc.onnx.export(3, None, (1, 3, 8, 8))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="input_names"):
        cc.onnx.export(Loss(), None, (1, 3, 8, 8), input_names=["a", "b"])
