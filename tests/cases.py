"""The case lists: one per op, each driving forward and backward, every algorithm and ISA, and 1 and 2 threads.

Channel counts lie around every vector and tile width (4, 8, 16, 32, 64), maps around every tile height.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from axis_cases import AXIS_CASES
from case import Case, Shape
from conv_cases import TAILS, conv_cases, conv_transpose_cases, pair
from lstm_cases import LSTM_CASES
from math_cases import MATH_CASES
from norm_cases import NORM_CASES
from resize_cases import RESIZE_CASES
from shape_cases import SHAPE_CASES


def _im2col_settings(
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: int | tuple[int, int] = 1,
) -> dict[str, Any]:
    return {
        "kernel_size": pair(kernel),
        "stride": pair(stride),
        "padding": list(padding),
        "dilation": pair(dilation),
    }


def _im2col_cases() -> list[Case]:
    plain = _im2col_settings(3, 1, (1, 1, 1, 1))
    return [
        *(Case("im2col", ((2, c, 5, 4),), plain) for c in TAILS),
        Case("im2col", ((2, 3, 7, 8),), _im2col_settings((2, 3), (2, 1))),
        Case("im2col", ((2, 3, 7, 8),), _im2col_settings(3, 2, (1, 0, 2, 1))),
        Case("im2col", ((1, 5, 9, 9),), _im2col_settings(3, 1, (2, 2, 2, 2), (2, 3))),
        Case("im2col", ((1, 3, 2, 2),), _im2col_settings(4, 1, (2, 2, 2, 2))),
        Case("im2col", ((0, 3, 5, 5),), plain),
        Case("im2col", ((2, 16, 32, 32),), plain),
    ]


def _col2im_cases() -> list[Case]:
    cases = []
    for case in _im2col_cases():
        shape, a = case.shapes[0], case.attributes
        assert shape is not None
        (kh, kw), p = a["kernel_size"], a["padding"]
        oh = (shape[2] + p[0] + p[1] - a["dilation"][0] * (kh - 1) - 1) // a["stride"][0] + 1
        ow = (shape[3] + p[2] + p[3] - a["dilation"][1] * (kw - 1) - 1) // a["stride"][1] + 1
        columns = (shape[0], shape[1] * kh * kw, oh * ow)
        cases.append(Case("col2im", (columns,), {"output_size": list(shape[2:]), **a}))
    return cases


def _linear_cases() -> list[Case]:
    return [
        *(Case("linear", ((3, t), (5, t), (5,))) for t in TAILS),
        *(Case("linear", ((4, 5), (t, 5), (t,))) for t in TAILS),
        *(Case("linear", ((n, 6), (7, 6), None)) for n in (1, 2, 4, 5, 6, 7, 12, 13, 64)),
        Case("linear", ((0, 5), (4, 5), (4,))),
        Case("linear", ((64, 400), (120, 400), (120,))),
        Case("linear", ((2, 1000), (300, 1000), (300,))),
        *(Case("linear", ((4, 5), (5, t), (t,)), {"transposed": True}) for t in TAILS),
        *(Case("linear", ((n, 17), (17, 9), None), {"transposed": True}) for n in (0, 1, 6, 33)),
        Case("linear", ((40, 300), (300, 200), (200,)), {"transposed": True}),
    ]


def _max_pool_cases() -> list[Case]:
    window = {"kernel_size": [2, 2]}
    overlapping = {"kernel_size": [3, 3], "stride": [2, 2], "padding": [1, 1]}
    return [
        *(Case("max_pool2d", ((2, c, 5, 6),), window) for c in TAILS),
        *(Case("max_pool2d", ((2, c, 7, 6),), overlapping) for c in (1, 3, 17, 33, 65)),
        Case("max_pool2d", ((1, 37, 9, 11),), {"kernel_size": [3, 3], "stride": [2, 3]}),
        Case("max_pool2d", ((1, 20, 8, 8),), {"kernel_size": [5, 5], "stride": [1, 1], "padding": [2, 2]}),
        Case("max_pool2d", ((2, 3, 7, 8),), {"kernel_size": [3, 2], "stride": [1, 3]}),
        Case("max_pool2d", ((2, 3, 7, 8),), {"kernel_size": [3, 3], "stride": [1, 1], "padding": [1, 1]}),
        Case("max_pool2d", ((1, 5, 9, 9),), {"kernel_size": [3, 2], "stride": [2, 2], "dilation": [2, 3]}),
        Case("max_pool2d", ((1, 5, 6, 7),), {**overlapping, "ceil_mode": True}),
        Case("max_pool2d", ((1, 5, 7, 5),), {**window, "ceil_mode": True}),
        Case("max_pool2d", ((1, 4, 3, 3),), {"kernel_size": [3, 3]}),
        Case("max_pool2d", ((2, 6, 11),), {"kernel_size": [1, 3], "stride": [1, 2]}),
        Case("max_pool2d", ((0, 3, 4, 4),), window),
        Case("max_pool2d", ((2, 64, 28, 28),), overlapping),
        Case("max_pool2d", ((16, 6, 28, 28),), window),
    ]


def _average_cases(kind: str) -> list[Case]:
    window = {"kernel_size": [2, 2]}
    overlapping = {"kernel_size": [3, 3], "stride": [2, 2], "padding": [1, 1]}
    cases = [
        *(Case(kind, ((2, c, 5, 6),), window) for c in TAILS),
        *(Case(kind, ((2, c, 7, 6),), overlapping) for c in (1, 3, 17)),
        Case(kind, ((2, 3, 7, 8),), {"kernel_size": [3, 2], "stride": [1, 3]}),
        Case(kind, ((2, 3, 7, 8),), {"kernel_size": [3, 3], "stride": [1, 1], "padding": [1, 1]}),
        Case(kind, ((1, 5, 6, 7),), {**overlapping, "ceil_mode": True}),
        Case(kind, ((1, 5, 7, 5),), {**window, "ceil_mode": True}),
        Case(kind, ((1, 4, 3, 3),), {"kernel_size": [3, 3]}),
        Case(kind, ((2, 6, 11),), {"kernel_size": [1, 3], "stride": [1, 2]}),
        Case(kind, ((0, 3, 4, 4),), window),
        Case(kind, ((2, 64, 28, 28),), overlapping),
    ]
    if kind == "avg_pool2d":
        inside = {**overlapping, "count_include_pad": False}
        cases += [
            Case(kind, ((2, 3, 7, 8),), inside),
            Case(kind, ((1, 17, 6, 7),), {**inside, "ceil_mode": True}),
            *(
                Case(kind, ((2, 17, 9, 8),), {**a, "dilation": [2, 3], "padding": [1, 0]})
                for a in (overlapping, inside)
            ),
            Case(kind, ((1, 5, 9, 11),), {**overlapping, "dilation": [2, 2], "ceil_mode": True}),
            Case(kind, ((1, 5, 9, 3),), {**inside, "kernel_size": [2, 3], "dilation": [3, 2]}),
        ]
    return cases


def _lp_pool_cases() -> list[Case]:
    settings: list[dict[str, Any]] = [{}, {"p": 1}, {"p": 3}, {"p": 2.5}]
    overlapping = {"kernel_size": [3, 3], "stride": [2, 2], "padding": [1, 1]}
    return [
        *(Case("lp_pool2d", ((2, c, 5, 6),), {"kernel_size": [2, 2]}) for c in TAILS),
        *(Case("lp_pool2d", ((2, 5, 7, 6),), {**overlapping, **a}) for a in settings),
        Case("lp_pool2d", ((2, 17, 9, 11),), {**overlapping, "dilation": [2, 2], "p": 4}),
        Case("lp_pool2d", ((1, 5, 7, 5),), {"kernel_size": [2, 2], "ceil_mode": True, "p": 3}),
        Case("lp_pool2d", ((2, 6, 11),), {"kernel_size": [1, 3], "stride": [1, 2]}),
        Case("lp_pool2d", ((0, 3, 4, 4),), {"kernel_size": [2, 2]}),
    ]


def _max_unpool_cases() -> list[Case]:
    def case(x: Shape, h: int, w: int) -> Case:
        return Case("max_unpool2d", (x, x), {"output_size": [h, w]}, classes=h * w)

    return [
        *(case((2, c, 3, 2), 6, 4) for c in TAILS),
        case((1, 2, 4, 4), 2, 3),
        case((2, 5, 7), 1, 15),
        case((0, 3, 4, 4), 8, 8),
        case((2, 40, 20, 20), 40, 40),
    ]


def _adaptive_cases(kind: str) -> list[Case]:
    return [
        *(Case(kind, ((2, c, 7, 5),), {"output_size": [1, 1]}) for c in TAILS),
        Case(kind, ((2, 3, 7, 5),), {"output_size": [3, 2]}),
        Case(kind, ((2, 3, 5, 7),), {"output_size": [5, 7]}),
        Case(kind, ((1, 8, 3, 2),), {"output_size": [5, 4]}),
        Case(kind, ((2, 4, 9),), {"output_size": [1, 4]}),
        Case(kind, ((0, 4, 9, 9),), {"output_size": [2, 2]}),
        Case(kind, ((2, 128, 14, 14),), {"output_size": [1, 1]}),
        Case(kind, ((2, 64, 14, 14),), {"output_size": [7, 7]}),
    ]


def batch_norm(
    x: Shape, *, affine: bool = True, offset: float = 0.0, residual: bool = False, parts: int = 0, **a: Any
) -> Case:
    """parts > 0: statistics of as many parts are given."""
    c = (x[1],)
    more = [x if residual else None, (parts, 1 + 2 * x[1]) if parts else None] if residual or parts else []
    return Case("batch_norm", (x, *[c if affine else None] * 2, c, c, *more), a, offset=offset)


def _batch_norm_cases() -> list[Case]:
    return [
        *(batch_norm((3, c, 4, 5)) for c in TAILS),
        batch_norm((2, 6, 5, 5), affine=False),
        batch_norm((2, 6, 5, 5), eps=0.1, momentum=0.3),
        batch_norm((4, 6, 5, 5), offset=30.0),
        batch_norm((16, 10)),
        batch_norm((4, 5, 9)),
        batch_norm((8, 32, 16, 16)),
        batch_norm((64, 6, 14, 14)),
        batch_norm((2, 1030, 4, 5), activation="relu"),
        *(batch_norm((3, c, 4, 5), activation="relu") for c in TAILS),
        *(batch_norm((3, c, 4, 5), activation="relu", residual=True) for c in TAILS),
        *(batch_norm((3, c, 4, 5), activation="relu6", offset=2.0) for c in (1, 6, 17, 64)),
        *(batch_norm((3, c, 4, 5), activation="relu6", residual=True, affine=False) for c in (1, 6, 17, 64)),
        *(batch_norm((3, c, 4, 5), residual=True) for c in (6, 17, 64)),
        batch_norm((4, 5, 9), activation="relu", residual=True),
        batch_norm((64, 6, 14, 14), activation="relu", residual=True),
    ]


def _batch_norm_statistics_cases() -> list[Case]:
    """For training alone."""
    return [
        *(batch_norm((3, c, 4, 5), parts=3) for c in TAILS),
        *(batch_norm((3, 6, 4, 5), parts=n, offset=30.0) for n in (1, 4, 40)),
        batch_norm((2, 70, 5, 5), parts=2, residual=True, activation="relu"),
        batch_norm((2, 6, 5, 5), parts=2, affine=False, activation="relu6", momentum=0.3),
        batch_norm((16, 10), parts=2),
    ]


def _local_response_norm_cases() -> list[Case]:
    strong = {"size": 5, "alpha": 0.5, "beta": 0.75, "k": 2.0}
    return [
        *(Case("local_response_norm", ((2, c, 3, 4),), strong) for c in TAILS),
        *(Case("local_response_norm", ((2, 9, 3, 4),), {**strong, "size": size}) for size in (1, 2, 3, 4, 9, 20)),
        Case("local_response_norm", ((2, 9, 3, 4),), {"size": 3}),
        Case("local_response_norm", ((2, 9, 3, 4),), {"size": 3, "alpha": 1.0, "beta": 0.5}),
        Case("local_response_norm", ((2, 7, 5),), strong),
        Case("local_response_norm", ((0, 7, 5, 5),), strong),
        Case("local_response_norm", ((2, 64, 20, 20),), strong),
    ]


def _normalize_cases() -> list[Case]:
    rgb = {"scale": 1 / 255, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    return [
        case
        for dtype in ("uint8", "float32")
        for case in (
            Case("normalize", ((2, 3, 5, 7),), rgb, dtype=dtype, scale=50),
            Case("normalize", ((2, 1, 28, 28),), {"mean": [0.1307], "std": [0.3081]}, dtype=dtype, scale=50),
            Case("normalize", ((2, 5, 4, 4),), {"scale": 0.5, "mean": [3.0], "std": [2.0]}, dtype=dtype, scale=50),
            Case("normalize", ((0, 3, 4, 4),), rgb, dtype=dtype),
            Case("normalize", ((4, 3, 64, 64),), rgb, dtype=dtype, scale=50),
        )
    ]


def _cross_entropy_cases() -> list[Case]:
    def case(x: Shape, weighted: bool = False, scale: float = 3, **a: Any) -> Case:
        labels = (x[0], *x[2:])
        shapes = (x, labels, (x[1],)) if weighted else (x, labels)
        return Case("cross_entropy", shapes, a, classes=x[1], scale=scale)

    return [
        *(case((6, c)) for c in TAILS),
        case((5, 10), label_smoothing=0.1),
        case((9, 10), weighted=True),
        case((9, 10), weighted=True, label_smoothing=0.2),
        case((9, 10), reduction="sum"),
        case((9, 10), weighted=True, label_smoothing=0.2, reduction="sum"),
        case((30, 4), ignore_index=1),
        case((30, 4), weighted=True, ignore_index=0, label_smoothing=0.3),
        case((2, 5, 4, 3)),
        case((2, 5, 4, 3), weighted=True, ignore_index=2),
        case((8, 6), scale=40),
        case((128, 1000)),
        case((2, 21, 30, 30)),
        case((9, 10), weighted=True, label_smoothing=0.2, reduction="none"),
        case((2, 5, 9), ignore_index=3, reduction="none"),
        case((2, 5, 4, 3), weighted=True, ignore_index=2, reduction="none"),
    ]


def _nll_loss_cases() -> list[Case]:
    shapes = ((6, 1), (30, 4), (3, 5, 7), (2, 5, 4, 3), (2, 3, 4, 2, 5), (2, 3, 1, 2, 2, 3), (2, 21, 30, 30))
    settings: list[dict[str, Any]] = [{}, {"reduction": "sum"}, {"reduction": "none"}]
    return [
        case
        for a in settings
        for x in shapes
        for case in (
            Case("nll_loss", (x, (x[0], *x[2:])), a, classes=x[1]),
            Case("nll_loss", (x, (x[0], *x[2:]), (x[1],)), {**a, "ignore_index": 2}, classes=x[1]),
        )
    ]


def _label_loss_cases(kind: str, *settings: Mapping[str, Any]) -> list[Case]:
    return [
        case
        for a in settings
        for case in (
            *(Case(kind, ((6, c), (6,)), a, classes=c) for c in (1, 3, 10, 17, 33)),
            Case(kind, ((256, 100), (256,)), a, classes=100),
        )
    ]


def _multi_margin_cases() -> list[Case]:
    cases = _label_loss_cases("multi_margin_loss", {}, {"p": 2}, {"margin": 0.5})
    return [*cases, *(Case("multi_margin_loss", ((7, 5), (7,), (5,)), {"p": p}, classes=5) for p in (1, 2))]


def _regression_cases(kind: str, *settings: Mapping[str, Any]) -> list[Case]:
    return [
        case
        for extra in settings or ({},)
        for a in (extra, {**extra, "reduction": "sum"})
        for case in (
            *(Case(kind, ((4, c), (4, c)), a) for c in TAILS),
            Case(kind, ((2, 3, 4, 5), (2, 3, 4, 5)), a, scale=2),
            Case(kind, ((2, 3, 7), (2, 3, 7)), a),
            Case(kind, ((4, 33, 20, 20), (4, 33, 20, 20)), a),
        )
    ]


def _bce_cases() -> list[Case]:
    weighted = [Case("bce_with_logits", ((4, c), (4, c), (c,)), scale=2) for c in (1, 5, 17)]
    return [*_regression_cases("bce_with_logits"), *weighted]


def _concat_cases() -> list[Case]:
    return [
        *(Case("concat", ((2, c, 3, 4), (2, 5, 3, 4))) for c in TAILS),
        Case("concat", ((2, 3, 4, 4),)),
        Case("concat", ((2, 3, 4, 4), (2, 1, 4, 4), (2, 17, 4, 4), (2, 8, 4, 4))),
        Case("concat", ((3, 4), (3, 5))),
        Case("concat", ((3, 4, 6), (3, 5, 6))),
        Case("concat", ((0, 4, 3, 3), (0, 5, 3, 3))),
        Case("concat", ((2, 32, 28, 28), (2, 33, 28, 28))),
        Case("concat", ((2, 3, 4, 5), (1, 3, 4, 5)), {"axis": 0}),
        Case("concat", ((2, 3, 4, 5), (2, 3, 1, 5), (2, 3, 17, 5)), {"axis": 2}),
        Case("concat", ((2, 9, 4, 5), (2, 9, 4, 3)), {"axis": 3}),
        Case("concat", ((3, 4, 6), (3, 4, 1)), {"axis": 2}),
        Case("concat", ((3, 4), (2, 4)), {"axis": 0}),
        Case("concat", ((3,), (0,), (5,)), {"axis": 0}),
        *(
            Case("concat", ((2, 2, 2, 2, 2), tuple(3 if i == d else 2 for i in range(5))), {"axis": d})
            for d in range(5)
        ),
        Case("concat", ((1, 2, 3, 1, 2, 3), (1, 2, 3, 4, 2, 3)), {"axis": 3}),
    ]


def _flatten_cases() -> list[Case]:
    return [
        *(Case("flatten", ((2, c, 3, 4),)) for c in TAILS),
        Case("flatten", ((3, 5),)),
        Case("flatten", ((3, 5, 4),), {"start_dim": 1}),
        Case("flatten", ((0, 5, 4, 4),)),
        Case("flatten", ((8, 64, 16, 16),)),
    ]


CASES: dict[str, list[Case]] = {
    "conv2d": conv_cases(),
    "conv_transpose2d": conv_transpose_cases(),
    "im2col": _im2col_cases(),
    "col2im": _col2im_cases(),
    "linear": _linear_cases(),
    "max_pool2d": _max_pool_cases(),
    "avg_pool2d": _average_cases("avg_pool2d"),
    "sum_pool2d": _average_cases("sum_pool2d"),
    "lp_pool2d": _lp_pool_cases(),
    "max_unpool2d": _max_unpool_cases(),
    "adaptive_avg_pool2d": _adaptive_cases("adaptive_avg_pool2d"),
    "adaptive_max_pool2d": _adaptive_cases("adaptive_max_pool2d"),
    **AXIS_CASES,
    "batch_norm": _batch_norm_cases(),
    "batch_norm statistics": _batch_norm_statistics_cases(),
    "local_response_norm": _local_response_norm_cases(),
    "normalize": _normalize_cases(),
    "cross_entropy": _cross_entropy_cases(),
    "nll_loss": _nll_loss_cases(),
    "hinge_loss": _label_loss_cases("hinge_loss", {}, {"margin": 2.5}),
    "multi_margin_loss": _multi_margin_cases(),
    "mse_loss": _regression_cases("mse_loss"),
    "l1_loss": _regression_cases("l1_loss"),
    "huber_loss": _regression_cases("huber_loss", {}, {"delta": 0.5}),
    "bce_with_logits": _bce_cases(),
    "correct_count": _label_loss_cases("correct_count", {}),
    "concat": _concat_cases(),
    "flatten": _flatten_cases(),
    **MATH_CASES,
    **SHAPE_CASES,
    **NORM_CASES,
    "lstm": LSTM_CASES,
    "resize": RESIZE_CASES,
}
