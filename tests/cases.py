"""The case lists: one per op, each driving forward and backward, every algorithm and ISA, and 1 and 2 threads.

Channel counts lie around every vector and tile width (4, 8, 16, 32, 64), maps around every tile height.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from case import Case, Shape

TAILS = (1, 3, 4, 5, 6, 7, 8, 15, 16, 17, 31, 33, 64, 65)


def pair(v: int | tuple[int, int]) -> list[int]:
    return [v, v] if isinstance(v, int) else list(v)


def conv(
    x: Shape,
    o: int,
    kernel: int | tuple[int, int],
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | str | tuple[int, int, int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    bias: bool = True,
) -> Case:
    kh, kw = pair(kernel)
    weight = (o, x[1] // groups, kw) if len(x) == 3 else (o, x[1] // groups, kh, kw)
    pads = padding if isinstance(padding, str) else [padding] * 4 if isinstance(padding, int) else list(padding)
    settings = {"stride": pair(stride), "padding": pads, "dilation": pair(dilation), "groups": groups}
    return Case("conv2d", (x, weight, (o,) if bias else None), settings)


def _conv_cases() -> list[Case]:
    tails = [conv((2, c, 5, 6), 8, 3, padding=1) for c in TAILS]
    tails += [conv((2, 5, 6, 5), o, 3, padding=1) for o in TAILS]
    tails += [conv((1, t, 4, 5), t, 1) for t in TAILS]
    widths = [conv((1, 3, 2, w), 17, 3, padding=1) for w in (1, 2, 3, 5, 6, 7, 11, 12, 13, 14, 15, 25)]
    return [
        *tails,
        *widths,
        # 1x1, also strided: a gather
        conv((2, 16, 7, 7), 24, 1, bias=False),
        conv((2, 16, 7, 7), 24, 1, stride=2),
        conv((2, 3, 5, 5), 7, 1, padding=1),
        # strided, with and without a remainder
        conv((2, 3, 9, 8), 5, 3, stride=2, padding=1),
        conv((1, 4, 11, 13), 6, 3, stride=3),
        conv((1, 4, 11, 13), 6, 2, stride=3),
        conv((1, 5, 10, 9), 3, (3, 5), stride=(2, 1), padding=(1, 1, 2, 2)),
        conv((1, 3, 23, 23), 10, 11, stride=4),
        conv((2, 3, 30, 30), 16, 7, stride=2, padding=3),
        conv((1, 2, 7, 7), 3, 3, stride=(1, 4), padding=1),
        # dilated
        conv((2, 3, 9, 9), 4, 3, dilation=2),
        conv((1, 8, 11, 10), 9, 3, dilation=(2, 3), padding=2),
        conv((1, 4, 12, 12), 5, 3, stride=2, dilation=2, padding=2),
        conv((1, 4, 13, 13), 5, 2, stride=(3, 2), dilation=(2, 3), padding=(1, 0, 2, 1)),
        # grouped and depthwise, also with a multiplier
        conv((2, 6, 5, 5), 9, 3, padding=1, groups=3),
        conv((2, 32, 6, 6), 64, 3, padding=1, groups=2),
        conv((1, 34, 6, 6), 34, 3, padding=1, groups=2),
        conv((1, 8, 7, 7), 16, 3, stride=2, padding=1, groups=4),
        conv((2, 17, 7, 7), 17, 3, padding=1, groups=17),
        conv((1, 33, 9, 9), 33, 5, stride=2, padding=2, groups=33),
        conv((1, 5, 6, 6), 15, 3, padding=1, groups=5),
        conv((1, 16, 8, 8), 16, 3, padding=2, dilation=2, groups=16, bias=False),
        # depthwise: tiles and tails of columns and channels, borders, every phase of a stride, several blocks of rows
        *(conv((1, 20, 4, w), 20, 3, padding=1, groups=20) for w in (1, 2, 7, 9, 16, 28)),
        *(conv((2, 20, 5, w), 20, 3, stride=2, padding=1, groups=20) for w in (1, 2, 13, 16, 30)),
        *(conv((1, 40, 6, w), 40, 5, stride=s, padding=2, groups=40) for s in (1, 2) for w in (3, 7, 18)),
        *(conv((1, 9, 7, 8), 9, k, padding=k // 2, groups=9) for k in (1, 2, 4, 6, 7, 9)),
        conv((1, 18, 8, 9), 18, 3, stride=2, padding=(0, 0, 1, 1), groups=18),
        conv((1, 18, 9, 8), 18, 5, stride=2, padding=(1, 2, 2, 1), groups=18),
        conv((1, 6, 9, 8), 6, 3, stride=2, padding=(3, 4, 0, 5), groups=6),
        conv((1, 6, 4, 5), 6, 3, padding=5, groups=6),
        conv((1, 6, 3, 4), 6, 5, stride=2, padding=7, groups=6),
        conv((1, 19, 14, 11), 19, 3, stride=3, padding=1, groups=19),
        conv((1, 5, 9, 20), 5, (3, 2), stride=(1, 3), padding=(1, 1, 0, 2), dilation=(2, 5), groups=5),
        conv((1, 17, 9, 11), 17, 3, stride=2, padding=3, dilation=3, groups=17),
        conv((1, 17, 9, 25), 17, 3, padding=2, dilation=(1, 2), groups=17),
        conv((1, 4, 67, 5), 4, 3, padding=1, groups=4),
        conv((1, 4, 70, 6), 4, 5, stride=2, padding=2, groups=4),
        conv((37, 5, 3, 3), 5, 3, padding=1, groups=5),
        # asymmetric padding; valid, same, full
        conv((2, 3, 5, 6), 4, 3, padding=(0, 1, 2, 0)),
        conv((1, 3, 5, 6), 4, 3, stride=2, padding=(2, 0, 0, 1)),
        conv((2, 3, 6, 5), 4, 3, padding="valid"),
        conv((2, 3, 6, 5), 4, (2, 4), padding="same"),
        conv((1, 3, 7, 6), 4, 3, stride=2, padding="same"),
        conv((1, 3, 8, 8), 4, 3, dilation=2, padding="same"),
        conv((2, 3, 4, 5), 4, (3, 2), padding="full"),
        conv((1, 3, 4, 5), 4, 3, dilation=2, padding="full"),
        # kernel larger than the map, map of one pixel, padding beyond the kernel
        conv((2, 3, 2, 3), 4, 5, padding=2),
        conv((1, 1, 1, 1), 1, 1),
        conv((3, 5, 1, 1), 17, 3, padding=1),
        conv((1, 3, 2, 2), 4, 3, padding=4),
        conv((1, 3, 3, 4), 4, (3, 4)),
        # few channels, no bias
        conv((2, 1, 8, 8), 1, 3, bias=False),
        conv((3, 1, 12, 12), 6, 5, padding=2),
        conv((1, 17, 4, 4), 3, 3, padding=1, bias=False),
        # rank 3: H = 1
        conv((2, 3, 11), 5, (1, 3), padding=(0, 0, 1, 1)),
        conv((2, 8, 20), 16, (1, 5), stride=(1, 2), padding=(0, 0, 2, 1), dilation=(1, 2)),
        conv((1, 6, 9), 6, (1, 3), padding="same", groups=6),
        # no images
        conv((0, 3, 5, 5), 4, 3, padding=1),
        conv((0, 6, 9), 4, (1, 3), groups=2),
        conv((0, 6, 5, 5), 6, 3, groups=6),
        # enough work for two threads, in few and many channels, rows and images
        conv((2, 32, 28, 28), 32, 3, padding=1),
        conv((1, 3, 64, 64), 16, 7, stride=2, padding=3),
        conv((1, 64, 28, 28), 128, 1),
        conv((8, 16, 14, 14), 33, 3, padding=1, bias=False),
        conv((1, 256, 4, 4), 200, 3, padding=1),
        conv((1, 48, 30, 31), 48, 3, stride=2, padding=1, groups=48),
        conv((2, 72, 29, 28), 72, 5, padding=2, groups=72),
        conv((2, 64, 17, 17), 64, 3, padding=1, groups=4),
        conv((16, 6, 14, 14), 16, 5),
    ]


def conv_transpose(
    x: Shape,
    o: int,
    kernel: int | tuple[int, int],
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int, int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    bias: bool = True,
) -> Case:
    kh, kw = pair(kernel)
    weight = (x[1], o // groups, kw) if len(x) == 3 else (x[1], o // groups, kh, kw)
    settings = {
        "stride": pair(stride),
        "padding": [padding] * 4 if isinstance(padding, int) else list(padding),
        "output_padding": pair(output_padding),
        "dilation": pair(dilation),
        "groups": groups,
    }
    return Case("conv_transpose2d", (x, weight, (o,) if bias else None), settings)


def _conv_transpose_cases() -> list[Case]:
    return [
        *(conv_transpose((1, c, 4, 5), 6, 3, stride=2, padding=1) for c in TAILS),
        *(conv_transpose((1, 6, 4, 5), o, 3, padding=1) for o in TAILS),
        conv_transpose((2, 3, 4, 4), 5, 2, stride=2),
        conv_transpose((2, 3, 4, 4), 5, 2, stride=3),  # holes that no input reaches
        conv_transpose((2, 3, 4, 3), 5, 3, stride=2, padding=1, output_padding=1),
        conv_transpose((1, 4, 5, 4), 6, (3, 4), stride=(3, 2), padding=(1, 0, 2, 1), output_padding=(2, 1)),
        conv_transpose((1, 4, 5, 4), 6, 3, dilation=2, padding=2),
        conv_transpose((1, 4, 5, 4), 6, 3, stride=2, dilation=(3, 2), padding=1, output_padding=(2, 1), bias=False),
        conv_transpose((2, 6, 4, 4), 9, 3, padding=1, groups=3),
        conv_transpose((1, 17, 4, 4), 17, 3, stride=2, padding=1, groups=17),
        conv_transpose((1, 5, 1, 1), 7, 4),
        conv_transpose((1, 5, 3, 3), 7, 1),
        conv_transpose((2, 4, 7), 6, (1, 4), stride=(1, 2), padding=(0, 0, 1, 1)),
        conv_transpose((0, 3, 4, 4), 5, 2, stride=2),
        conv_transpose((2, 32, 14, 14), 16, 4, stride=2, padding=1),
        conv_transpose((1, 64, 16, 16), 33, 3, padding=1),
    ]


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
    ]


def _max_pool_cases() -> list[Case]:
    window = {"kernel_size": [2, 2]}
    overlapping = {"kernel_size": [3, 3], "stride": [2, 2], "padding": [1, 1]}
    return [
        *(Case("max_pool2d", ((2, c, 5, 6),), window) for c in TAILS),
        *(Case("max_pool2d", ((2, c, 7, 6),), overlapping) for c in (1, 3, 17)),
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
        ]
    return cases


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


def _elementwise_cases(kind: str, *settings: Mapping[str, Any]) -> list[Case]:
    return [
        case
        for a in settings or ({},)
        for case in (
            *(Case(kind, ((2, c, 3, 2),), a, scale=3) for c in TAILS),
            Case(kind, ((3, 10),), a, scale=3),
            Case(kind, ((2, 4, 9),), a, scale=3),
            Case(kind, ((1, 16, 5, 5),), a, scale=30),
            Case(kind, ((0, 4, 3, 3),), a),
            Case(kind, ((2, 33, 32, 32),), a, scale=3),
        )
    ]


def _batch_norm_cases() -> list[Case]:
    def case(x: Shape, affine: bool = True, offset: float = 0.0, **a: float) -> Case:
        c = (x[1],)
        return Case("batch_norm", (x, c if affine else None, c if affine else None, c, c), a, offset=offset)

    return [
        *(case((3, c, 4, 5)) for c in TAILS),
        case((2, 6, 5, 5), affine=False),
        case((2, 6, 5, 5), eps=0.1, momentum=0.3),
        case((4, 6, 5, 5), offset=30.0),
        case((16, 10)),
        case((4, 5, 9)),
        case((8, 32, 16, 16)),
        case((64, 6, 14, 14)),
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


def _broadcast_cases(kind: str) -> list[Case]:
    whole = (2, 6, 4, 5)
    partial: list[Shape] = [(2, 6, 1, 1), (1, 6, 1, 1), (1, 1, 1, 1), (2, 1, 4, 5), (1, 6, 4, 5), (1, 1, 4, 1)]
    return [
        *(Case(kind, ((2, c, 3, 4), (2, c, 3, 4))) for c in TAILS),
        *(Case(kind, (whole, p)) for p in partial),
        *(Case(kind, (p, whole)) for p in partial),
        Case(kind, ((3, 7), (3, 7))),
        Case(kind, ((3, 7), (1, 7))),
        Case(kind, ((3, 7, 5), (3, 7, 1))),
        Case(kind, ((0, 3, 4, 4), (0, 3, 4, 4))),
        Case(kind, ((2, 33, 32, 32), (2, 33, 32, 32))),
        Case(kind, ((2, 33, 32, 32), (2, 33, 1, 1))),
        Case(kind, ((2, 33, 32, 32), (1, 33, 1, 1))),
    ]


def _concat_cases() -> list[Case]:
    return [
        *(Case("concat", ((2, c, 3, 4), (2, 5, 3, 4))) for c in TAILS),
        Case("concat", ((2, 3, 4, 4),)),
        Case("concat", ((2, 3, 4, 4), (2, 1, 4, 4), (2, 17, 4, 4), (2, 8, 4, 4))),
        Case("concat", ((3, 4), (3, 5))),
        Case("concat", ((3, 4, 6), (3, 5, 6))),
        Case("concat", ((0, 4, 3, 3), (0, 5, 3, 3))),
        Case("concat", ((2, 32, 28, 28), (2, 33, 28, 28))),
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
    "conv2d": _conv_cases(),
    "conv_transpose2d": _conv_transpose_cases(),
    "im2col": _im2col_cases(),
    "col2im": _col2im_cases(),
    "linear": _linear_cases(),
    "max_pool2d": _max_pool_cases(),
    "avg_pool2d": _average_cases("avg_pool2d"),
    "sum_pool2d": _average_cases("sum_pool2d"),
    "adaptive_avg_pool2d": _adaptive_cases("adaptive_avg_pool2d"),
    "adaptive_max_pool2d": _adaptive_cases("adaptive_max_pool2d"),
    **{kind: _elementwise_cases(kind) for kind in ("relu", "relu6", "sigmoid", "tanh", "silu", "hardswish")},
    "leaky_relu": _elementwise_cases("leaky_relu", {}, {"negative_slope": 0.2}),
    "gelu": _elementwise_cases("gelu", {}, {"approximate": "tanh"}),
    "softmax": _elementwise_cases("softmax"),
    "log_softmax": _elementwise_cases("log_softmax"),
    "batch_norm": _batch_norm_cases(),
    "local_response_norm": _local_response_norm_cases(),
    "normalize": _normalize_cases(),
    "cross_entropy": _cross_entropy_cases(),
    "hinge_loss": _label_loss_cases("hinge_loss", {}, {"margin": 2.5}),
    "multi_margin_loss": _multi_margin_cases(),
    "mse_loss": _regression_cases("mse_loss"),
    "l1_loss": _regression_cases("l1_loss"),
    "huber_loss": _regression_cases("huber_loss", {}, {"delta": 0.5}),
    "bce_with_logits": _bce_cases(),
    "correct_count": _label_loss_cases("correct_count", {}),
    "add": _broadcast_cases("add"),
    "multiply": _broadcast_cases("multiply"),
    "concat": _concat_cases(),
    "flatten": _flatten_cases(),
}
