from typing import Any

import numpy as np
import pytest

from case import Case
from cases import CASES
from checks import assert_same_bits, check, machines
from conv_cases import conv
from convcore import _core


@pytest.mark.parametrize("case", CASES["conv2d"], ids=lambda c: c.id)
def test_conv2d(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", CASES["conv_transpose2d"], ids=lambda c: c.id)
def test_conv_transpose2d(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", CASES["im2col"], ids=lambda c: c.id)
def test_im2col(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", CASES["col2im"], ids=lambda c: c.id)
def test_col2im(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", CASES["linear"], ids=lambda c: c.id)
def test_linear(case: Case) -> None:
    check(case)


def test_every_algorithm_is_listed_and_im2col_serves_all() -> None:
    for case in CASES["conv2d"]:
        x, weight, _ = case.shapes
        assert x is not None
        assert weight is not None
        accepted = _core.conv_algorithms(case.attributes, x, weight)
        assert set(accepted) == {"forward", "backward_input", "backward_weight"}
        for names in accepted.values():
            assert "im2col" in names
            assert len(names) == len(set(names))


def test_direct_serves_dense_convolutions() -> None:
    case = conv((2, 16, 14, 14), 32, 3, padding=1)
    accepted = _core.conv_algorithms(case.attributes, (2, 16, 14, 14), (32, 16, 3, 3))
    assert all("direct" in names for names in accepted.values())


def test_gradients_do_not_depend_on_which_are_asked_for() -> None:
    case = conv((2, 5, 9, 9), 7, 3, stride=2, padding=1)
    inputs = case.inputs()
    grad = np.ones(_core.forward(case.kind, case.attributes, inputs)[0].shape, np.float32)
    for isa, _ in machines():
        everything = _core.backward(case.kind, case.attributes, inputs, [grad], [True, True, True])
        for i in range(3):
            mask = [i == j for j in range(3)]
            alone = _core.backward(case.kind, case.attributes, inputs, [grad], mask)
            assert [g is not None for g in alone] == mask
            expected, actual = everything[i], alone[i]
            assert expected is not None
            assert actual is not None
            assert_same_bits(actual, expected, f"gradient of input {i}, {isa}")


def test_a_batch_is_its_images() -> None:
    """What an image gives does not depend on its neighbours in the batch."""
    case = conv((5, 6, 10, 9), 17, 3, padding=1)
    x, weight, bias = case.inputs()
    assert x is not None
    for isa, _ in machines():
        whole = _core.forward(case.kind, case.attributes, [x, weight, bias])[0]
        for i in range(5):
            single = _core.forward(case.kind, case.attributes, [x[i : i + 1], weight, bias])[0]
            assert_same_bits(single, whole[i : i + 1], f"image {i}, {isa}")


@pytest.mark.parametrize(
    ("kind", "weight", "settings"),
    [
        ("conv2d", (8, 4, 3), {"padding": [1, 1, 1, 1]}),
        ("conv_transpose2d", (4, 2, 3), {"stride": [2, 2], "output_padding": [1, 1]}),
        ("conv_transpose2d", (4, 2, 3), {"dilation": [3, 1], "output_padding": [2, 0]}),
    ],
)
def test_one_row_stays_one_row(kind: str, weight: tuple[int, ...], settings: dict[str, Any]) -> None:
    """(N, C, L) has no room for a second row."""
    with pytest.raises(_core.ShapeError, match=rf"^{kind}: .*height"):
        _core.forward(kind, settings, [np.ones((2, 4, 9), np.float32), np.ones(weight, np.float32)])


@pytest.mark.parametrize(
    ("x", "weight", "settings"),
    [
        ((1, 4, 4, 4), (1, 4, 2, 2), {"dilation": [40000] * 2, "padding": [20000] * 4}),
        ((1, 1, 8, 8), (1, 1, 3, 3), {"stride": [20000] * 2, "padding": [20000] * 4}),
        ((1, 4, 300, 300), (4, 4, 1, 1), {"stride": [300] * 2}),
    ],
)
def test_settings_that_reach_far(x: tuple[int, ...], weight: tuple[int, ...], settings: dict[str, Any]) -> None:
    """A small result, and not by way of gigabytes: the columns of im2col hold no halo."""
    inputs = [np.ones(x, np.float32), np.ones(weight, np.float32)]
    y = _core.forward("conv2d", settings, inputs)[0]
    dx, dw = _core.backward("conv2d", settings, inputs, [np.ones_like(y)], [True, True])
    assert dx is not None
    assert dw is not None
    assert dx.sum() == y.sum() == dw.sum()  # all weights and inputs are 1: each sums the products


def test_settings_that_reach_too_far() -> None:
    settings = {"dilation": [2**31 - 4] * 2, "padding": [2**30] * 4}
    with pytest.raises(_core.ShapeError, match=r"^conv2d: the padded input would have more than 2\^46 elements"):
        _core.forward("conv2d", settings, [np.ones((1, 4, 4, 4), np.float32), np.ones((1, 4, 2, 2), np.float32)])
