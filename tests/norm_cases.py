"""Cases of layer, group and instance norm: every rank and axis, channels around vectors' widths, many parts."""

from typing import Any

from case import Case, Shape
from conv_cases import TAILS


def layer_norm(x: Shape, axis: int, affine: str = "wb", offset: float = 0.0, **a: Any) -> Case:
    axis = axis % len(x)
    weight = (*[1] * axis, *x[axis:])
    shapes = (x, weight if "w" in affine else None, weight if "b" in affine else None)
    return Case("layer_norm", shapes, {"axis": axis, **a}, offset=offset)


def group_norm(x: Shape, groups: int, affine: str = "wb", offset: float = 0.0, **a: Any) -> Case:
    """groups: 0 for instance_norm."""
    shapes = (x, (x[1],) if "w" in affine else None, (x[1],) if "b" in affine else None)
    kind, more = ("group_norm", {"num_groups": groups}) if groups else ("instance_norm", {})
    return Case(kind, shapes, {**more, **a}, offset=offset)


def _layer_cases() -> list[Case]:
    return [
        *(layer_norm((3, c), 1) for c in TAILS),
        *(layer_norm((2, c, 3, 4), 1) for c in TAILS),
        *(layer_norm((2, c, 3, 4), -1) for c in TAILS),
        *(layer_norm((2, 5, c), -1) for c in TAILS),
        *(layer_norm((2, 3, 4, 5), axis) for axis in range(4)),
        *(layer_norm((2, 3, 4, 5, 6), axis) for axis in range(5)),
        *(layer_norm((2, 3, 2, 2, 3, 4), axis) for axis in (0, 3, 5)),
        *(layer_norm((4, 7, 5), axis) for axis in range(3)),
        layer_norm((6, 9), 0),
        layer_norm((33,), 0),
        layer_norm((1, 1), 1),
        layer_norm((3, 40), 1, ""),
        layer_norm((3, 40), 1, "b"),
        layer_norm((2, 3, 4, 20), -1, "w", eps=0.1),
        layer_norm((2, 3, 4, 20), 1, ""),
        layer_norm((4, 50), 1, offset=30.0),
        layer_norm((3, 2048), 1, offset=30.0),
        layer_norm((2, 9000), 1, offset=30.0),
        layer_norm((2, 6, 30), -1, offset=30.0),
        layer_norm((0, 7), 1),
        layer_norm((0, 7, 3, 2), 2),
        layer_norm((2, 33, 30, 29), 1),  # blocks of many parts
        layer_norm((1, 96, 40, 40), 2),
        layer_norm((40, 768), 1),
        layer_norm((2, 197, 96), -1),
        layer_norm((70, 2, 3), 0),
    ]


def _group_cases() -> list[Case]:
    return [
        *(group_norm((2, c, 3, 4), 1) for c in TAILS),
        *(group_norm((2, 12, 3, 4), g) for g in (1, 2, 3, 4, 6, 12)),
        group_norm((3, 12), 4),
        group_norm((3, 12, 7), 3),
        group_norm((2, 6, 3, 2, 4), 3),
        group_norm((2, 6, 1, 1, 4), 2),
        group_norm((2, 1, 30, 61), 1),
        group_norm((2, 4, 9, 13, 1), 2),
        group_norm((2, 4, 2, 3, 2, 3), 2),
        group_norm((2, 6, 5, 5), 2, ""),
        group_norm((2, 6, 5, 5), 2, "b", eps=0.1),
        group_norm((2, 6, 5, 5), 2, offset=30.0),
        group_norm((0, 6, 5, 5), 2),
        group_norm((2, 64, 24, 24), 32),
        group_norm((1, 8, 6, 20, 21), 2),
        group_norm((2, 130, 12, 12), 13),
    ]


def _instance_cases() -> list[Case]:
    return [
        *(group_norm((2, c, 3, 4), 0) for c in TAILS),
        group_norm((3, 12, 7), 0),
        group_norm((2, 1, 20011), 0),
        group_norm((2, 6, 3, 2, 4), 0, ""),
        group_norm((2, 6, 5, 5), 0, "w"),
        group_norm((2, 6, 5, 5), 0, offset=30.0),
        group_norm((0, 6, 5, 5), 0),
        group_norm((2, 40, 30, 30), 0),
    ]


NORM_CASES = {"layer_norm": _layer_cases(), "group_norm": _group_cases(), "instance_norm": _instance_cases()}
