"""Batches for training and evaluation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .dataset import ArrayDataset, Images, Labels


class DataLoader:
    """Iterates over a data set in batches of images (n, C, H, W) and labels (n,), n <= batch_size.

    Images keep their type: uint8 goes into the network as it is. The order of a shuffled epoch depends on
    (seed, epoch) alone. Each iteration is one epoch and moves to the next; `set_epoch` chooses one, so that resumed
    training meets the same batches. A shuffled batch is a fresh array, one in order is a view of the data set.

    Args:
        dataset: images and labels.
        batch_size: images per batch.
        shuffle: draw a new order for each epoch.
        seed: of the shuffling; not negative.
        drop_last: leave out the last batch if it is smaller than the others.
    """

    def __init__(
        self,
        dataset: ArrayDataset,
        batch_size: int = 64,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"DataLoader: batch_size must be at least 1, got {batch_size}")
        if seed < 0:
            raise ValueError(f"DataLoader: seed must not be negative, got {seed}")
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is this epoch, counted from 0."""
        if epoch < 0:
            raise ValueError(f"DataLoader: epoch must not be negative, got {epoch}")
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches per epoch."""
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[tuple[Images, Labels]]:
        epoch = self.epoch
        self.epoch += 1
        return self._batches(epoch)

    def _batches(self, epoch: int) -> Iterator[tuple[Images, Labels]]:
        data = self.dataset
        order = np.random.default_rng([self.seed, epoch]).permutation(len(data)) if self.shuffle else None
        for batch in range(len(self)):
            part = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
            yield (data.images[part], data.labels[part]) if order is None else data.gather(order[part])
