from types import ModuleType
from typing import Any

import numpy as np
import pytest

import convcore as cc
from case import Case
from checks import assert_same_bits, check, machines
from convcore import _core, nn
from convcore import functional as F
from norm_cases import NORM_CASES

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("case", [c for cases in NORM_CASES.values() for c in cases], ids=lambda c: f"{c.kind} {c.id}")
def test_norms(case: Case) -> None:
    check(case)
    check(case, training=True)


@pytest.mark.parametrize(
    ("shape", "axis"), [((5, 600), 1), ((2, 7, 400), 2), ((2, 7, 40, 30), 1), ((2, 3, 2, 9, 40), 3)]
)
def test_far_from_zero(shape: tuple[int, ...], axis: int) -> None:
    """The variance is not had as E[x^2] - E[x]^2, which would leave no digits here."""
    x = 1000 + normal(*shape)
    axes = tuple(range(axis, len(shape)))
    for _ in machines():
        y = _core.forward("layer_norm", {"axis": axis}, [x])[0].astype(np.float64)
        np.testing.assert_allclose(y.mean(axes), 0, atol=1e-3)
        np.testing.assert_allclose(y.var(axes), 1, rtol=1e-3)


@pytest.mark.parametrize(
    ("shape", "axis"), [((6, 9), 1), ((3, 4, 5), 2), ((3, 4, 5), 1), ((2, 3, 4, 5), 3), ((2, 3, 4, 5, 6), 2)]
)
def test_statistics(shape: tuple[int, ...], axis: int) -> None:
    x = normal(*shape)
    y, mean, scale = _core.forward("layer_norm", {"axis": axis, "statistics": True, "eps": 1e-3}, [x])
    axes = tuple(range(axis, len(shape)))
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean(axes, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(scale, 1 / np.sqrt(wide.var(axes, keepdims=True) + 1e-3), rtol=1e-5)
    assert_same_bits(y, _core.forward("layer_norm", {"axis": axis, "eps": 1e-3}, [x])[0], "without statistics")


def test_functions_do_what_pytorch_does(torch: ModuleType) -> None:
    of, to = torch.nn.functional, torch.from_numpy
    for shape, sizes in (((4, 9), (9,)), ((2, 3, 9), (9,)), ((2, 3, 4, 5), (5,)), ((2, 3, 4, 5), (3, 4, 5))):
        x, w, b = normal(*shape), normal(*sizes), normal(*sizes)
        theirs = of.layer_norm(to(x), sizes, to(w), to(b), 1e-3)
        np.testing.assert_allclose(F.layer_norm(x, sizes, w, b, 1e-3), theirs.numpy(), rtol=1e-4, atol=1e-5)
    for shape in ((3, 6, 5), (2, 6, 4, 5), (2, 6, 3, 4, 5)):
        x, w, b = normal(*shape), normal(6), normal(6)
        theirs = of.group_norm(to(x), 3, to(w), to(b))
        np.testing.assert_allclose(F.group_norm(x, 3, w, b), theirs.numpy(), rtol=1e-4, atol=1e-5)
        theirs = of.instance_norm(to(x), None, None, to(w), to(b))
        np.testing.assert_allclose(F.instance_norm(x, None, None, w, b), theirs.numpy(), rtol=1e-4, atol=1e-5)
    mean, var = normal(6), np.abs(normal(6)) + 1
    theirs = of.instance_norm(to(x), to(mean), to(var), to(w), to(b), False)
    np.testing.assert_allclose(F.instance_norm(x, mean, var, w, b, False), theirs.numpy(), rtol=1e-4, atol=1e-5)


class Block(nn.Module):
    """As transformers and ConvNeXt use them: over the last axis, which was the channels."""

    def __init__(self) -> None:
        self.conv = nn.Conv2d(3, 8, 3)
        self.groups = nn.GroupNorm(2, 8)
        self.norm = nn.LayerNorm(8)
        self.instances = nn.InstanceNorm2d(8, affine=True)
        self.maps = nn.LayerNorm((8, 4, 5))

    def forward(self, x: Any) -> Any:
        x = self.groups(self.conv(x))
        x = F.permute(self.norm(F.permute(x, (0, 2, 3, 1))), (0, 3, 1, 2))
        return self.maps(self.instances(F.relu(x)))


def randomised(model: Any) -> Any:
    for parameter in model.parameters():
        parameter.data = normal(*parameter.shape)
    return model


def test_layers_train_as_pytorchs(torch: ModuleType) -> None:
    model = randomised(Block())
    x, target = normal(2, 3, 6, 7), normal(2, 8, 4, 5)
    loss, gradients = cc.value_and_grad(model, nn.MSELoss())(x, target)
    p = {k: torch.tensor(v.astype(np.float64), requires_grad=True) for k, v in model.state_dict().items()}
    of = torch.nn.functional
    y = of.conv2d(torch.tensor(x.astype(np.float64)), p["conv.weight"], p["conv.bias"])
    y = of.group_norm(y, 2, p["groups.weight"], p["groups.bias"]).permute(0, 2, 3, 1)
    y = of.layer_norm(y, (8,), p["norm.weight"], p["norm.bias"]).permute(0, 3, 1, 2)
    y = of.instance_norm(y.relu(), None, None, p["instances.weight"], p["instances.bias"])
    y = of.layer_norm(y, (8, 4, 5), p["maps.weight"], p["maps.bias"])
    np.testing.assert_allclose(model(x), y.detach().numpy(), rtol=1e-3, atol=1e-4)
    theirs = of.mse_loss(y, torch.tensor(target.astype(np.float64)))
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), rel=1e-4)
    for name, gradient in gradients.items():
        expected = p[name].grad.numpy()
        np.testing.assert_allclose(
            gradient, expected, rtol=1e-3, atol=2e-4 * (1 + np.abs(expected).max()), err_msg=name
        )


def test_computed_and_constant_weights() -> None:
    class Adaptive(nn.Module):
        def forward(self, x: Any, w: Any) -> Any:
            return F.layer_norm(x, 6, w, np.arange(6, dtype=np.float32))

    x, w = normal(4, 3, 6), normal(6)
    np.testing.assert_allclose(Adaptive()(x, w), F.layer_norm(x, 6, w, np.arange(6.0)), rtol=1e-6, atol=1e-6)


def test_slices_of_channels() -> None:
    """In a graph, inputs and outputs may be slices of wider tensors."""

    class Joined(nn.Module):
        def forward(self, x: Any) -> Any:
            return F.concat([F.group_norm(x, 1), F.layer_norm(x, (5, 3, 4)), F.layer_norm(x, 4), F.instance_norm(x)])

    x = normal(2, 5, 3, 4)
    parts = [F.group_norm(x, 1), F.layer_norm(x, (5, 3, 4)), F.layer_norm(x, 4), F.instance_norm(x)]
    np.testing.assert_allclose(Joined()(x), np.concatenate(parts, 1), rtol=1e-5, atol=1e-6)


def test_batch_norm_of_five_axes(torch: ModuleType) -> None:
    model, twin = nn.BatchNorm3d(3), torch.nn.BatchNorm3d(3)
    x = 2 + normal(2, 3, 2, 4, 5)
    mean, var = np.zeros(3, np.float32), np.ones(3, np.float32)
    theirs = twin(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(F.batch_norm(x, mean, var, training=True), theirs, rtol=1e-4, atol=1e-5)
    model.load_state_dict({k: v.numpy() for k, v in twin.state_dict().items()})
    np.testing.assert_allclose(mean, model.running_mean.data, rtol=1e-5)
    np.testing.assert_allclose(var, model.running_var.data, rtol=1e-5)
    twin.eval()
    np.testing.assert_allclose(model(x), twin(torch.from_numpy(x)).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: F.layer_norm(x, 4), cc.ShapeError, r"last sizes of x, got \[4\] for x of \(2, 6, 4, 5\)"),
        (lambda x: F.layer_norm(x, ()), cc.ShapeError, r"last sizes of x, got \[\]"),
        (lambda x: F.layer_norm(x, 5, np.ones(4)), cc.ShapeError, r"weight must have shape \(5,\), got \(4,\)"),
        (lambda x: F.layer_norm(x, 5, eps=0), ValueError, "eps must be positive and finite, got 0"),
        (lambda x: F.layer_norm(x, 5.0), TypeError, "normalized_shape must be an int"),
        (lambda x: F.group_norm(x, 4), cc.ShapeError, "num_groups must divide the 6 channels, got 4"),
        (lambda x: F.group_norm(x, 0), ValueError, "num_groups must be positive, got 0"),
        (lambda x: F.group_norm(x, 2, np.ones(3)), cc.ShapeError, r"weight must have shape \(6,\), got \(3,\)"),
        (lambda x: F.group_norm(x[0, 0, 0], 1), cc.ShapeError, r"x must be \(N, C, ...\), got \(5,\)"),
        (lambda x: F.instance_norm(x, np.ones(6), np.ones(6)), ValueError, "running statistics are not updated"),
        (lambda x: F.layer_norm(x[:0], (0, 6, 4, 5)), cc.ShapeError, "there is nothing to normalise"),
        (lambda x: _core.forward("layer_norm", {"axis": 4}, [x]), ValueError, "axis must be from -4 to 3, got 4"),
        (lambda x: nn.GroupNorm(4, 6), ValueError, "GroupNorm: num_groups must divide 6 channels, got 4"),
        (lambda x: nn.GroupNorm(0, 6), ValueError, "GroupNorm: num_groups must be positive, got 0"),
        (lambda x: nn.LayerNorm(5, eps=-1), ValueError, "LayerNorm: eps must be positive and finite, got -1"),
        (lambda x: nn.LayerNorm(0), ValueError, "LayerNorm: sizes must be at least 1"),
        (lambda x: nn.InstanceNorm2d(6, track_running_stats=True), ValueError, "InstanceNorm2d: running statistics"),
        (lambda x: nn.InstanceNorm1d(6)(x), ValueError, "InstanceNorm1d: expected 3-D input"),
        (lambda x: nn.InstanceNorm2d(6, eps=0), ValueError, "InstanceNorm2d: eps must be positive"),
    ],
)
def test_bad_arguments(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(normal(2, 6, 4, 5))
