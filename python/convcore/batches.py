"""Batches of arrays: what `fit` makes of a tuple (x, y)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .arguments import integer
from .symbol import Array


def as_array(op: str, name: str, value: Any) -> Array:
    """What NumPy sees as an array of numbers. Errors begin with the op's name."""
    if isinstance(value, (list, tuple)) or hasattr(value, "__array__"):
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{op}: {name} must be an array of numbers: {error}") from None
        if array.dtype.kind in "biuf":
            return array
        raise TypeError(f"{op}: {name} must be an array of numbers, got dtype {array.dtype}")
    raise TypeError(f"{op}: {name} must be an array of numbers, got {type(value).__name__}")


def same_length(op: str, names: str, arrays: list[Array]) -> int:
    """Of arrays (N, ...): N. Raises ValueError where there is none."""
    if any(a.ndim == 0 for a in arrays):
        raise ValueError(f"{op}: {names} must be a batch (N, ...), got a scalar")
    if len({len(a) for a in arrays}) > 1:
        raise ValueError(f"{op}: {names} must have the same length, got shapes {[a.shape for a in arrays]}")
    return len(arrays[0])


def pairs(batches: Any) -> Iterator[tuple[Any, Array]]:
    """Each batch (x, y), y as an array. Raises TypeError for batches of another form."""
    for batch in batches:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise TypeError(
                f"data: every batch must be a pair (x, y), got {type(batch).__name__}; whole arrays are given as a "
                "tuple (x, y)"
            )
        y = as_array("data", "y", batch[1])
        same_length("data", "y", [y])
        yield batch[0], y


class ArrayBatches:
    """Iterates over (x, y) in batches. A shuffled epoch's order depends on (seed, epoch) alone.

    x: an array (N, ...), or a tuple of such for models of several inputs; y: an array (N, ...).
    """

    def __init__(self, x: Any, y: Any, batch_size: int, shuffle: bool = False, seed: int = 0) -> None:
        self._tuple = isinstance(x, tuple)
        self._arrays = [*(as_array("data", "x", a) for a in (x if self._tuple else (x,))), as_array("data", "y", y)]
        same_length("data", "x and y", self._arrays)
        self.batch_size = integer("data", "batch_size", batch_size)
        if self.batch_size < 1:
            raise ValueError(f"data: batch_size must be at least 1, got {batch_size}")
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self._arrays[0]) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Any, Array]]:
        epoch = self.epoch
        self.epoch += 1
        count = len(self._arrays[0])
        order = np.random.default_rng([self.seed, epoch]).permutation(count) if self.shuffle else None
        for begin in range(0, count, self.batch_size):
            part = slice(begin, begin + self.batch_size)
            *x, y = [a[part] if order is None else a[order[part]] for a in self._arrays]
            yield (tuple(x) if self._tuple else x[0]), y
