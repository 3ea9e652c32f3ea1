"""NumPy archives."""

from __future__ import annotations

import zipfile
import zlib
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np

from .dataset import ArrayDataset

_PAIRS = {
    "train": (("x", "y"), ("images", "labels"), ("x_train", "y_train"), ("train_images", "train_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels"), ("x", "y"), ("images", "labels")),
}
_DAMAGE = (ValueError, OSError, EOFError, KeyError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


def read_npz(path: str | PathLike[str], split: Literal["train", "test"] = "train") -> ArrayDataset:
    """Images and labels of an .npz file, under the names x and y, or images and labels.

    Images are (N, C, H, W), (N, H, W) or, told by a last axis of 1 or 3 and a second that is neither, (N, H, W, C).
    In a file with x_train, y_train, x_test and y_test (train_images and so on), `split` chooses. Labels are (N,), or
    (N, 1). Class names may stand under `classes`. Object arrays are refused: nothing is unpickled.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not an .npz file, damaged, arrays missing, or arrays that do not fit each other.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        with file.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            names = next((pair for pair in _PAIRS[split] if pair[0] in archive and pair[1] in archive), None)
            if names is None:
                raise ValueError(f"expected arrays x and y, or images and labels, found {', '.join(archive) or 'none'}")
            images, labels = archive[names[0]], archive[names[1]]
            classes = [str(name) for name in archive["classes"].ravel()] if "classes" in archive else None
    except _DAMAGE as error:
        raise ValueError(f"{file}: not a readable .npz of images and labels ({str(error).rstrip('.')})") from None
    if images.ndim == 4 and images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    return ArrayDataset(images, labels, classes, name=str(file))
