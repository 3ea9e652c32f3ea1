"""What x[key] means, by NumPy's rules."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple


class Part(NamedTuple):
    """x[starts + i * steps] for i below sizes, then seen as `shape`."""

    starts: list[int]
    steps: list[int]
    sizes: list[int]
    shape: list[int]


def part_of(shape: tuple[int, ...], key: Any) -> Part:
    """key: ints, slices, None and one Ellipsis, alone or in a tuple. A single element has the shape (1,).

    Raises IndexError for indices that the shape has not, TypeError for other keys.
    """
    keys = list(key) if isinstance(key, tuple) else [key]
    dots = [i for i, k in enumerate(keys) if k is Ellipsis]
    missing = len(shape) - sum(k is not None and k is not Ellipsis for k in keys)
    if len(dots) > 1 or missing < 0:
        raise IndexError(f"index {key!r} is too long for shape {shape}")
    at = dots[0] if dots else len(keys)
    keys[at : at + 1] = [slice(None)] * missing

    part = Part([], [], [], [])
    for k in keys:
        if k is None:
            part.shape.append(1)
            continue
        axis = len(part.sizes)
        size = shape[axis]
        if isinstance(k, slice):
            start, stop, step = k.indices(size)
            count = len(range(start, stop, step))
            part.shape.append(count)
        else:
            start, step, count = _index(k, axis, size), 1, 1
        part.starts.append(start)
        part.steps.append(step)
        part.sizes.append(count)
    return part if part.shape else part._replace(shape=[1])


def _index(key: Any, axis: int, size: int) -> int:
    if not isinstance(key, bool):
        try:
            index = operator.index(key)
        except TypeError:
            pass
        else:
            if -size <= index < size:
                return index % size
            raise IndexError(f"index {index} is out of bounds for axis {axis} of size {size}")
    raise TypeError(f"a symbol is indexed by ints, slices, None and ..., got {key!r}; functional.take reads arrays")
