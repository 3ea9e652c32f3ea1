import itertools
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import convcore as cc
from case import Case
from checks import assert_same_bits, check
from convcore import _core, nn
from convcore import functional as F
from resize_cases import RESIZE_CASES

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("case", RESIZE_CASES, ids=lambda c: c.id)
def test_resize(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_slices_of_channels(mode: str) -> None:
    """In a graph, inputs and outputs may be slices of wider tensors."""
    x = normal(2, 7, 5, 6)

    class Joined(nn.Module):
        def forward(self, x: Any) -> Any:
            small = F.concat([F.relu(x), x * 2.0])
            names = {"nearest": "nearest", "linear": "bilinear"}
            return F.concat([F.interpolate(small, (9, 8), mode=names[mode]), F.interpolate(F.relu(x), (9, 8))])

    big = {name: F.interpolate(x * k, (9, 8), mode=name) for name, k in (("nearest", 1), ("bilinear", 1))}
    chosen = {"nearest": "nearest", "linear": "bilinear"}[mode]
    positive = np.maximum(x, 0)
    expected = np.concatenate(
        [F.interpolate(positive, (9, 8), mode=chosen), 2 * big[chosen], F.interpolate(positive, (9, 8))], 1
    )
    np.testing.assert_allclose(Joined()(x), expected, rtol=1e-6, atol=1e-6)


SIZES = [((2, 3, 7, 10), (14, 20)), ((2, 3, 7, 10), (3, 17)), ((1, 2, 8, 8), (4, 4)), ((1, 2, 5, 6), (1, 6))]


@pytest.mark.parametrize(("shape", "size"), SIZES)
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
def test_interpolate_does_what_pytorch_does(
    torch: ModuleType, mode: str, shape: tuple[int, ...], size: tuple[int, ...]
) -> None:
    x = normal(*shape)
    for corners, antialias in itertools.product((None, False, True), (False, True)):
        if (corners is not None and mode[:2] != "bi") or (antialias and (mode[:2] != "bi" or corners)):
            continue
        ours = F.interpolate(x, size, mode=mode, align_corners=corners, antialias=antialias)
        theirs = torch.nn.functional.interpolate(
            torch.from_numpy(x), size, mode=mode, align_corners=corners, antialias=antialias
        )
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-5, err_msg=f"{corners} {antialias}")


@pytest.mark.parametrize("factor", [2, 1.7, 0.6, (0.5, 3)])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
def test_interpolate_by_factors_does_what_pytorch_does(torch: ModuleType, mode: str, factor: Any) -> None:
    x = normal(2, 3, 9, 11)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(x), scale_factor=factor, mode=mode).numpy()
    np.testing.assert_allclose(F.interpolate(x, scale_factor=factor, mode=mode), theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "mode"),
    [((2, 3, 9), "linear"), ((2, 3, 9), "nearest"), ((2, 3, 9), "area"), ((1, 2, 4, 5, 6), "trilinear")],
)
def test_other_ranks_do_what_pytorch_does(torch: ModuleType, shape: tuple[int, ...], mode: str) -> None:
    x, size = normal(*shape), [n + 3 for n in shape[2:]]
    theirs = torch.nn.functional.interpolate(torch.from_numpy(x), size, mode=mode).numpy()
    np.testing.assert_allclose(F.interpolate(x, size, mode=mode), theirs, rtol=1e-4, atol=1e-5)


def test_onnx_agrees() -> None:
    reference = pytest.importorskip("onnx.reference.ops.op_resize")
    x = normal(1, 2, 5, 6)
    for case in RESIZE_CASES:
        a, shape = case.attributes, case.shapes[0]
        how, mode = a.get("coordinate_transformation_mode", "half_pixel"), a.get("mode", "nearest")
        if "scales" in a or shape is None or len(shape) != 4 or shape[0] == 0 or mode == "nearest" or shape[2] > 30:
            continue
        linear = reference._linear_coeffs_antialias if a.get("antialias") else reference._linear_coeffs
        cubic = reference._cubic_coeffs_antialias if a.get("antialias") else reference._cubic_coeffs
        constant = a.get("cubic_coeff_a", -0.75)
        x = np.asarray(case.inputs()[0])
        theirs = reference._interpolate_nd(
            x.astype(np.float64),
            linear if mode == "linear" else lambda r, s, c=constant, f=cubic: f(r, s, A=c),
            output_size=np.array(a["sizes"]),
            scale_factors=None,
            roi=np.array(a["roi"]) if "roi" in a else None,
            coordinate_transformation_mode=how,
            extrapolation_value=a.get("extrapolation_value", 0.0),
            exclude_outside=a.get("exclude_outside", False),
        )
        ours = _core.forward("resize", a, [x])[0]
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5, err_msg=case.id)


def test_upsample() -> None:
    x = normal(2, 3, 4, 5)
    for layer, expected in (
        (nn.Upsample(scale_factor=2), F.interpolate(x, scale_factor=2)),
        (nn.Upsample((7, 6), mode="bilinear", align_corners=True), F.interpolate(x, (7, 6), None, "bilinear", True)),
        (nn.Upsample(7, mode="bicubic"), F.interpolate(x, (7, 7), mode="bicubic")),
    ):
        assert_same_bits(layer(x), expected, repr(layer))
    assert repr(nn.Upsample(scale_factor=2.0)) == (
        "Upsample(size=None, scale_factor=2.0, mode='nearest', align_corners=None)"
    )


def test_upsample_trains_and_is_saved(tmp_path: Any) -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Upsample(scale_factor=(2, 3), mode="bilinear"), nn.Conv2d(3, 1, 1))
    x, target = normal(2, 2, 5, 6), normal(2, 1, 6, 12)
    loss, gradients = cc.value_and_grad(model, nn.MSELoss())(x, target)
    weight = model.parameters().__next__()
    step = np.zeros_like(weight.data)
    step[1, 0, 2, 1] = 1e-2
    weight.data = weight.data + step
    moved, _ = cc.value_and_grad(model, nn.MSELoss())(x, target)
    assert (moved - loss) / 1e-2 == pytest.approx(gradients["0.weight"][1, 0, 2, 1], rel=0.05, abs=1e-3)
    model.save(tmp_path / "model")
    assert_same_bits(cc.load(tmp_path / "model")(x), model(x), "loaded")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: F.interpolate(x), ValueError, "one of size and scale_factor must be given"),
        (lambda x: F.interpolate(x, 3, 2), ValueError, "one of size and scale_factor must be given"),
        (lambda x: F.interpolate(x, (3, 3, 3)), ValueError, r"must hold 2 values for maps \(4, 5\)"),
        (lambda x: F.interpolate(x, 0), cc.ShapeError, r"sides must be positive, got \[0, 0\]"),
        (lambda x: F.interpolate(x, scale_factor=0.1), cc.ShapeError, r"sides must be positive, got \[0, 0\]"),
        (lambda x: F.interpolate(x, scale_factor=-1), ValueError, "scale_factor must be positive and finite, got -1"),
        (lambda x: F.interpolate(x, 2, mode="linear"), ValueError, "and of x's rank 4, got 'linear'"),
        (lambda x: F.interpolate(x, 2, align_corners=True), ValueError, "align_corners is for interpolating modes"),
        (lambda x: F.interpolate(x, 2, antialias=True), ValueError, "antialias is for modes"),
        (lambda x: F.interpolate(x[0, 0], 2), cc.ShapeError, r"got shape \(4, 5\)"),
        (lambda x: F.interpolate(x, 2.5), TypeError, "size must be a sequence of ints"),
        (lambda x: nn.Upsample(), ValueError, "Upsample: one of size and scale_factor"),
        (lambda x: nn.Upsample(2.5), TypeError, "Upsample: size must be an int, got 2.5"),
    ],
)
def test_bad_arguments(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(normal(2, 3, 4, 5))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "sizes or scales must be given"),
        ({"sizes": [2, 3]}, "sizes must hold 4 values"),
        ({"scales": [1.0, 2.0]}, "scales must hold 4 finite numbers, got 2"),
        ({"scales": [1.0, 1.0, 0.0, 2.0]}, "scales must be positive, got 0"),
        ({"scales": [1.0, 1.0, float("nan"), 2.0]}, "scales must hold 4 finite numbers"),
        ({"scales": [1.0, 1.0, 1e30, 2.0]}, r"at most 2\^27"),
        ({"scales": [1.0, 1.0, 1e-30, 2.0]}, "sizes must be positive"),
        ({"sizes": [2, 3, 8, 5], "scales": [1.0, 1.0, 1e-3, 1.0]}, r"scale 0.001 does not make 8 of 4"),
        ({"sizes": [2, 3, 2**27, 2**27], "mode": "foo"}, "mode must be one of 'nearest', 'linear', 'cubic', got 'foo'"),
        ({"sizes": [2, 3, 4, 5], "nearest_mode": "up"}, "nearest_mode must be one of"),
        ({"sizes": [2, 3, 4, 5], "coordinate_transformation_mode": "tf_crop_and_resize"}, "roi must hold 8 finite"),
        ({"sizes": [2, 3, 4, 5], "cubic_coeff_a": float("inf")}, "cubic_coeff_a must be finite"),
        ({"sizes": [2, 3, 4, 5], "axes": [1]}, "axes"),
    ],
)
def test_bad_attributes(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.forward("resize", attributes, [normal(2, 3, 4, 5)])
