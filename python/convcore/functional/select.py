"""Functions that take parts of an array, repeat it, or put something around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arguments import axis, integer, integers, number
from ..parameter import Variable
from ..symbol import Operand, Symbol, T
from .dispatch import apply, named, shape_of
from .shape import reshape

_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def narrow(x: T, dim: int, start: int, length: int) -> T:
    """The indices from start to start + length of an axis. A start below 0 counts from the axis' end.

    Raises ValueError for an axis and for indices that x has not. Source: torch.narrow.
    """
    op, shape = "narrow", shape_of(x)
    d, size = axis(op, dim, len(shape)), integer(op, "length", length)
    first = integer(op, "start", start)
    first += shape[d] if first < 0 else 0
    if not 0 <= first <= first + size <= shape[d]:
        raise ValueError(f"{op}: start {start} and length {length} do not fit axis {d} of size {shape[d]}")
    return _part(x, d, first, size)


def split(x: T, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[T, ...]:
    """Pieces of an axis: of this size each, the last one of what is left; or of the sizes given.

    Raises ValueError for an axis that x has not, and for sizes that are not its size in all. Source: torch.split.
    """
    op, shape = "split", shape_of(x)
    d = axis(op, dim, len(shape))
    total = shape[d]
    if isinstance(split_size_or_sections, Sequence):
        sizes = integers(op, "split_size_or_sections", split_size_or_sections)
    else:
        size = integer(op, "split_size_or_sections", split_size_or_sections)
        if size < (1 if total else 0):
            raise ValueError(f"{op}: split_size_or_sections must be positive, got {size}")
        sizes = [min(size, total - first) for first in range(0, total, max(size, 1))] or [0]
    if sum(sizes) != total or min(sizes) < 0:
        raise ValueError(f"{op}: the pieces of axis {d} must be {total} in all, got {sizes}")
    return tuple(_part(x, d, sum(sizes[:i]), size) for i, size in enumerate(sizes))


def chunk(x: T, chunks: int, dim: int = 0) -> tuple[T, ...]:
    """At most so many pieces of an axis, of one size but for the last.

    Raises ValueError for an axis that x has not, and for less than one piece. Source: torch.chunk.
    """
    op, shape = "chunk", shape_of(x)
    d, count = axis(op, dim, len(shape)), integer(op, "chunks", chunks)
    if count < 1:
        raise ValueError(f"{op}: chunks must be positive, got {count}")
    return split(x, -(-shape[d] // count), d) if shape[d] else split(x, [0] * count, d)


def pad(x: T, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> T:
    """x with more around it. pad: (before, behind) of the last axis, then of the one before it, ...; negative: cropped.

    mode: "constant", which is `value`; "reflect", x mirrored at its border; "replicate", the border's elements;
    "circular", x again. Raises ValueError for other modes and wrong numbers of pads, ShapeError for what cannot be
    cropped or repeated. Source: torch.nn.functional.pad.
    """
    sizes, rank = integers("pad", "pad", pad), len(shape_of(x))
    if len(sizes) % 2 or len(sizes) > 2 * rank:
        raise ValueError(f"pad: pad must be pairs for at most {rank} axes, got {sizes}")
    if mode not in _MODES:
        raise ValueError(f"pad: mode must be one of {', '.join(_MODES)}, got {mode!r}")
    around = [0] * (2 * rank)
    for i, size in enumerate(sizes):
        around[rank - 1 - i // 2 + rank * (i % 2)] = size
    return apply("pad", {"pads": around, "mode": _MODES[mode], "value": number("pad", "value", value)}, x)


def expand(x: T, shape: Sequence[int]) -> T:
    """x in this shape, as NumPy broadcasts it: axes of size 1 are repeated, new ones in front too.

    -1, or 1, leaves an axis as it is. Raises ShapeError where x does not fit. Source: torch.Tensor.expand; ONNX Expand.
    """
    sizes, own = integers("expand", "shape", shape), shape_of(x)
    sizes = [1] * (len(own) - len(sizes)) + sizes
    new = len(sizes) - len(own)
    return apply("expand", {"shape": [own[i - new] if s == -1 and i >= new else s for i, s in enumerate(sizes)]}, x)


def tile(x: T, repeats: int | Sequence[int]) -> T:
    """x again and again, so often along each axis. Fewer numbers than axes are those of the last ones.

    Raises ValueError for negative numbers. Source: torch.tile, numpy.tile.
    """
    own: tuple[int, ...] = shape_of(x)
    counts: list[int] = [repeats] if isinstance(repeats, int) else integers("tile", "repeats", repeats)
    counts = [1] * (len(own) - len(counts)) + counts
    if len(counts) > len(own):
        x = reshape(x, (*[1] * (len(counts) - len(own)), *own))
    return apply("tile", {"repeats": counts}, x)


def take(x: T, indices: Operand, dim: int = 0) -> T:
    """The elements of an axis that have these numbers; numbers below 0 count from its end.

    indices: integers of any shape, which stands in the result where the axis stood; symbols may be computed.
    Raises ValueError for an axis or elements that x has not, ShapeError for a result of more than 6 axes.
    Source: numpy.take; ONNX Gather.
    """
    d = axis("take", dim, len(shape_of(x)))
    attributes: dict[str, Any] = {"axis": d}
    table: Any = x
    if isinstance(indices, Symbol):
        if not isinstance(x, Symbol):  # as it is, not broadcast to the rank of the indices
            table = indices.tracer.emit("channels_last", {}, (x,))
    else:
        array = np.asarray(indices.data if isinstance(indices, Variable) else indices)
        if array.dtype.kind not in "iu" and array.size:
            raise TypeError(f"take: indices must be integers, got {array.dtype}")
        indices = array.astype(np.int64)
        if isinstance(x, Symbol) or array.ndim == 0:
            attributes |= {"indices": [int(i) for i in array.ravel()], "index_shape": list(array.shape)}
    with named("take", "gather"):
        taken: T = apply("gather", attributes, table, *([] if "indices" in attributes else [indices]))
    return taken


def _part(x: T, dim: int, start: int, size: int) -> T:
    shape = list(shape_of(x))
    starts = [0] * len(shape)
    starts[dim], shape[dim] = start, size
    return apply("slice", {"starts": starts, "steps": [1] * len(shape), "sizes": shape}, x)
