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


def _slice(x: tuple[int, ...], *axes: tuple[int, int, int]) -> Case:
    """axes: (start, step, size) of each."""
    starts, steps, sizes = ([axis[i] for axis in axes] for i in range(3))
    return Case("slice", (x,), {"starts": starts, "steps": steps, "sizes": sizes})


def _slice_cases() -> list[Case]:
    return [
        _slice((2, 17, 5, 6), (0, 1, 2), (3, 1, 9), (0, 1, 5), (0, 1, 6)),
        _slice((2, 6, 9, 33), (1, 1, 1), (5, -1, 6), (1, 3, 3), (32, -2, 16)),
        _slice((2, 6, 9, 33), (0, 1, 2), (0, 1, 6), (2, 1, 5), (4, 1, 20)),
        _slice((9,), (8, -2, 5)),
        _slice((7, 9), (1, 2, 3), (8, -1, 9)),
        _slice((2, 20, 18), (0, 1, 2), (19, -3, 6), (1, 1, 17)),
        _slice((2, 3, 4, 5, 6), (0, 1, 2), (1, 1, 1), (3, -1, 4), (0, 2, 3), (2, 1, 3)),
        _slice((2, 3, 2, 2, 3, 4), (1, 1, 1), (0, 2, 2), (1, -1, 2), (0, 1, 2), (0, 1, 3), (3, -3, 2)),
        _slice((2, 3, 4), (0, 1, 2), (3, 1, 0), (0, 1, 4)),
        _slice((0, 3, 4), (0, 1, 0), (1, 1, 2), (3, -1, 4)),
        _slice((2, 3, 4, 4), (1, 5, 1), (0, 1, 3), (3, -9, 1), (0, 1, 4)),
        _slice((4, 96, 40, 40), (0, 1, 4), (16, 1, 64), (0, 1, 40), (0, 1, 40)),
    ]


def _pad(x: tuple[int, ...], *pads: int, mode: str = "constant", **more: float) -> Case:
    return Case("pad", (x,), {"pads": list(pads), "mode": mode, **more})


def _pad_cases() -> list[Case]:
    return [
        _pad((2, 5, 4, 6), 0, 0, 1, 2, 0, 0, 3, 1),
        _pad((2, 5, 4, 6), 1, 2, 0, 0, 0, 3, 0, 1, value=-1.5),
        _pad((2, 17, 6, 7), 0, -3, -1, 2, 0, 1, 0, -4),
        _pad((6,), -5, 5),
        _pad((2, 3), -1, 0, -1, 2),
        _pad((0, 3, 4, 4), 1, 0, 0, 0, 0, 1, 0, 0, value=2.0),
        _pad((2, 0, 3), 0, 0, 1, 0, 0, 1),
        *(
            case
            for mode in ("edge", "reflect", "wrap")
            for case in (
                _pad((2, 5, 4, 6), 0, 0, 1, 2, 0, 0, 3, 1, mode=mode),
                _pad((2, 4, 3, 5), 1, 2, -1, 4, 0, 3, 2, -2, mode=mode),
                _pad((7,), 2, 3, mode=mode),
                _pad((3, 4), 7, 9, 1, 11, mode=mode),
                _pad((3, 1, 5), 0, 2, 12, 0, 1, 13, mode=mode),
                _pad((2, 2, 3, 2, 3), 0, 0, 1, 2, 1, 1, 0, 1, 1, 2, mode=mode),
                _pad((1, 2, 3, 2, 2, 3), 0, 1, 1, 0, 0, 2, 0, 1, 2, 1, 0, 1, mode=mode),
                _pad((0, 2, 3), 0, 0, 1, 0, 0, 2, mode=mode),
                _pad((2, 17, 30, 30), 0, 0, 3, 3, 0, 0, 3, 3, mode=mode),
            )
        ),
    ]


def _expand_cases() -> list[Case]:
    shapes = [
        ((1, 17, 1, 1), [2, 17, 3, 4]),
        ((2, 1, 4, 5), [2, 9, 4, 5]),
        ((2, 3, 1, 5), [1, 1, 4, 1]),
        ((3, 1), [2, 4, 3, 5]),
        ((1,), [2, 3, 4]),
        ((5,), [2, 3, 4, 5]),
        ((1, 6), [5, 6]),
        ((3, 4, 1), [2, 3, 4, 5]),
        ((1, 2, 1, 3, 1), [2, 2, 3, 3, 2]),
        ((2, 1, 3), [2, 3, 1, 2, 4, 3]),
        ((1, 3, 1), [0, 3, 2]),
        ((0, 1, 3), [2, 0, 4, 3]),
        ((4, 1, 40, 40), [4, 32, 40, 40]),
        ((1, 1, 1, 1), [2, 3, 50, 50]),
    ]
    return [Case("expand", (x,), {"shape": shape}) for x, shape in shapes]


def _tile_cases() -> list[Case]:
    shapes = [
        ((2, 3, 4, 5), [2, 1, 3, 1]),
        ((2, 9, 4, 5), [1, 2, 1, 2]),
        ((4,), [3]),
        ((3, 5), [2, 3]),
        ((2, 3, 4), [1, 3, 2]),
        ((2, 1, 2, 3, 2), [1, 4, 2, 1, 3]),
        ((1, 2, 1, 3, 2, 2), [2, 1, 2, 2, 1, 2]),
        ((2, 3), [0, 2]),
        ((0, 3, 2), [2, 1, 3]),
        ((2, 33, 20, 20), [1, 2, 1, 2]),
    ]
    return [Case("tile", (x,), {"repeats": repeats}) for x, repeats in shapes]


def _gather_cases() -> list[Case]:
    given = [
        ((2, 6, 4, 5), 1, [5, 0, -1, 0, 3], [5]),
        ((2, 6, 4, 5), 3, [4, 1, -5, 0], [2, 2]),
        ((2, 6, 4, 5), 0, [1], []),
        ((2, 6, 4), 2, [3, -1, 2], [1, 3, 1]),
        ((7,), 0, [-1, 0, 3, 3], [4]),
        ((7,), 0, [2], []),
        ((7, 20), 0, [1, 6, 6, 0, -7, 2], [3, 2]),
        ((2, 3, 2, 4, 2), 3, [3, 3, 1], [3]),
        ((2, 3, 2, 2, 2, 3), 5, [2, 0], [2]),
        ((3, 4), 1, [], [0, 2]),
        ((0, 4, 3, 3), 2, [2, 1], [2]),
    ]
    computed = [
        ((5, 3), (2, 4), 0),
        ((2, 6, 4, 5), (7,), 2),
        ((30, 16), (4, 9, 2), 0),
        ((6,), (2, 3), 0),
        ((2, 9), (0,), 1),
    ]
    return [
        *(Case("gather", (x, indices), {"axis": axis}, classes=x[axis]) for x, indices, axis in computed),
        *(Case("gather", (x,), {"axis": axis, "indices": i, "index_shape": shape}) for x, axis, i, shape in given),
    ]


SHAPE_CASES = {
    "rearrange": _rearrange_cases(),
    "channels_last": _channels_last_cases(),
    "slice": _slice_cases(),
    "pad": _pad_cases(),
    "expand": _expand_cases(),
    "tile": _tile_cases(),
    "gather": _gather_cases(),
}
