"""The binary version of CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html)."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from .dataset import ArrayDataset

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_RECORD = 1 + 3 * 32 * 32


def read_cifar10(files: str | PathLike[str] | Sequence[str | PathLike[str]]) -> ArrayDataset:
    """uint8 images (N, 3, 32, 32) of one or several batch files: records of a label byte and 3072 planar RGB bytes.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is empty, no multiple of 3073 bytes, or has a label above 9.
    """
    paths = [Path(files)] if isinstance(files, (str, PathLike)) else [Path(file) for file in files]
    if not paths:
        raise ValueError("read_cifar10: expected at least one file")
    batches = []
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        size = path.stat().st_size
        if size == 0 or size % _RECORD:
            raise ValueError(f"{path}: CIFAR-10 batches are records of {_RECORD} bytes, found {size} bytes: truncated?")
        records = np.fromfile(path, np.uint8).reshape(-1, _RECORD)
        if (highest := int(records[:, 0].max())) > 9:
            index = int(records[:, 0].argmax())
            raise ValueError(f"{path}: label {highest} at index {index} is outside [0, 10)")
        batches.append(records)
    records = np.concatenate(batches)
    return ArrayDataset(records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0], CLASSES, name=str(paths[0]))
