"""Hypothesis: geometry that no one listed, and the laws that convolution and its helpers obey."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import convcore as cc
from case import Case
from checks import EPS, check, machines
from convcore import _core, nn
from convcore import functional as F

settings.register_profile("convcore", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("convcore")

sizes = st.integers(1, 9)


@st.composite
def convolutions(draw: st.DrawFn) -> Case:
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    c, o = groups * draw(st.integers(1, 6)), groups * draw(st.integers(1, 9))
    kernel = [draw(st.integers(1, 4)) for _ in range(2)]
    stride, dilation = ([draw(st.integers(1, 3)) for _ in range(2)] for _ in range(2))
    padding = [draw(st.integers(0, 3)) for _ in range(4)]
    h, w = draw(sizes), draw(sizes)
    assume(h + padding[0] + padding[1] > dilation[0] * (kernel[0] - 1))
    assume(w + padding[2] + padding[3] > dilation[1] * (kernel[1] - 1))
    x = (draw(st.integers(0, 3)), c, h, w)
    settings_ = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    bias = (o,) if draw(st.booleans()) else None
    return Case("conv2d", (x, (o, c // groups, *kernel), bias), settings_)


@st.composite
def poolings(draw: st.DrawFn) -> Case:
    kernel = [draw(st.integers(1, 4)) for _ in range(2)]
    padding = [draw(st.integers(0, k // 2)) for k in kernel]
    shape = (draw(st.integers(0, 2)), draw(st.integers(1, 20)), draw(sizes), draw(sizes))
    assume(all(shape[2 + i] + 2 * padding[i] >= kernel[i] for i in range(2)))
    kind = draw(st.sampled_from(["max_pool2d", "avg_pool2d", "sum_pool2d"]))
    attributes: dict[str, Any] = {
        "kernel_size": kernel,
        "stride": [draw(st.integers(1, 4)) for _ in range(2)],
        "padding": padding,
        "ceil_mode": draw(st.booleans()),
    }
    if kind == "avg_pool2d":
        attributes["count_include_pad"] = draw(st.booleans())
    return Case(kind, (shape,), attributes)


@given(convolutions())
def test_convolution_of_any_geometry(case: Case) -> None:
    check(case)


@given(poolings())
def test_pooling_of_any_geometry(case: Case) -> None:
    check(case)


@given(convolutions())
def test_output_size_is_the_formula(case: Case) -> None:
    x, weight, _ = case.shapes
    assert x is not None
    assert weight is not None
    a = case.attributes
    pads = (sum(a["padding"][:2]), sum(a["padding"][2:]))
    y = _core.forward("conv2d", a, case.inputs())[0]
    for axis in range(2):
        extent = a["dilation"][axis] * (weight[2 + axis] - 1) + 1
        assert y.shape[2 + axis] == (x[2 + axis] + pads[axis] - extent) // a["stride"][axis] + 1


@given(convolutions())
def test_transposed_convolution_is_the_gradient_of_convolution(case: Case) -> None:
    """<conv(x), y> = <x, conv_transpose(y)> with the same weight, where stride leaves no remainder."""
    a = dict(case.attributes)
    x, weight, _ = case.inputs()
    assert x is not None
    assert weight is not None
    y = _core.forward("conv2d", a, [x, weight, None])[0]
    padding, extra = a["padding"], []
    for axis in range(2):
        extent = a["dilation"][axis] * (weight.shape[2 + axis] - 1) + 1
        span = x.shape[2 + axis] + padding[2 * axis] + padding[2 * axis + 1] - extent
        extra.append(span - (y.shape[2 + axis] - 1) * a["stride"][axis])
    assume(all(e < max(s, d) for e, s, d in zip(extra, a["stride"], a["dilation"], strict=True)))
    grad = np.asarray(case.rng().standard_normal(y.shape), np.float32)
    dx = _core.backward("conv2d", a, [x, weight, None], [grad], [True, False, False])[0]
    back = _core.forward("conv_transpose2d", {**a, "output_padding": extra}, [grad, weight, None])[0]
    assert dx is not None
    assert back.shape == x.shape
    np.testing.assert_allclose(back, dx, rtol=1e-4, atol=1e-4)


@given(convolutions())
def test_convolution_is_linear(case: Case) -> None:
    a = case.attributes
    x, weight, _ = case.inputs()
    other = np.asarray(case.rng().standard_normal(case.shapes[0]), np.float32)
    assert x is not None
    together = _core.forward("conv2d", a, [2 * x + other, weight, None])[0]
    apart = 2 * _core.forward("conv2d", a, [x, weight, None])[0] + _core.forward("conv2d", a, [other, weight, None])[0]
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-4)


@given(convolutions())
def test_im2col_and_col2im_are_adjoint(case: Case) -> None:
    """<im2col(x), c> = <x, col2im(c)>, in float64 over the float32 results."""
    x, weight, _ = case.inputs()
    assert x is not None
    assert weight is not None
    a = {k: v for k, v in case.attributes.items() if k != "groups"} | {"kernel_size": list(weight.shape[2:])}
    columns = _core.forward("im2col", a, [x])[0]
    other = np.asarray(case.rng().standard_normal(columns.shape), np.float32)
    back = _core.forward("col2im", {**a, "output_size": list(x.shape[2:])}, [other])[0]
    left = (columns.astype(np.float64) * other).sum()
    right = (x.astype(np.float64) * back).sum()
    scale = np.abs(columns.astype(np.float64) * other).sum() + 1e-30
    assert abs(left - right) <= EPS * (weight.shape[2] * weight.shape[3] + 4) * scale


@given(st.integers(1, 30), st.integers(1, 12), st.sampled_from(["full", "same", "valid"]))
def test_convolve_is_numpys(n: int, k: int, mode: str) -> None:
    rng = np.random.default_rng(n * 31 + k)
    x, w = rng.standard_normal(n), rng.standard_normal(k)
    np.testing.assert_allclose(F.convolve(x, w, mode), np.convolve(x, w, mode), rtol=1e-4, atol=1e-5)  # type: ignore[call-overload]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20))
def test_adaptive_bins_cover_the_map(size: int, bins: int, channels: int) -> None:
    x = np.arange(size, dtype=np.float32) * np.ones((1, channels, 1, 1), np.float32)
    y = _core.forward("adaptive_max_pool2d", {"output_size": [1, bins]}, [x])[0]
    np.testing.assert_array_equal(y[0, 0, 0], [-(-(i + 1) * size // bins) - 1 for i in range(bins)])


@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize("out", [5, 64, 1000])
def test_sums_of_few_rows_lose_nothing(rows: int, out: int) -> None:
    """2 ** 25, where floats are 4 apart, and 8191 products of 1: added one by one, they would be nothing."""
    x = np.ones((rows, 8192), np.float32)
    x[:, 0] = 2**25
    expected = 2.0**25 + 8191
    for isa, threads in machines():
        module = nn.Linear(8192, out, bias=False)
        module.load_state_dict({"weight": np.ones((out, 8192), np.float32)})
        for y in (module(x), cc.compile(module, x.shape)(x)):
            assert np.abs(y - expected).max() <= 36, f"{isa}, {threads} threads"  # what the first 32 may lose, and 4
