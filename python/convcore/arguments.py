"""Reading the arguments of layers and functions: ints, pairs and paddings in all the forms PyTorch users write.

Only types and lengths are checked here; the op checks the values. Errors begin with the op's name.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

IntOrPair: TypeAlias = int | Sequence[int]
Padding: TypeAlias = int | Sequence[int] | Sequence[Sequence[int]] | str

_PADDING_NAMES = ("valid", "same", "full")


def integer(op: str, name: str, value: Any) -> int:
    """An int; NumPy's integers will do, bools and floats will not."""
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise TypeError(f"{op}: {name} must be an int, got {value!r}")


def integers(op: str, name: str, value: Any) -> list[int]:
    """A sequence of ints."""
    items = _ints(value, tuple(range(65))) if hasattr(value, "__len__") or hasattr(value, "__iter__") else None
    if items is None:
        raise TypeError(f"{op}: {name} must be a sequence of ints, got {value!r}")
    return items


def axis(op: str, dim: Any, rank: int) -> int:
    """The axis that `dim` names, counted from the front."""
    value = integer(op, "dim", dim)
    if not -rank <= value < rank:
        raise ValueError(f"{op}: dim must be from {-rank} to {rank - 1}, got {dim}")
    return value % rank


def number(op: str, name: str, value: Any) -> float:
    if not isinstance(value, bool):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    raise TypeError(f"{op}: {name} must be a number, got {value!r}")


def numbers(op: str, name: str, value: Any) -> list[float]:
    """A number or a sequence of numbers."""
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{op}: {name} must be a number or a sequence of numbers, got {value!r}")
    try:
        items = list(value)
    except TypeError:
        items = [value]
    return [number(op, name, item) for item in items]


def _ints(value: Any, lengths: tuple[int, ...]) -> list[int] | None:
    """value as a list of ints, or None where it is nothing of the kind."""
    if isinstance(value, (str, bytes)):
        return None
    try:
        items = list(value)
    except TypeError:
        items = [value]
    if len(items) not in lengths or any(isinstance(item, bool) for item in items):
        return None
    try:
        return [operator.index(item) for item in items]
    except TypeError:
        return None


def pair(op: str, name: str, value: Any) -> list[int]:
    """An int (for both) or (h, w), as [h, w]."""
    items = _ints(value, (1, 2))
    if items is None:
        raise TypeError(f"{op}: {name} must be an int or a pair of ints, got {value!r}")
    return items * 2 if len(items) == 1 else items


def single(op: str, name: str, value: Any) -> int:
    """An int or a tuple of one, of a 1-D op."""
    items = _ints(value, (1,))
    if items is None:
        raise TypeError(f"{op}: {name} must be an int, got {value!r}")
    return items[0]


def padding2d(op: str, value: Any, names: bool = True) -> list[int] | str:
    """int | (h, w) | ((top, bottom), (left, right)) | "valid" | "same" | "full", as [top, bottom, left, right]."""
    if isinstance(value, str):
        return _padding_name(op, value, names)
    items = _ints(value, (1, 2))
    if items is not None:
        return [items[0], items[0], items[-1], items[-1]]
    sides = _sides(value)
    if sides is None or len(sides) != 2:
        forms = "an int, (h, w) or ((top, bottom), (left, right))" + (_names_text if names else "")
        raise TypeError(f"{op}: padding must be {forms}, got {value!r}")
    return sides[0] + sides[1]


def padding1d(op: str, value: Any, names: bool = True) -> list[int] | str:
    """int | (p,) | (left, right) | ((left, right),) | a name, as [0, 0, left, right]."""
    if isinstance(value, str):
        return _padding_name(op, value, names)
    items = _ints(value, (1, 2))
    if items is None:
        sides = _sides(value)
        if sides is None or len(sides) != 1:
            forms = "an int or (left, right)" + (_names_text if names else "")
            raise TypeError(f"{op}: padding must be {forms}, got {value!r}")
        items = sides[0]
    return [0, 0, items[0], items[-1]]


_names_text = ', "valid", "same" or "full"'


def _padding_name(op: str, value: str, names: bool) -> str:
    if not names:
        raise TypeError(f"{op}: padding must be given in numbers, got {value!r}")
    if value not in _PADDING_NAMES:
        raise ValueError(f'{op}: padding must be "valid", "same", "full" or numbers, got {value!r}')
    return value


def _sides(value: Any) -> list[list[int]] | None:
    if isinstance(value, (str, bytes)):
        return None
    try:
        sides = [_ints(side, (2,)) for side in value]
    except TypeError:
        return None
    return None if any(side is None for side in sides) else [side for side in sides if side is not None]


def reduction(op: str, value: Any, *, none: bool = False) -> str:
    """none: whether "none" will do."""
    if value not in ("mean", "sum") and not (none and value == "none"):
        names = '"mean", "sum" or "none"' if none else '"mean" or "sum"'
        raise ValueError(f"{op}: reduction must be {names}, got {value!r}")
    return str(value)
