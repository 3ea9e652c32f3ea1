"""Recognises what a path holds."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Literal

from .cifar import read_cifar10
from .dataset import ArrayDataset
from .folder import class_folders, image_files, read_image_folder
from .idx import find_idx_pairs, is_idx_name, read_idx_pair
from .npz import read_npz

Split = Literal["train", "test"]
_PREFIXES: dict[Split, tuple[str, ...]] = {"train": ("train",), "test": ("test", "t10k", "val")}
_KINDS = "IDX files, CIFAR-10 .bin files, a folder of images per class, or an .npz file"


def open_dataset(
    path: str | PathLike[str], *, split: Split = "train", size: tuple[int, int] | None = None
) -> ArrayDataset:
    """The labelled images at a path.

    * a folder with IDX files (MNIST: train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz), or such an images file;
    * a folder with CIFAR-10's data_batch_1.bin to data_batch_5.bin and test_batch.bin, or one .bin file;
    * a folder with one sub-folder of image files per class;
    * an .npz file with arrays x and y, or images and labels.

    Args:
        path: of the folder or file.
        split: which to take where a folder or file holds a training set and a test set; what holds one gives that.
        size: (height, width) to which the images of a folder are resized; other formats have one size.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: nothing known is there, or it is damaged.
    """
    if split not in _PREFIXES:
        raise ValueError(f"open_dataset: split must be 'train' or 'test', got {split!r}")
    place = Path(path)
    if not place.exists():
        raise FileNotFoundError(f"{place}: no such file or folder")
    if place.is_dir():
        return _open_folder(place, split, size)
    if is_idx_name(place):
        return read_idx_pair(place)
    if place.suffix == ".npz":
        return read_npz(place, split)
    if place.suffix == ".bin":
        return read_cifar10(place)
    raise ValueError(f"{place}: not a known kind of data, expected {_KINDS}")


def _open_folder(folder: Path, split: Split, size: tuple[int, int] | None) -> ArrayDataset:
    if pairs := find_idx_pairs(folder):
        return read_idx_pair(pairs[_choose(folder, list(pairs), split)])
    if batches := {file.stem: file for file in sorted(folder.glob("*_batch*.bin"))}:
        wanted = [batches[name] for name in batches if name.startswith("test") == (split == "test")]
        return read_cifar10(wanted or list(batches.values()))
    children = {child.name: child for child in class_folders(folder)}
    if any(image_files(child) for child in children.values()):
        return read_image_folder(folder, size=size)
    halves = [name for name in children if name.startswith(sum(_PREFIXES.values(), ()))]
    if halves and len(halves) == len(children):
        return read_image_folder(children[_choose(folder, halves, split)], size=size)
    found = ", ".join(sorted(child.name for child in folder.iterdir())[:4]) or "nothing"
    raise ValueError(f"{folder}: no known kind of data, expected {_KINDS}, found {found}")


def _choose(folder: Path, names: list[str], split: Split) -> str:
    if len(names) == 1:
        return names[0]
    chosen = [name for name in names if name.lower().startswith(_PREFIXES[split])]
    if len(chosen) != 1:
        raise ValueError(f"{folder}: holds {len(names)} data sets ({', '.join(names)}), give the path of one of them")
    return chosen[0]
