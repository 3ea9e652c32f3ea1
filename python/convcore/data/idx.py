"""The IDX format of MNIST (http://yann.lecun.com/exdb/mnist/): a big-endian header, then the values, C order."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from .dataset import ArrayDataset

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_DEFLATE_LIMIT = 1032  # Deflate never shrinks data by more than this factor (zlib's technical notes).
_IMAGES = re.compile(r"^(?P<set>.*)images(?P<dot>[-.])idx3-ubyte(?:\.gz)?$")
_LABELS = re.compile(r"^(?P<set>.*)labels(?P<dot>[-.])idx1-ubyte(?:\.gz)?$")


def read_idx(path: str | PathLike[str]) -> NDArray[Any]:
    """The array in an IDX file, gzipped or not, in native byte order. The file's size must be exactly the header's.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not an IDX file, truncated, damaged, or longer than its header says.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    size = file.stat().st_size
    with file.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            if not zipped:
                return _parse(file, raw, size)
            with gzip.GzipFile(fileobj=raw) as unzipped:
                return _parse(file, cast(BinaryIO, unzipped), size * _DEFLATE_LIMIT)
        except EOFError:
            raise ValueError(f"{file}: truncated, the gzip data ends too early after {size} bytes") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{file}: damaged gzip data ({error})") from None


def _parse(file: Path, stream: BinaryIO, most: int) -> NDArray[Any]:
    """`most`: bytes the stream can hold at the utmost, so that a false header cannot ask for more memory."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or magic[3] == 0:
        raise ValueError(f"{file}: not an IDX file, it begins with {magic.hex(' ') or 'nothing'}")
    dtype, rank = np.dtype(_TYPES[magic[2]]), magic[3]
    header = stream.read(4 * rank)
    if len(header) < 4 * rank:
        raise ValueError(f"{file}: truncated in its header, found {4 + len(header)} of {4 + 4 * rank} bytes")
    shape = struct.unpack(f">{rank}I", header)
    expected = math.prod(shape) * dtype.itemsize
    if expected > most:
        raise ValueError(f"{file}: truncated, its header {shape} asks for {expected} bytes of data")
    data = stream.read(expected)
    if len(data) < expected:
        raise ValueError(f"{file}: truncated, its header {shape} asks for {expected} bytes of data, found {len(data)}")
    if stream.read(1):
        raise ValueError(f"{file}: longer than the {expected} bytes of data that its header {shape} asks for")
    return np.frombuffer(data, dtype).astype(dtype.newbyteorder("="), copy=False).reshape(shape)


def labels_file(images: Path) -> Path:
    """The labels' file beside an images' file: train-images-idx3-ubyte.gz -> train-labels-idx1-ubyte(.gz)."""
    match = _IMAGES.match(images.name)
    if match is None:
        raise ValueError(f"{images}: the name of an IDX images file ends in images-idx3-ubyte or images-idx3-ubyte.gz")
    stem = f"{match['set']}labels{match['dot']}idx1-ubyte"
    for name in (stem, stem + ".gz"):
        if (candidate := images.with_name(name)).is_file():
            return candidate
    raise FileNotFoundError(f"{images}: its labels {stem} or {stem}.gz are not beside it")


def find_idx_pairs(folder: Path) -> dict[str, Path]:
    """Images files of a folder by the name of their set ("train", "t10k"), unzipped ones first."""
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if (match := _IMAGES.match(file.name)) and file.is_file():
            found.setdefault(match["set"].strip("-_."), file)
    return found


def is_idx_name(file: Path) -> bool:
    """Whether a file's name is that of an IDX images or labels file."""
    return bool(_IMAGES.match(file.name) or _LABELS.match(file.name))


def read_idx_pair(images: str | PathLike[str], labels: str | PathLike[str] | None = None) -> ArrayDataset:
    """uint8 images (N, 1, H, W) of an IDX file with the labels of another, by default the one that belongs to it.

    Raises:
        FileNotFoundError, ValueError: as `read_idx`; also for files that hold something else than images and labels.
    """
    file = Path(images)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    if _LABELS.match(file.name):
        raise ValueError(f"{file}: these are the labels, give the images file")
    beside = Path(labels) if labels is not None else labels_file(file)
    pixels, numbers = read_idx(file), read_idx(beside)
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"{file}: images must be (N, H, W) bytes, found {pixels.shape} of {pixels.dtype}")
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise ValueError(f"{beside}: labels must be (N,) integers, found {numbers.shape} of {numbers.dtype}")
    if len(pixels) != len(numbers):
        raise ValueError(f"{beside}: holds {len(numbers)} labels for the {len(pixels)} images of {file.name}")
    return ArrayDataset(pixels, numbers, name=str(file))
