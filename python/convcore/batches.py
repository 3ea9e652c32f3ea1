"""Batches of arrays: what `fit` makes of a tuple (x, y)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .arguments import integer
from .symbol import Array


class ArrayBatches:
    """Iterates over (x, y) in batches. A shuffled epoch's order depends on (seed, epoch) alone.

    x: an array (N, ...), or a tuple of such for models of several inputs; y: an array (N, ...).
    """

    def __init__(self, x: Any, y: Any, batch_size: int, shuffle: bool = False, seed: int = 0) -> None:
        self._tuple = isinstance(x, tuple)
        self._arrays = [np.asarray(a) for a in (*(x if self._tuple else (x,)), y)]
        if any(a.ndim == 0 for a in self._arrays) or len({len(a) for a in self._arrays}) > 1:
            raise ValueError(f"data: x and y must have the same length, got shapes {[a.shape for a in self._arrays]}")
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
