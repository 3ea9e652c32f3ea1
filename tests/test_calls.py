"""Calls of functions and layers that must say what is wrong, and lines of PyTorch's that must work."""

import re
from typing import Any

import numpy as np
import pytest

import convcore as cc
from convcore import functional as F
from convcore import nn

X, W = (1, 4, 8, 8), (6, 4, 3, 3)


def x_of(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


ROWS = (1, 4, 8)
RANKED: list[tuple[str, Any]] = [  # functions of maps, and of rows
    ("conv2d", lambda x: F.conv2d(x, x_of(6, 4, 3, 3))),
    ("conv_transpose2d", lambda x: F.conv_transpose2d(x, x_of(4, 6, 3, 3))),
    ("im2col", lambda x: F.im2col(x, 3)),
    ("max_pool2d", lambda x: F.max_pool2d(x, 2)),
    ("max_pool2d", lambda x: F.max_pool2d(x, 2, return_indices=True)[1]),
    ("avg_pool2d", lambda x: F.avg_pool2d(x, 2)),
    ("sum_pool2d", lambda x: F.sum_pool2d(x, 2)),
    ("adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, 2)),
    ("adaptive_max_pool2d", lambda x: F.adaptive_max_pool2d(x, 2)),
    ("global_avg_pool2d", F.global_avg_pool2d),
    ("global_max_pool2d", F.global_max_pool2d),
    ("conv1d", lambda x: F.conv1d(x, x_of(6, 4, 3))),
    ("max_pool1d", lambda x: F.max_pool1d(x, 2)),
    ("avg_pool1d", lambda x: F.avg_pool1d(x, 2)),
]


@pytest.mark.parametrize(("name", "call"), RANKED)
def test_rows_are_not_taken_for_maps(name: str, call: Any) -> None:
    """In PyTorch, 2-D functions take (C, H, W) and 1-D functions (C, L) there."""
    right, wrong = (X, ROWS) if "2" in name else (ROWS, X)
    axes = r"\(N, C, H, W\)" if "2" in name else r"\(N, C, L\)"
    call(x_of(*right))
    for shape in (wrong, right[1:], (1, *X)):
        words = rf"{name}: x must be {axes}, got shape {re.escape(str(shape))}$"
        with pytest.raises(cc.ShapeError, match="^" + words):
            call(x_of(*shape))

    class Model(nn.Module):
        def forward(self, x: Any) -> Any:
            return call(x)

    model = Model()
    model(x_of(*right))
    with pytest.raises(cc.ShapeError, match=rf"^{name} \({name}\): x must be {axes}"):
        model(x_of(*wrong))


def test_rows_are_not_taken_for_maps_backwards() -> None:
    for call in (
        lambda x: F.conv2d_backward(x, x, x_of(6, 4, 3, 3)),
        lambda x: F.conv_transpose2d_backward(x, x, x_of(4, 6, 3, 3)),
        lambda x: F.max_pool2d_backward(x, x, 2),
        lambda x: F.avg_pool2d_backward(x, x, 2),
        lambda x: F.sum_pool2d_backward(x, x, 2),
    ):
        with pytest.raises(cc.ShapeError, match=r"2d: x must be \(N, C, H, W\), got shape \(1, 4, 8\)"):
            call(x_of(*ROWS))
    with pytest.raises(cc.ShapeError, match=r"^conv1d: x must be \(N, C, L\), got shape \(1, 4, 8, 8\)"):
        F.conv1d_backward(x_of(*X), x_of(*X), x_of(6, 4, 3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: F.conv2d(x_of(*X), x_of(6, 4, 3)),
            r"^conv2d: weight must be \(O, C/groups, kH, kW\), got .*\(6, 4, 3\)",
        ),
        (lambda: F.conv1d(x_of(*ROWS), x_of(*W)), r"^conv1d: weight must be \(O, C/groups, k\), got shape"),
        (lambda: F.conv1d(x_of(*ROWS), x_of(6, 4, 9)), "^conv1d: "),
        (lambda: F.conv1d(x_of(*ROWS), x_of(6, 3, 3)), "^conv1d: "),
        (lambda: F.conv1d_backward(x_of(1, 6, 5), x_of(*ROWS), x_of(6, 4, 3)), r"^conv1d: .*\(1, 6, 5\)"),
        (lambda: F.max_pool1d(x_of(*ROWS), 9), "^max_pool1d: "),
        (lambda: F.avg_pool1d(x_of(*ROWS), 2, padding=2), "^avg_pool1d: "),
        (lambda: nn.Conv1d(4, 6, 9)(x_of(*ROWS)), r"\(conv1d\): |^conv1d: "),
        (lambda: nn.Conv2d(4, 6, 3)(x_of(*ROWS)), r"conv2d\)?: x must be \(N, C, H, W\)"),
    ],
)
def test_functions_give_their_own_name(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("mask", [True, "yes", 3, (True,)])
def test_output_mask(mask: Any) -> None:
    with pytest.raises(ValueError, match=r"^conv2d: output_mask must hold three bools"):
        F.conv2d_backward(x_of(1, 6, 6, 6), x_of(*X), x_of(*W), output_mask=mask)


def test_text_in_place_of_a_symbol() -> None:
    class Model(nn.Module):
        def forward(self, x: Any) -> Any:
            return F.conv2d("x", x_of(*W)) + x  # type: ignore[type-var]

    with pytest.raises(TypeError, match="conv2d"):
        Model()(x_of(*X))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Conv2d(1, 2, 3, stride=0), "^Conv2d: stride must be at least 1.*, got 0"),
        (lambda: nn.Conv2d(1, 2, 3, padding=-1), "^Conv2d: padding .*-1"),
        (lambda: nn.Conv2d(1, 2, 3, algorithm="foo"), "^Conv2d: algorithm must be one of .*'foo'"),
        (lambda: nn.Conv1d(1, 2, 3, dilation=0), "^Conv1d: dilation .*0"),
        (lambda: nn.ConvTranspose2d(1, 2, 3, output_padding=-1), "^ConvTranspose2d: output_padding .*-1"),
        (lambda: nn.MaxPool2d(0), "^MaxPool2d: kernel_size .*0"),
        (lambda: nn.MaxPool1d(2, padding=2), "^MaxPool1d: padding .*2"),
        (lambda: nn.AvgPool2d(2, ceil_mode=1), "^AvgPool2d: ceil_mode .*1"),
        (lambda: nn.SumPool2d(2, 0), "^SumPool2d: stride .*0"),
        (lambda: nn.AdaptiveAvgPool2d(0), "^AdaptiveAvgPool2d: output_size .*0"),
        (lambda: nn.BatchNorm2d(3, momentum=2.0), "^BatchNorm2d: momentum .*2"),
        (lambda: nn.LocalResponseNorm(0), "^LocalResponseNorm: size .*0"),
        (lambda: nn.GELU("x"), "^GELU: approximate .*'x'"),
        (lambda: nn.Normalize(std=0.0), "^Normalize: std .*0"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=3), "^CrossEntropyLoss: label_smoothing .*3"),
        (lambda: nn.MultiMarginLoss(p=3), "^MultiMarginLoss: p .*3"),
        (lambda: nn.HuberLoss(delta=-1), "^HuberLoss: delta .*-1"),
        (lambda: nn.Flatten(1, 2), "^Flatten: end_dim must be -1, the last axis, got 2"),
    ],
)
def test_layers_refuse_wrong_settings_when_made(make: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        make()


def test_arguments_of_pytorch_that_change_nothing() -> None:
    x = x_of(2, 3, 4, 4) - 2
    for layer in (nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.Dropout):
        np.testing.assert_array_equal(layer(inplace=True)(x), layer()(x))
    for function in (F.relu, F.leaky_relu, F.relu6, F.silu, F.hardswish):
        np.testing.assert_array_equal(function(x, inplace=True), function(x))
    assert (x == -1).all()
    for end in (-1, 3):
        np.testing.assert_array_equal(F.flatten(x, 1, end), x.reshape(2, -1))
    np.testing.assert_array_equal(nn.Flatten(1, -1)(x), x.reshape(2, -1))


def test_what_is_third_in_pytorch_is_not_taken_for_something_else() -> None:
    """There, `weight`; here, weights of the positives."""
    x = x_of(2, 3)
    for call in (
        lambda: F.binary_cross_entropy_with_logits(x, x, x_of(3)),
        lambda: F.cross_entropy(x, [0, 1], None, -100),
        lambda: F.mse_loss(x, x, "sum"),
        lambda: F.l1_loss(x, x, "sum"),
        lambda: nn.BCEWithLogitsLoss(x_of(3)),
        lambda: nn.CrossEntropyLoss(None, -100),
        lambda: nn.MSELoss("sum"),
        lambda: nn.MaxPool2d(2, 2, 0, 1, True),
    ):
        with pytest.raises(TypeError, match="positional argument"):
            call()


def test_kept_plans_are_those_of_the_call() -> None:
    """conv2d keeps the plans of the last eight shapes of its settings: any order of calls gives the same."""
    rng = np.random.default_rng(0)
    calls = [
        (rng.standard_normal((1, 4, 5, width), np.float32), rng.standard_normal((o, 4, 3, 3), np.float32), stride, pad)
        for width in (3, 4, 5, 6, 7, 8)
        for o in (2, 17)
        for stride, pad in ((1, 1), ((1, 2), 1), (1, "same"))
    ]
    found = [F.conv2d(x, w, None, stride, pad) for x, w, stride, pad in calls]
    gradients = [F.conv2d_backward(y, *call) for y, call in zip(found, calls, strict=True)]
    for i in rng.permutation(len(calls)):
        x, w, stride, pad = calls[i]
        np.testing.assert_array_equal(F.conv2d(x, w, None, stride, pad), found[i])
        for again, first in zip(F.conv2d_backward(found[i], *calls[i]), gradients[i], strict=True):
            np.testing.assert_array_equal(again, first)
    with pytest.raises(TypeError, match="conv2d: stride must be an int or a pair"):
        F.conv2d(*calls[0][:2], stride=1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="conv2d: stride must be at least 1"):
        F.conv2d(*calls[0][:2], stride=0)
    with pytest.raises(cc.ShapeError, match="conv2d: weight expects"):
        F.conv2d(calls[0][0], calls[0][1][:, :3])
