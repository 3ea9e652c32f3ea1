"""Cases of the ops that move elements about: every rank, sizes around the vectors' widths, empty and single ones."""

from typing import Any

from case import Case


def _rearrange(x: tuple[int, ...], **attributes: Any) -> Case:
    return Case("rearrange", (x,), {key: list(value) for key, value in attributes.items()})


def _rearrange_cases() -> list[Case]:
    return [
        # transposed
        _rearrange((2, 3, 4, 5), perm=(0, 2, 3, 1)),
        _rearrange((2, 17, 5, 33), perm=(0, 3, 1, 2)),
        _rearrange((3, 20, 18), perm=(0, 2, 1)),
        _rearrange((3, 20, 18), perm=(2, 1, 0)),
        _rearrange((70, 33), perm=(1, 0)),
        _rearrange((2, 3, 4, 5, 6), perm=(0, 2, 1, 4, 3)),
        _rearrange((2, 3, 1, 5, 2, 3), perm=(5, 4, 3, 2, 1, 0)),
        # reshaped: merged, split, both, ranks 1 to 6
        _rearrange((2, 3, 4, 5), shape=(2, 60)),
        _rearrange((2, 60), shape=(2, 3, 4, 5)),
        _rearrange((2, 6, 20), shape=(2, 3, 8, 5)),
        _rearrange((2, 3, 4, 5), shape=(120,)),
        _rearrange((120,), shape=(2, 3, 4, 5)),
        _rearrange((2, 12, 5), shape=(2, 3, 2, 2, 1, 5)),
        _rearrange((2, 3, 2, 2, 1, 5), shape=(6, 20)),
        _rearrange((4, 1, 6, 1), shape=(4, 6)),
        _rearrange((4, 6), shape=(4, 6, 1, 1)),
        _rearrange((1, 1, 1), shape=(1,)),
        # shapes without a common split
        _rearrange((2, 3), shape=(3, 2)),
        _rearrange((4, 6, 5), shape=(2, 10, 6)),
        _rearrange((6, 4), view=(4, 6), perm=(1, 0), shape=(8, 3)),
        # channel shuffle; depth to space and back, in both of ONNX's orders
        _rearrange((2, 12, 5, 7), view=(2, 3, 4, 35), perm=(0, 2, 1, 3), shape=(2, 12, 5, 7)),
        _rearrange((2, 240, 9, 9), view=(2, 3, 80, 81), perm=(0, 2, 1, 3), shape=(2, 240, 9, 9)),
        _rearrange((2, 12, 3, 5), view=(2, 2, 2, 3, 3, 5), perm=(0, 3, 4, 1, 5, 2), shape=(2, 3, 6, 10)),
        _rearrange((2, 12, 3, 5), view=(2, 3, 2, 2, 3, 5), perm=(0, 1, 4, 2, 5, 3), shape=(2, 3, 6, 10)),
        _rearrange((2, 3, 6, 10), view=(2, 3, 3, 2, 5, 2), perm=(0, 3, 5, 1, 2, 4), shape=(2, 12, 3, 5)),
        # nothing, and much
        _rearrange((0, 3, 4), perm=(0, 2, 1)),
        _rearrange((3, 0, 4), shape=(0, 12)),
        _rearrange((8, 64, 24, 24), perm=(0, 2, 3, 1)),
        _rearrange((300, 2, 3, 2), perm=(1, 0, 3, 2)),
    ]


def _channels_last_cases() -> list[Case]:
    shapes = ((5,), (3, 4), (2, 3, 4), (2, 17, 5, 33), (1, 3, 1, 4), (2, 3, 2, 2, 2), (0, 3, 4, 5))
    return [Case("channels_last", (shape,)) for shape in shapes]


SHAPE_CASES = {"rearrange": _rearrange_cases(), "channels_last": _channels_last_cases()}
