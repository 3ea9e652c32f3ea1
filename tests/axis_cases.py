"""Cases of functions along axes: every rank and axis, few and many lines, short and long ones, none."""

from typing import Any

from case import Case, Shape
from conv_cases import TAILS
from math_cases import elementwise_cases

FUNCTIONS = ("sum", "mean", "max", "min", "prod", "l1", "l2", "sum_square", "log_sum", "log_sum_exp")


def _reduce_cases() -> list[Case]:
    def case(shape: Shape, *axes: int, **a: Any) -> Case:
        scale = 0.3 if a["function"] == "prod" else 1.0
        return Case("reduce", (shape,), {**a, "axes": list(axes)}, scale=scale, offset=1.0 if scale < 1 else 0.0)

    cases = []
    for function in FUNCTIONS:
        for keepdims in (False, True):
            a = {"function": function, "keepdims": keepdims}
            cases += [
                Case("reduce", ((2, 3, 4, 5),), a),
                *(case((2, 17, 4, 5), axis, **a) for axis in range(4)),
                case((2, 17, 4, 5), 2, 3, **a),
                case((2, 17, 4, 5), 0, 2, -1, **a),
                case((2, 17, 4, 5), 1, 3, **a),
                *(case((3, 4, 19), axis, **a) for axis in range(3)),
                case((3, 37), 0, **a),
                case((3, 37), -1, **a),
                case((41,), 0, **a),
                case((1,), 0, **a),
                case((2, 3, 2, 3, 2), 1, 3, **a),
                case((2, 3, 2, 3, 2, 5), 0, 4, 5, **a),
                case((2, 3, 1, 5), 2, **a),
                case((2, 3, 4), **a),
            ]
    long = {"keepdims": True}
    cases += [
        *(case((2, c, 3, 5), 1, function="sum", **long) for c in TAILS),
        *(case((2, c, 3, 5), 2, 3, function="max", **long) for c in TAILS),
        *(case((2, 24, 60, 60), 2, 3, function=f, **long) for f in ("sum", "mean", "max", "l2", "log_sum_exp")),
        *(Case("reduce", ((3, 5, 70, 70),), {"function": f, **long}) for f in ("mean", "min", "l2", "log_sum_exp")),
        *(case((40000,), 0, function=f, **long) for f in ("sum", "l1", "max")),
        *(case((3, 20000), 1, function=f, **long) for f in ("sum", "log_sum_exp", "min")),
        *(case((3000, 700), 0, function=f, **long) for f in ("mean", "sum_square")),
        *(case((3, 0, 4), 1, function=f, **long) for f in ("sum", "prod", "l2")),
        *(case((0, 4), 1, function=f, **long) for f in ("sum", "max", "log_sum_exp")),
        *(case((2, 0, 3, 4, 5), 1, 3, function=f) for f in ("sum", "l1")),
    ]
    return cases


def _softmax_cases(kind: str) -> list[Case]:
    return [
        *elementwise_cases(kind),
        *(Case(kind, ((2, 5, 7, 3),), {"axis": axis}, scale=3) for axis in (0, 1, 2, 3, -1)),
        *(Case(kind, ((3, 9, 20),), {"axis": axis}, scale=3) for axis in (0, 2)),
        *(Case(kind, ((3, 19),), {"axis": axis}, scale=3) for axis in (0, -1)),
        Case(kind, ((33,),), {"axis": 0}),
        *(Case(kind, ((2, 3, 4, 2, 5),), {"axis": axis}) for axis in (0, 2, 4)),
        *(Case(kind, ((2, 3, 1, 2, 5, 2),), {"axis": axis}) for axis in (1, 5)),
        Case(kind, ((2, 0, 3),), {"axis": 2}),
        Case(kind, ((2, 1, 30, 30),), {"axis": 3}),
        Case(kind, ((2, 12, 50, 50),), {"axis": 3}),
    ]


def _place_cases(kind: str) -> list[Case]:
    plain = [
        *(Case(kind, ((2, 17, 4, 5),), {"axis": axis}) for axis in (0, 1, 2, 3)),
        *(Case(kind, ((3, 4, 19),), {"axis": axis}) for axis in (0, -1)),
        Case(kind, ((3, 37),)),
        Case(kind, ((41,),)),
        Case(kind, ((2, 3, 2, 4, 2),), {"axis": 3}),
        Case(kind, ((2, 3, 2, 3, 2, 5),), {"axis": 0}),
        Case(kind, ((0, 5),), {"axis": 1}),
        Case(kind, ((2, 21, 40, 40),), {"axis": 1}),
    ]
    if kind == "hardmax":
        return plain
    more = [{"keepdims": True}, {"select_last_index": True}, {"keepdims": True, "select_last_index": True}]
    return [
        *plain,
        *(Case(kind, ((2, 17, 4, 5),), {"axis": axis, **a}) for axis in (1, 2) for a in more),
        Case(kind, ((2, 17, 4, 5, 3),), {"axis": 1, **more[2]}),
    ]


def _topk_cases() -> list[Case]:
    """Two outputs: for a test of their own."""
    return [
        *(
            Case("topk", ((2, 17, 4, 5),), {"k": k, "axis": axis})
            for axis, k in ((0, 2), (1, 1), (1, 9), (2, 3), (3, 5))
        ),
        *(Case("topk", ((2, 17, 4, 5),), {"k": 3, "axis": axis, "largest": False}) for axis in (1, 2)),
        Case("topk", ((3, 7),), {"k": 3}),
        Case("topk", ((3, 7),), {"k": 0}),
        Case("topk", ((3, 4, 19),), {"k": 19}),
        Case("topk", ((41,),), {"k": 5}),
        Case("topk", ((2, 3, 2, 6, 2),), {"k": 4, "axis": 3}),
        Case("topk", ((0, 5),), {"k": 2}),
        Case("topk", ((2, 2000),), {"k": 300}),
    ]


def _matmul_cases() -> list[Case]:
    pairs: list[tuple[Shape, Shape]] = [
        *(((3, t), (t, 5)) for t in TAILS),
        *(((4, 5), (5, t)) for t in TAILS),
        *(((n, 6), (6, 7)) for n in (1, 2, 5, 6, 7, 12, 13, 64)),
        ((70, 300), (300, 90)),
        ((1, 700), (700, 300)),
        # rank 3: one weight, few rows, a batch, each repeated
        *(((1, t, 20), (1, 20, 18)) for t in TAILS),
        *(((2, t, 6), (2, 6, 9)) for t in (1, 7, 8, 33)),
        ((3, 9, 7), (1, 7, 10)),
        ((3, 1, 7), (1, 7, 10)),
        ((1, 9, 7), (3, 7, 10)),
        ((1, 2, 7), (3, 7, 10)),
        ((2, 100, 64), (1, 64, 96)),
        # rank 4: attention, repeated heads
        ((2, 4, 9, 16), (2, 4, 16, 9)),
        ((2, 1, 9, 16), (2, 4, 16, 9)),
        ((1, 4, 9, 16), (2, 1, 16, 9)),
        ((2, 3, 9, 16), (1, 1, 16, 5)),
        ((1, 12, 50, 32), (1, 12, 32, 50)),
        ((2, 1, 8, 8), (2, 1, 8, 8)),
        # ranks 5 and 6
        ((2, 3, 2, 5, 7), (2, 1, 2, 7, 4)),
        ((2, 3, 2, 5, 7), (1, 1, 1, 7, 4)),
        ((2, 1, 3, 2, 5, 7), (1, 2, 3, 1, 7, 4)),
        # nothing
        ((0, 5), (5, 3)),
        ((2, 0), (0, 3)),
        ((2, 3, 0), (2, 0, 9)),
        ((0, 9, 4), (1, 4, 9)),
        ((2, 0, 4, 3), (2, 1, 3, 5)),
    ]
    dense: list[tuple[Shape, Shape]] = [
        ((5, 33), (33, 20)),
        ((1, 33), (33, 20)),
        ((2, 20, 33), (33, 17)),
        ((2, 1, 33), (33, 17)),
        ((3, 5, 33), (33, 17)),
        ((2, 3, 4, 9), (9, 7)),
        ((2, 3, 4, 2, 9), (9, 7)),
        ((1, 30, 9), (1, 9, 20)),
        ((0, 30, 9), (9, 20)),
    ]
    return [
        *(Case("matmul", pair) for pair in pairs),
        *(Case("matmul", pair, {"dense": True}) for pair in dense),
    ]


AXIS_CASES: dict[str, list[Case]] = {
    "reduce": _reduce_cases(),
    **{kind: _softmax_cases(kind) for kind in ("softmax", "log_softmax")},
    **{kind: _place_cases(kind) for kind in ("argmax", "argmin", "hardmax")},
    "topk": _topk_cases(),
    "matmul": _matmul_cases(),
}
