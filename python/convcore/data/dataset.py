"""Labelled images in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Images = NDArray[Any]  # uint8 or float32
Labels = NDArray[np.int64]
MAX_CLASSES = 1_000_000  # a larger label is taken for damage


class ArrayDataset:
    """Images of shape (N, C, H, W), uint8 or float32, with one integer label in [0, len(classes)) each.

    uint8 images stay uint8: normalisation is the first node of a network. Other real types become float32. The memory
    is channels-last, as the compiled core likes it; an array that already is (an (N, H, W, C) array seen through
    ``transpose(0, 3, 1, 2)``) is not copied.

    Args:
        images: (N, C, H, W), or (N, H, W) for one channel.
        labels: (N,) integers.
        classes: one name per class; the default is "0", "1", ... up to the largest label.
        name: begins error messages; the readers give the file's path.

    Raises:
        ValueError: shapes, lengths or labels that do not fit.
    """

    def __init__(
        self, images: ArrayLike, labels: ArrayLike, classes: Sequence[str] | None = None, *, name: str = "ArrayDataset"
    ) -> None:
        pixels = np.asarray(images)
        if pixels.ndim == 3:
            pixels = pixels[:, np.newaxis]
        if pixels.ndim != 4 or 0 in pixels.shape[1:]:
            raise ValueError(f"{name}: images must be (N, C, H, W) or (N, H, W) and not empty, got {pixels.shape}")
        if pixels.dtype.kind not in "fiub":
            raise ValueError(f"{name}: images must be real numbers, got {pixels.dtype}")
        numbers = np.asarray(labels)
        if numbers.ndim != 1 or len(numbers) != len(pixels):
            raise ValueError(f"{name}: expected {len(pixels)} labels for as many images, got shape {numbers.shape}")
        if numbers.dtype.kind not in "iu" and numbers.size:
            raise ValueError(f"{name}: labels must be integers, got {numbers.dtype}")

        self.labels: Labels = numbers.astype(np.int64)
        highest = int(self.labels.max()) if self.labels.size else -1
        if classes is None and highest >= MAX_CLASSES:
            raise ValueError(f"{name}: label {highest} at index {int(self.labels.argmax())} is no class number")
        self.classes = tuple(classes) if classes is not None else tuple(str(c) for c in range(highest + 1))
        self.name = name
        wrong = np.flatnonzero((self.labels < 0) | (self.labels >= len(self.classes)))
        if wrong.size:
            index = int(wrong[0])
            raise ValueError(f"{name}: label {self.labels[index]} at index {index} is outside [0, {len(self.classes)})")
        dtype = np.uint8 if pixels.dtype == np.uint8 else np.float32
        self._pixels = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1), dtype=dtype)

    @property
    def images(self) -> Images:
        """(N, C, H, W), a view of channels-last memory."""
        return self._pixels.transpose(0, 3, 1, 2)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        _, height, width, channels = self._pixels.shape
        return channels, height, width

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Images, int]:
        """One image (C, H, W) and its label."""
        return self.images[index], int(self.labels[index])

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self)} images {self.shape} {self._pixels.dtype}, {len(self.classes)} classes>"

    def check_finite(self) -> None:
        """Raises ValueError if a pixel is infinite or not a number."""
        if self._pixels.dtype == np.float32 and not np.isfinite(self._pixels).all():
            index = next(i for i, image in enumerate(self._pixels) if not np.isfinite(image).all())
            raise ValueError(f"{self.name}: the image at index {index} holds infinity or NaN")

    def mean_and_std(self) -> tuple[list[float], list[float]]:
        """Of the pixels, one each per channel, in the images' own units; the deviation is 1 where all are equal."""
        count = max(self._pixels[..., 0].size, 1)
        total, square = np.zeros((2, self.shape[0]))
        for start in range(0, len(self), 256):
            values = self._pixels[start : start + 256].astype(np.float64)
            total += values.sum(axis=(0, 1, 2))
            square += np.einsum("nhwc,nhwc->c", values, values)
        mean = total / count
        std = np.sqrt(np.maximum(square / count - mean * mean, 0.0))
        return mean.tolist(), np.where(std > 0, std, 1.0).tolist()

    def gather(self, indices: NDArray[np.int64]) -> tuple[Images, Labels]:
        """Copies of the images (n, C, H, W) and labels (n,) at these indices."""
        return self._pixels.take(indices, axis=0).transpose(0, 3, 1, 2), self.labels.take(indices)

    def subset(self, indices: ArrayLike) -> ArrayDataset:
        """The images at these indices, in this order, with the same classes."""
        images, labels = self.gather(np.asarray(indices, dtype=np.int64))
        return ArrayDataset(images, labels, self.classes, name=self.name)

    def split(self, fraction: float, seed: int = 0) -> tuple[ArrayDataset, ArrayDataset]:
        """Two data sets: the rest, and `fraction` of each class chosen by the seed. Both keep the order of this one.

        Every class of two images or more is in both.

        Raises:
            ValueError: the fraction is not between 0 and 1, or no class has an image to spare.
        """
        if not 0.0 < fraction < 1.0:
            raise ValueError(f"{self.name}: the fraction to split off must be between 0 and 1, got {fraction}")
        generator = np.random.default_rng(seed)
        held_out = np.zeros(len(self), dtype=bool)
        for label in range(len(self.classes)):
            members = np.flatnonzero(self.labels == label)
            count = min(max(round(fraction * len(members)), 1), len(members) - 1)
            if count > 0:
                held_out[generator.permutation(members)[:count]] = True
        if not held_out.any():
            raise ValueError(f"{self.name}: {len(self)} images are too few to split off {fraction:g} of each class")
        return self.subset(np.flatnonzero(~held_out)), self.subset(np.flatnonzero(held_out))
