"""Image files, read by Pillow (extra `image`), which is loaded at the first call."""

from __future__ import annotations

import warnings
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .dataset import ArrayDataset

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".pnm", ".tif", ".tiff", ".webp"})
_GREY = frozenset({"1", "L", "LA"})
_COLOUR = frozenset({"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr"})


def _open(file: Path) -> Image.Image:
    """Reads the header only; pixels are decoded by `_pixels`."""
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise ValueError(f"{file}: reading images needs Pillow, pip install 'convcore[image]'") from None
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(file)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ValueError(f"{file}: larger than {Image.MAX_IMAGE_PIXELS} pixels") from None
    except (OSError, ValueError, SyntaxError):
        raise ValueError(f"{file}: not an image that Pillow can read") from None
    if image.mode not in _GREY | _COLOUR:
        image.close()
        raise ValueError(f"{file}: expected 8-bit grey or colour, found mode {image.mode}")
    return image


def _pixels(file: Path, image: Image.Image, channels: int, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """(H, W, channels); `size` is (height, width)."""
    from PIL import Image

    try:
        picture = image.convert("L" if channels == 1 else "RGB")
        if size is not None and picture.size != (size[1], size[0]):
            picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"{file}: truncated or damaged image ({str(error).rstrip('.')})") from None
    return np.asarray(picture, dtype=np.uint8).reshape(picture.height, picture.width, channels)


def read_image(
    path: str | PathLike[str], *, channels: int | None = None, size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """One image file as (C, H, W) bytes: 1 channel if it is grey, else 3 (RGB); alpha is dropped.

    Args:
        path: of the file.
        channels: 1 or 3 converts; None takes the file's.
        size: (height, width) to resize to, bilinear with antialiasing.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not an image, truncated, larger than Pillow's limit; or Pillow is not installed.
    """
    if channels not in (None, 1, 3):
        raise ValueError(f"{path}: an image can be read with 1 or 3 channels, not {channels}")
    file = Path(path)
    with _open(file) as image:
        return _pixels(file, image, channels or (1 if image.mode in _GREY else 3), size).transpose(2, 0, 1)


def class_folders(folder: Path) -> list[Path]:
    """Sub-folders by name, hidden ones left out."""
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def image_files(folder: Path) -> list[Path]:
    """Image files directly in a folder, by name; others, and hidden ones, are left out."""
    files = (child for child in folder.iterdir() if child.suffix.lower() in SUFFIXES and child.is_file())
    return sorted(child for child in files if not child.name.startswith("."))


def read_image_folder(path: str | PathLike[str], *, size: tuple[int, int] | None = None) -> ArrayDataset:
    """uint8 images (N, C, H, W) of a folder with one sub-folder of image files per class, classes by name.

    C is 1 if every image is grey, else 3. All images must have one size, unless `size` (height, width) resizes them.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: no class folders, a class without images, sizes that differ, or a file that is no sound image.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    classes = class_folders(folder)
    if not classes:
        raise ValueError(f"{folder}: expected one sub-folder of images per class, found none")
    files, labels = [], []
    for label, child in enumerate(classes):
        members = image_files(child)
        if not members:
            raise ValueError(f"{child}: no image files in this class folder")
        files += members
        labels += [label] * len(members)

    grey, common = True, size
    for file in files:
        with _open(file) as image:
            grey = grey and image.mode in _GREY
            found = (image.height, image.width)
        common = common or found
        if size is None and found != common:
            raise ValueError(
                f"{file}: is {found[0]} x {found[1]} but {files[0].name} is {common[0]} x {common[1]}: give a size"
            )
    assert common is not None
    channels = 1 if grey else 3
    pixels = np.empty((len(files), *common, channels), np.uint8)
    for slot, file in zip(pixels, files, strict=True):
        with _open(file) as image:
            slot[:] = _pixels(file, image, channels, size)
    return ArrayDataset(pixels.transpose(0, 3, 1, 2), labels, [child.name for child in classes], name=str(folder))
