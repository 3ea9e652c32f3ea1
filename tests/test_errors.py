"""Wrong calls: every op names itself, the rule, and what it got."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import convcore as cc
from cases import CASES
from convcore import _core
from convcore import functional as F

ALL_KINDS = sorted(set(_core.op_kinds()))
ANY_RANK = {c.kind for cases in CASES.values() for c in cases if any(len(shape or ()) > 4 for shape in c.shapes)}
WITHOUT_GRADIENT = (
    *("max_pool2d_indices", "correct_count", "equal", "less", "less_equal", "greater", "greater_equal"),
    *("logical_and", "logical_or", "logical_xor", "logical_not", "argmax", "argmin", "hardmax"),
)
LABELLED = ("cross_entropy", "nll_loss", "hinge_loss", "multi_margin_loss", "correct_count")


def valid(kind: str) -> tuple[dict[str, Any], list[Any]]:
    """A call that works."""
    if kind == "dropout":
        return {"p": 0.5}, [np.ones((2, 3, 4, 4), np.float32)]
    cases = CASES["max_pool2d" if kind == "max_pool2d_indices" else kind]
    case = next(c for c in cases if c.shapes[0] and len(c.shapes[0]) > 1 and c.shapes[0][1] > 1 and c.shapes[0][0] > 0)
    return dict(case.attributes), case.inputs()


def x_of(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


@pytest.mark.parametrize("kind", ALL_KINDS)
class TestEveryOp:
    """Faults that any op can meet."""

    def test_works(self, kind: str) -> None:
        attributes, inputs = valid(kind)
        assert len(_core.forward(kind, attributes, inputs)) == {"lstm": 3, "topk": 2}.get(kind, 1)

    def test_unknown_setting(self, kind: str) -> None:
        attributes, inputs = valid(kind)
        with pytest.raises(ValueError, match=rf"^{kind}: .*strides_typo"):
            _core.forward(kind, {**attributes, "strides_typo": 1}, inputs)

    def test_complex_numbers(self, kind: str) -> None:
        attributes, inputs = valid(kind)
        with pytest.raises(TypeError, match=rf"^{kind}: .*complex(64|128)"):
            _core.forward(kind, attributes, [inputs[0] * 1j, *inputs[1:]])

    @pytest.mark.parametrize("thing", [object(), "text", {"a": 1}, [[1, 2], [3]], np.array(["a"])], ids=repr)
    def test_not_an_array(self, kind: str, thing: Any) -> None:
        attributes, inputs = valid(kind)
        with pytest.raises((TypeError, ValueError), match=rf"^{kind}: "):
            _core.forward(kind, attributes, [thing, *inputs[1:]])

    def test_too_many_dimensions(self, kind: str) -> None:
        attributes, inputs = valid(kind)
        shape = range(1, 8 if kind in ANY_RANK else 6)
        with pytest.raises(cc.ShapeError, match=rf"^{kind}: "):
            _core.forward(kind, attributes, [x_of(*shape), *inputs[1:]])

    def test_a_scalar(self, kind: str) -> None:
        attributes, inputs = valid(kind)
        with pytest.raises(cc.ShapeError, match=rf"^{kind}: "):
            _core.forward(kind, attributes, [np.float32(3), *inputs[1:]])

    @pytest.mark.parametrize("count", [0, 13])
    def test_wrong_number_of_inputs(self, kind: str, count: int) -> None:
        if kind == "concat" and count:
            return
        attributes, inputs = valid(kind)
        given = [inputs[0], *(inputs[1] if len(inputs) > 1 else inputs[0] for _ in range(12))][:count]
        with pytest.raises((TypeError, ValueError), match=rf"^{kind}: ") as caught:
            _core.forward(kind, attributes, given)
        assert str(count) in str(caught.value) or "at least one" in str(caught.value)

    def test_a_missing_input(self, kind: str) -> None:
        attributes, inputs = valid(kind)
        with pytest.raises((TypeError, ValueError), match=rf"^{kind}: "):
            _core.forward(kind, attributes, [None, *inputs[1:]])

    def test_settings_that_are_no_mapping(self, kind: str) -> None:
        _, inputs = valid(kind)
        with pytest.raises(TypeError, match=rf"^{kind}: "):
            _core.forward(kind, [1, 2], inputs)  # type: ignore[arg-type]

    def test_a_setting_beyond_64_bits(self, kind: str) -> None:
        attributes, inputs = valid(kind)
        with pytest.raises(ValueError, match=rf"^{kind}: "):
            _core.forward(kind, {**attributes, "size": 2**64}, inputs)


@pytest.mark.parametrize("kind", sorted(set(ALL_KINDS) - {*WITHOUT_GRADIENT, "normalize", "lstm", "topk"}))
class TestEveryGradient:
    def test_wrong_shape(self, kind: str) -> None:
        attributes, inputs = valid(kind)
        with pytest.raises(cc.ShapeError, match=rf"^{kind}: .*\(7, 9\)"):
            _core.backward(kind, attributes, inputs, [x_of(7, 9)], [True, *[False] * (len(inputs) - 1)])

    def test_wrong_counts(self, kind: str) -> None:
        attributes, inputs = valid(kind)
        y = _core.forward(kind, attributes, inputs)[0]
        with pytest.raises((TypeError, ValueError), match=rf"^{kind}: .*2"):
            _core.backward(kind, attributes, inputs, [y, y], [True] * len(inputs))
        with pytest.raises((TypeError, ValueError), match=rf"^{kind}: .*7"):
            _core.backward(kind, attributes, inputs, [y], [True] * 7)


@pytest.mark.parametrize("kind", WITHOUT_GRADIENT)
def test_ops_without_gradient(kind: str) -> None:
    attributes, inputs = valid(kind)
    y = _core.forward(kind, attributes, inputs)[0]
    with pytest.raises((TypeError, ValueError), match=rf"^{kind}: .*gradient"):
        _core.backward(kind, attributes, inputs, [y], [True, *[False] * (len(inputs) - 1)])


@pytest.mark.parametrize("kind", LABELLED[:3])
def test_labels_have_no_gradient(kind: str) -> None:
    attributes, inputs = valid(kind)
    with pytest.raises((TypeError, ValueError), match=rf"^{kind}: .*labels"):
        _core.backward(kind, attributes, inputs, [np.float32(1)], [True] * len(inputs))


def test_an_unknown_op() -> None:
    with pytest.raises(ValueError, match="conv9d"):
        _core.forward("conv9d", {}, [x_of(1, 1)])


# --- what each op can be asked wrongly ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Wrong:
    """A call and the words its error must hold, in any order."""

    kind: str
    shapes: tuple[tuple[int, ...] | None, ...]
    attributes: Mapping[str, Any]
    words: tuple[str, ...]
    error: type[Exception] = ValueError

    @property
    def id(self) -> str:
        return f"{self.kind} {self.shapes} {dict(self.attributes)}"


X, W = (1, 4, 8, 8), (6, 4, 3, 3)
HUGE = 2**62
CONVOLUTIONS = [
    Wrong("conv2d", (X, (6, 3, 3, 3)), {}, ("3", "4", "(1, 4, 8, 8)", "(6, 3, 3, 3)", "groups")),
    Wrong("conv2d", (X, W), {"groups": 3}, ("groups", "3", "4")),
    Wrong("conv2d", (X, (6, 1, 3, 3)), {"groups": 4}, ("groups", "4", "6")),
    Wrong("conv2d", (X, W), {"groups": 0}, ("groups", "0")),
    Wrong("conv2d", (X, W), {"groups": -2}, ("groups", "-2")),
    Wrong("conv2d", (X, W), {"groups": HUGE}, ("groups", str(HUGE))),
    Wrong("conv2d", (X, W), {"stride": [0, 1]}, ("stride", "0")),
    Wrong("conv2d", (X, W), {"stride": [1, -1]}, ("stride", "-1")),
    Wrong("conv2d", (X, W), {"stride": [1, HUGE]}, ("stride", str(HUGE))),
    Wrong("conv2d", (X, W), {"stride": [1, 1, 1]}, ("stride", "2", "3")),
    Wrong("conv2d", (X, W), {"stride": "two"}, ("stride",), TypeError),
    Wrong("conv2d", (X, W), {"stride": [1.5, 1.0]}, ("stride",), TypeError),
    Wrong("conv2d", (X, W), {"dilation": [0, 1]}, ("dilation", "0")),
    Wrong("conv2d", (X, W), {"dilation": [1, HUGE]}, ("dilation", str(HUGE))),
    Wrong("conv2d", (X, W), {"dilation": [4, 1]}, ("9", "8")),
    Wrong("conv2d", (X, W), {"padding": [-1, 0, 0, 0]}, ("padding", "-1")),
    Wrong("conv2d", (X, W), {"padding": [0, 0, 0, HUGE]}, ("padding", str(HUGE))),
    Wrong("conv2d", (X, W), {"padding": [2**31 - 1] * 4}, ()),
    Wrong("conv2d", (X, W), {"padding": [1, 1]}, ("padding", "4", "2")),
    Wrong("conv2d", (X, W), {"padding": "reflect"}, ("padding", "reflect")),
    Wrong("conv2d", (X, W), {"algorithm": "fft"}, ("algorithm", "fft")),
    Wrong("conv2d", (X, (6, 4, 9, 3)), {}, ("9", "8")),
    Wrong("conv2d", (X, (6, 4, 3, 11)), {"padding": [0, 0, 1, 1]}, ("11", "10")),
    Wrong("conv2d", ((1, 0, 8, 8), (6, 0, 3, 3)), {}, ("0",)),
    Wrong("conv2d", (X, (0, 4, 3, 3)), {}, ("(0, 4, 3, 3)",)),
    Wrong("conv2d", (X, (6, 4, 0, 3)), {}, ("(6, 4, 0, 3)",)),
    Wrong("conv2d", ((1, 4, 0, 8), W), {"padding": [2] * 4}, ("(1, 4, 0, 8)",)),
    Wrong("conv2d", ((4, 8), W), {}, ("(4, 8)",)),
    Wrong("conv2d", (X, (6, 4, 3)), {}, ("(6, 4, 3)", "(1, 4, 8, 8)")),
    Wrong("conv2d", (X, W, (5,)), {}, ("bias", "6", "(5,)")),
    Wrong("conv2d", (X, W, (6, 1)), {}, ("bias", "(6, 1)")),
    Wrong("conv_transpose2d", (X, (3, 6, 3, 3)), {}, ("3", "4", "(1, 4, 8, 8)", "(3, 6, 3, 3)")),
    Wrong("conv_transpose2d", (X, (4, 6, 3, 3)), {"groups": 3}, ("groups", "3", "4")),
    Wrong("conv_transpose2d", (X, (4, 6, 3, 3)), {"stride": [0, 1]}, ("stride", "0")),
    Wrong("conv_transpose2d", (X, (4, 6, 3, 3)), {"padding": [9, 9, 0, 0]}, ("padding", "9")),
    Wrong("conv_transpose2d", (X, (4, 6, 3, 3)), {"padding": [0, 0, -3, 0]}, ("padding", "-3")),
    Wrong("conv_transpose2d", (X, (4, 6, 3, 3)), {"output_padding": [1, 0]}, ("output_padding", "1")),
    Wrong("conv_transpose2d", (X, (4, 6, 3, 3)), {"output_padding": [-1, 0]}, ("output_padding", "-1")),
    Wrong("conv_transpose2d", (X, (4, 6, 3, 3)), {"stride": [2**31 - 1] * 2}, ()),
    Wrong("conv_transpose2d", (X, (4, 6, 3, 3)), {"padding": "same"}, ("padding", "same")),
    Wrong("conv_transpose2d", (X, (4, 6, 3, 3), (5,)), {}, ("bias", "6", "(5,)")),
    Wrong("conv_transpose2d", ((1, 0, 8, 8), (0, 6, 3, 3)), {}, ("0",)),
    Wrong("im2col", (X,), {}, ("kernel_size",)),
    Wrong("im2col", (X,), {"kernel_size": [9, 1]}, ("9", "8")),
    Wrong("im2col", (X,), {"kernel_size": [0, 1]}, ("kernel_size", "0")),
    Wrong("im2col", (X,), {"kernel_size": [HUGE, HUGE]}, (str(HUGE),)),
    Wrong("im2col", (X,), {"kernel_size": [3, 3], "stride": [0, 1]}, ("stride", "0")),
    Wrong("im2col", (X,), {"kernel_size": [3, 3], "padding": [0, -1, 0, 0]}, ("padding", "-1")),
    Wrong("im2col", ((1, 0, 8, 8),), {"kernel_size": [3, 3]}, ("(1, 0, 8, 8)",)),
    Wrong("col2im", ((1, 36, 36),), {"kernel_size": [3, 3]}, ("output_size",)),
    Wrong("col2im", ((1, 35, 36),), {"kernel_size": [3, 3], "output_size": [8, 8]}, ("35", "C*3*3")),
    Wrong("col2im", ((1, 36, 35),), {"kernel_size": [3, 3], "output_size": [8, 8]}, ("35", "36")),
    Wrong("col2im", ((1, 27, 36),), {"kernel_size": [9, 3], "output_size": [8, 8]}, ("9", "8")),
    Wrong("col2im", ((1, 36, 36),), {"kernel_size": [3, 3], "output_size": [0, 8]}, ("output_size", "0")),
    Wrong("col2im", ((1, 36, 36),), {"kernel_size": [3, 3], "output_size": [HUGE, 8]}, (str(HUGE),)),
    Wrong("linear", ((2, 5), (3, 4)), {}, ("4", "5", "(2, 5)", "(3, 4)")),
    Wrong("linear", ((2, 5, 1, 1), (3, 5)), {}, ("(2, 5, 1, 1)",)),
    Wrong("linear", ((2, 5), (3, 5, 1)), {}, ("(3, 5, 1)",)),
    Wrong("linear", ((2, 5), (3, 5), (4,)), {}, ("bias", "3", "(4,)")),
    Wrong("linear", ((2, 0), (3, 0)), {}, ("0",)),
    Wrong("linear", ((2, 5), (0, 5)), {}, ("0",)),
]


def _pooling(kind: str) -> list[Wrong]:
    window = {"kernel_size": [2, 2]}
    return [
        Wrong(kind, (X,), {}, ("kernel_size",)),
        Wrong(kind, (X,), {"kernel_size": [0, 2]}, ("kernel_size", "0")),
        Wrong(kind, (X,), {"kernel_size": [9, 2]}, ("9", "8")),
        Wrong(kind, (X,), {"kernel_size": [HUGE, 2]}, (str(HUGE),)),
        Wrong(kind, (X,), {**window, "stride": [0, 1]}, ("stride", "0")),
        Wrong(kind, (X,), {**window, "stride": [-1, 1]}, ("stride", "-1")),
        Wrong(kind, (X,), {**window, "padding": [2, 0]}, ("padding", "2")),
        Wrong(kind, (X,), {**window, "padding": [-1, 0]}, ("padding", "-1")),
        Wrong(kind, (X,), {**window, "padding": [HUGE, 0]}, ("padding", str(HUGE))),
        Wrong(kind, (X,), {**window, "ceil_mode": "yes"}, ("ceil_mode",), TypeError),
        Wrong(kind, ((1, 0, 8, 8),), window, ("(1, 0, 8, 8)",)),
        Wrong(kind, ((1, 4, 0, 8),), window, ("(1, 4, 0, 8)",)),
        Wrong(kind, ((4, 8),), window, ("(4, 8)",)),
    ]


def _adaptive(kind: str) -> list[Wrong]:
    return [
        Wrong(kind, (X,), {}, ("output_size",)),
        Wrong(kind, (X,), {"output_size": [0, 1]}, ("output_size", "0")),
        Wrong(kind, (X,), {"output_size": [1, -1]}, ("output_size", "-1")),
        Wrong(kind, (X,), {"output_size": [HUGE, HUGE]}, (str(HUGE),)),
        Wrong(kind, (X,), {"output_size": [1]}, ("output_size", "2", "1")),
        Wrong(kind, ((1, 0, 8, 8),), {"output_size": [1, 1]}, ("(1, 0, 8, 8)",)),
        Wrong(kind, ((1, 4, 0, 8),), {"output_size": [1, 1]}, ("(1, 4, 0, 8)",)),
        Wrong(kind, ((4, 8),), {"output_size": [1, 1]}, ("(4, 8)",)),
    ]


C = (4,)
OTHERS = [
    Wrong("max_pool2d", (X,), {"kernel_size": [3, 3], "dilation": [4, 1]}, ("3", "4", "8")),
    Wrong("max_pool2d", (X,), {"kernel_size": [3, 3], "dilation": [0, 1]}, ("dilation", "0")),
    Wrong("batch_norm", (X, (5,), C, C, C), {}, ("weight", "4", "(5,)")),
    Wrong("batch_norm", (X, C, (3,), C, C), {}, ("bias", "4", "(3,)")),
    Wrong("batch_norm", (X, C, C, (3,), C), {}, ("running_mean", "4", "(3,)")),
    Wrong("batch_norm", (X, C, C, C, (4, 1)), {}, ("running_var", "4", "(4, 1)")),
    Wrong("batch_norm", (X, C, C, C, C), {"eps": -1.0}, ("eps", "-1")),
    Wrong("batch_norm", (X, C, C, C, C), {"momentum": 2.0}, ("momentum", "2")),
    Wrong("batch_norm", ((1, 0, 8, 8), (0,), (0,), (0,), (0,)), {}, ("0",)),
    Wrong("batch_norm", (X, C, C, C, C), {"activation": "gelu"}, ("activation", "gelu")),
    Wrong("batch_norm", (X, C, C, C, C, (2, 4, 8, 7)), {}, ("residual", "(2, 4, 8, 7)")),
    Wrong("batch_norm", (X, C, C, C, C, None, (2, 9)), {}, ("statistics", "training")),
    Wrong("local_response_norm", (X,), {}, ("size",)),
    Wrong("local_response_norm", (X,), {"size": 0}, ("size", "0")),
    Wrong("local_response_norm", (X,), {"size": -3}, ("size", "-3")),
    Wrong("local_response_norm", (X,), {"size": 2.5}, ("size",), TypeError),
    Wrong("local_response_norm", (X,), {"size": 3, "alpha": "big"}, ("alpha",), TypeError),
    Wrong("dropout", (X,), {"p": -0.1}, ("p", "-0.1")),
    Wrong("dropout", (X,), {"p": 1.5}, ("p", "1.5")),
    Wrong("dropout", (X,), {"p": float("nan")}, ("p", "nan")),
    Wrong("dropout", (X,), {"p": "half"}, ("p",), TypeError),
    Wrong("dropout", (X,), {"q": 0.5}, ("q",)),
    Wrong("concat", (X, (2, 4, 8, 8)), {}, ("(1, 4, 8, 8)", "(2, 4, 8, 8)")),
    Wrong("concat", (X, (1, 4, 7, 8)), {}, ("(1, 4, 8, 8)", "(1, 4, 7, 8)")),
    Wrong("concat", (X, (1, 4, 8)), {}, ("(1, 4, 8, 8)", "(1, 4, 8)")),
    Wrong("concat", (X, (1, 4)), {}, ("(1, 4, 8, 8)", "(1, 4)")),
    Wrong("concat", (X,), {"dim": 2}, ("dim",)),
    *(
        wrong
        for kind in ("add", "multiply")
        for wrong in (
            Wrong(kind, (X, (1, 3, 8, 8)), {}, ("(1, 4, 8, 8)", "(1, 3, 8, 8)")),
            Wrong(kind, (X, (1, 4, 7, 8)), {}, ("(1, 4, 8, 8)", "(1, 4, 7, 8)")),
            Wrong(kind, (X, (2, 4, 8, 8), (1, 4, 8, 8)), {}, ("3",)),
            Wrong(kind, (X, (1, 4, 8)), {}, ("(1, 4, 8, 8)", "(1, 4, 8)")),
            Wrong(kind, ((3, 4, 2, 2), (2, 4, 2, 2)), {}, ("(3, 4, 2, 2)", "(2, 4, 2, 2)")),
        )
    ),
    Wrong("flatten", (X,), {"start_dim": 7}, ("start_dim", "7")),
    Wrong("flatten", (X,), {"start_dim": -9}, ("start_dim", "-9")),
    Wrong("flatten", (X,), {"start_dim": "one"}, ("start_dim",), TypeError),
    Wrong("flatten", (X,), {"end_dim": 2}, ("end_dim",)),
    Wrong("flatten", ((4,),), {}, ("(4,)",)),
    Wrong("leaky_relu", (X,), {"negative_slope": "steep"}, ("negative_slope",), TypeError),
    Wrong("gelu", (X,), {"approximate": "erf"}, ("approximate", "erf")),
    Wrong("gelu", (X,), {"approximate": 1}, ("approximate",), TypeError),
    Wrong("normalize", (X,), {"std": [0.0]}, ("std", "0")),
    Wrong("normalize", (X,), {"mean": [0.1, 0.2]}, ("mean", "2", "4")),
    Wrong("normalize", (X,), {"std": [0.1, 0.2, 0.3]}, ("std", "3", "4")),
    Wrong("normalize", (X,), {"mean": []}, ("mean", "0")),
    Wrong("normalize", (X,), {"mean": ["a"]}, ("mean",), TypeError),
    *(
        wrong
        for kind in ("mse_loss", "l1_loss", "huber_loss", "bce_with_logits")
        for wrong in (
            Wrong(kind, (X, (1, 4, 8, 7)), {}, ("(1, 4, 8, 8)", "(1, 4, 8, 7)")),
            Wrong(kind, (X, (1, 4)), {}, ("(1, 4, 8, 8)", "(1, 4)")),
            Wrong(kind, (X, X), {"reduction": "none"}, ("reduction", "none")),
            Wrong(kind, (X, X), {"reduction": 1}, ("reduction",), TypeError),
            Wrong(kind, (X, X), {"beta": 1.0}, ("beta",)),
        )
    ),
    Wrong("huber_loss", (X, X), {"delta": 0.0}, ("delta", "0")),
    Wrong("huber_loss", (X, X), {"delta": -1.0}, ("delta", "-1")),
    Wrong("bce_with_logits", (X, X, (3,)), {}, ("pos_weight", "4", "(3,)")),
]
WRONG = [
    *CONVOLUTIONS,
    *(w for kind in ("max_pool2d", "max_pool2d_indices", "avg_pool2d", "sum_pool2d") for w in _pooling(kind)),
    *(w for kind in ("adaptive_avg_pool2d", "adaptive_max_pool2d") for w in _adaptive(kind)),
    *OTHERS,
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda w: w.id)
def test_wrong_call(wrong: Wrong) -> None:
    inputs = [None if s is None else x_of(*s) for s in wrong.shapes]
    with pytest.raises(wrong.error, match=rf"^{wrong.kind}: ") as caught:
        _core.forward(wrong.kind, wrong.attributes, inputs, wrong.kind == "dropout")
    message = str(caught.value)
    missing = [word for word in wrong.words if word not in message]
    assert not missing, f"{message!r} does not say {missing}"
    assert len(message) < 400
    assert not re.search(r"0x[0-9a-f]{6}", message)


def _labelled(kind: str, labels: Any, words: str, error: type[Exception] = ValueError, classes: int = 10) -> None:
    with pytest.raises(error, match=rf"^{kind}: .*{words}"):
        _core.forward(kind, {}, [x_of(4, classes), labels])


@pytest.mark.parametrize("kind", LABELLED)
class TestLabels:
    def test_out_of_range(self, kind: str) -> None:
        if kind == "correct_count":  # no loss: what is ignored there is no hit here
            assert _core.forward(kind, {}, [x_of(4, 10), np.array([0, -100, 10, 0])])[0] == 2
            return
        _labelled(kind, np.array([0, 1, 2, 10]), r"label 10 at index 3 is outside \[0, 10\)")
        _labelled(kind, np.array([0, -1, 2, 3]), r"label -1 at index 1 is outside \[0, 10\)")
        _labelled(kind, np.array([2**62, 0, 2, 3]), rf"label {2**62} at index 0 is outside")

    def test_of_a_wrong_type(self, kind: str) -> None:
        _labelled(kind, x_of(4), "float32", TypeError)
        _labelled(kind, np.array([True] * 4), "bool", TypeError)

    def test_of_a_wrong_shape(self, kind: str) -> None:
        _labelled(kind, np.zeros(3, np.int64), r"\(3,\)")
        _labelled(kind, np.zeros((4, 1), np.int64), r"\(4, 1\)")

    def test_without_classes(self, kind: str) -> None:
        _labelled(kind, np.zeros(4, np.int64), "0", classes=0)

    def test_of_a_wrong_type_of_logits(self, kind: str) -> None:
        with pytest.raises((TypeError, ValueError), match=rf"^{kind}: "):
            _core.forward(kind, {}, [x_of(4), np.zeros(4, np.int64)])


@pytest.mark.parametrize(
    ("attributes", "weight", "words"),
    [
        ({"label_smoothing": -0.1}, None, "label_smoothing.*-0.1"),
        ({"label_smoothing": 1.5}, None, "label_smoothing.*1.5"),
        ({"reduction": "no"}, None, "reduction.*no"),
        ({"ignore_index": 0.5}, None, "ignore_index"),
        ({}, x_of(9), r"weight.*\(9,\)"),
        ({}, x_of(10, 1), r"weight.*\(10, 1\)"),
    ],
)
def test_cross_entropy_settings(attributes: dict[str, Any], weight: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^cross_entropy: .*{words}"):
        _core.forward("cross_entropy", attributes, [x_of(4, 10), np.zeros(4, np.int64), weight])


@pytest.mark.parametrize(("attributes", "words"), [({"p": 3}, "p.*3"), ({"p": 0}, "p.*0"), ({"margin": "m"}, "margin")])
def test_multi_margin_settings(attributes: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^multi_margin_loss: .*{words}"):
        _core.forward("multi_margin_loss", attributes, [x_of(4, 10), np.zeros(4, np.int64)])


def test_batch_norm_training_needs_values_and_memory() -> None:
    one = x_of(4)
    with pytest.raises(ValueError, match=r"^batch_norm: .*\(1, 4, 1, 1\)"):
        _core.forward("batch_norm", {}, [x_of(1, 4, 1, 1), one, one, one.copy(), one.copy()], True)
    frozen = one.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match=r"^batch_norm: running_mean must be a writable"):
        _core.forward("batch_norm", {}, [x_of(2, 4, 2, 2), one, one, frozen, one.copy()], True)
    with pytest.raises(ValueError, match=r"^batch_norm: running_var must be a writable"):
        _core.forward("batch_norm", {}, [x_of(2, 4, 2, 2), one, one, one.copy(), one.astype(np.float64)], True)
    with pytest.raises(cc.ShapeError, match=r"^batch_norm: statistics must have shape \(parts, 9\).*\(2, 8\)"):
        _core.forward("batch_norm", {}, [x_of(2, 4, 2, 2), one, one, None, None, None, x_of(2, 8)], True)
    with pytest.raises(ValueError, match=r"^batch_norm: statistics must be of the 8 pixels of x, got 2"):
        _core.forward("batch_norm", {}, [x_of(2, 4, 2, 2), one, one, None, None, None, x_of(2, 9)], True)


@pytest.mark.parametrize(
    ("call", "words", "error"),
    [
        (lambda: F.conv2d(x_of(*X), x_of(*W), stride=(1, 2, 3)), "conv2d: stride.*1, 2, 3", TypeError),
        (lambda: F.conv2d(x_of(*X), x_of(*W), stride=1.5), "conv2d: stride.*1.5", TypeError),
        (lambda: F.conv2d(x_of(*X), x_of(*W), padding="reflect"), "conv2d: padding.*reflect", ValueError),
        (lambda: F.conv2d(x_of(*X), x_of(*W), padding=((1, 1), (1,))), "conv2d: padding", TypeError),
        (lambda: F.conv2d(x_of(*X), x_of(*W), padding=2**70), "conv2d: ", ValueError),
        (lambda: F.conv1d(x_of(1, 4, 8), x_of(6, 4, 3), stride=(1, 2)), r"conv1d: stride.*\(1, 2\)", TypeError),
        (lambda: F.conv2d_backward(x_of(1, 6, 5, 5), x_of(*X), x_of(*W)), r"conv2d: .*\(1, 6, 5, 5\)", ValueError),
        (
            lambda: F.conv2d_backward(x_of(1), x_of(*X), x_of(*W), output_mask=(True,)),
            "conv2d: output_mask",
            ValueError,
        ),
        (
            lambda: F.conv_transpose2d(x_of(*X), x_of(4, 2, 3, 3), padding="same"),
            "conv_transpose2d: padding",
            TypeError,
        ),
        (lambda: F.im2col(x_of(*X), "3"), "im2col: kernel_size.*'3'", TypeError),
        (lambda: F.max_pool2d(x_of(*X), None), "max_pool2d: kernel_size.*None", TypeError),
        (lambda: F.max_pool2d(x_of(*X), 2, ceil_mode=1), "max_pool2d: ceil_mode.*1", TypeError),
        (lambda: F.softmax(x_of(2, 3), dim=2), "softmax: axis.*2", ValueError),
        (lambda: F.concat([]), "concat: .*none", ValueError),
        (lambda: F.concat(x_of(2, 3)), "concat: .*ndarray", TypeError),
        (lambda: F.concat([x_of(2, 3)], dim=2), "concat: dim.*2", ValueError),
        (lambda: F.cross_entropy(x_of(2, 3), [0, 1], reduction="no"), "cross_entropy: reduction.*no", ValueError),
        (lambda: F.dropout(x_of(2, 3), p="half"), "dropout: p.*half", TypeError),
        (lambda: F.convolve([], [1]), r"convolve: .*\(0,\)", ValueError),
        (lambda: F.convolve([1], [[1]]), r"convolve: .*\(1,\).*\(1, 1\)", ValueError),
        (lambda: F.convolve([1], [1], "round"), "convolve: mode.*round", ValueError),
        (lambda: F.convolve(x_of(2, 5), x_of(3, 4), "valid"), r"convolve: .*\(2, 5\).*\(3, 4\)", ValueError),
        (lambda: F.convolve([1j], [1]), "complex", TypeError),
        (lambda: F.batch_norm(x_of(2, 3), None, None), "batch_norm: running_mean", TypeError),
    ],
)
def test_wrong_call_of_the_functional_layer(call: Any, words: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=words):
        call()
