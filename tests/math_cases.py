"""Cases of arithmetic: functions of one, two and three operands of every rank."""

from collections.abc import Mapping
from typing import Any

from case import Case, Shape
from conv_cases import TAILS

SELU = {"alpha": 1.5, "gamma": 1.2}
UNARY: dict[str, tuple[Mapping[str, Any], ...]] = {
    **{kind: ({},) for kind in ("relu", "relu6", "sigmoid", "tanh", "silu", "hardswish", "mish", "softsign", "erf")},
    **{kind: ({},) for kind in ("exp", "log", "sqrt", "abs", "neg", "reciprocal", "floor", "ceil", "round", "sign")},
    "leaky_relu": ({}, {"negative_slope": 0.2}),
    "gelu": ({}, {"approximate": "tanh"}),
    "hardsigmoid": ({}, {"alpha": 0.2, "beta": 0.4}),
    "elu": ({}, {"alpha": 0.3}),
    "selu": ({}, SELU),
    "celu": ({}, {"alpha": 0.3}),
    "softplus": ({}, {"beta": 0.5, "threshold": 2.0}),
    "threshold": ({}, {"threshold": 0.5, "value": -2.0}),
    "clamp": ({"min": -0.5, "max": 1.0}, {"min": 0.25}, {"max": 0.0}),
    "logical_not": ({},),
}
BINARY = ("add", "subtract", "multiply", "divide", "power", "minimum", "maximum", "remainder", "fmod", "prelu")
COMPARISONS = ("equal", "less", "less_equal", "greater", "greater_equal")
LOGICAL = ("logical_and", "logical_or", "logical_xor")


def elementwise_cases(kind: str, *settings: Mapping[str, Any]) -> list[Case]:
    large = 8 if kind in ("exp", "log", "sqrt", "reciprocal") else 30  # whose exponential is finite
    return [
        case
        for a in settings or ({},)
        for case in (
            *(Case(kind, ((2, c, 3, 2),), a, scale=3) for c in TAILS),
            Case(kind, ((3, 10),), a, scale=3),
            Case(kind, ((2, 4, 9),), a, scale=3),
            Case(kind, ((1, 16, 5, 5),), a, scale=large),
            Case(kind, ((0, 4, 3, 3),), a),
            Case(kind, ((2, 33, 32, 32),), a, scale=3),
        )
    ]


def _any_rank_cases(kind: str) -> list[Case]:
    shapes: list[Shape] = [(7,), (2, 3, 4, 5, 2), (2, 1, 3, 2, 2, 3), (2, 0, 3, 1, 4)]
    return [Case(kind, (shape,), UNARY[kind][0], scale=3) for shape in shapes]


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
        *_any_broadcast_cases(kind),
    ]


def _any_broadcast_cases(kind: str) -> list[Case]:
    """Every rank; both operands repeated, each elsewhere; nothing; long sums."""
    shapes: list[tuple[Shape, Shape]] = [
        ((9,), (9,)),
        ((9,), (1,)),
        ((1,), (1,)),
        ((300, 1), (1, 200)),
        ((2, 1, 5), (1, 3, 1)),
        ((1, 5, 1, 7), (3, 1, 4, 1)),
        ((2, 1, 4, 1), (1, 3, 1, 5)),
        ((2, 3, 1, 5, 4), (2, 1, 6, 5, 1)),
        ((2, 1, 3, 1, 2, 17), (1, 4, 3, 5, 1, 17)),
        ((2, 3, 2, 2, 3, 2), (2, 3, 2, 2, 3, 2)),
        ((3, 0, 4), (1, 1, 4)),
        ((1, 3, 1), (2, 1, 0)),
        ((2, 3, 100, 100), (1, 3, 1, 1)),
        ((1, 600, 3, 1), (40, 600, 3, 2)),
        ((20000,), (1,)),
    ]
    return [Case(kind, pair) for pair in shapes]


def _where_cases() -> list[Case]:
    whole = (2, 6, 4, 5)
    return [
        *(Case("where", ((2, c, 3, 4),) * 3) for c in TAILS),
        Case("where", (whole, (1, 6, 1, 1), whole)),
        Case("where", (whole, whole, (1, 1, 1, 1))),
        Case("where", ((2, 1, 4, 5), (1, 6, 4, 5), (2, 6, 1, 1))),
        Case("where", ((1, 1, 4, 5), whole, whole)),
        Case("where", ((7,), (1,), (7,))),
        Case("where", ((1, 1), (30, 1), (1, 40))),
        Case("where", ((2, 1, 3, 1, 5), (1, 4, 1, 2, 5), (2, 4, 3, 2, 1))),
        Case("where", ((0, 3), (1, 3), (0, 1))),
    ]


MATH_CASES: dict[str, list[Case]] = {
    **{kind: [*elementwise_cases(kind, *settings), *_any_rank_cases(kind)] for kind, settings in UNARY.items()},
    **{kind: _broadcast_cases(kind) for kind in BINARY},
    **{kind: _any_broadcast_cases(kind) for kind in (*COMPARISONS, *LOGICAL)},
    "where": _where_cases(),
}
