"""Networks by name, and model files with what the command line keeps in them: input shape, classes, type of pixels."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import models, nn, serialization
from ..data import ArrayDataset
from .options import numbers

Shape = tuple[int, int, int]


def _lenet5(shape: Shape, num_classes: int, mean: list[float], std: list[float]) -> nn.Module:
    if shape != (1, 28, 28):
        raise ValueError(f"lenet5 takes grey images of 28 x 28, got {shape[0]} x {shape[1]} x {shape[2]} (C, H, W)")
    return models.lenet5(num_classes, mean=mean, std=std)


def _resnet20(shape: Shape, num_classes: int, mean: list[float], std: list[float]) -> nn.Module:
    return models.resnet20(num_classes, shape[0], mean=mean, std=std)


@dataclass(frozen=True)
class Entry:
    """make(shape, num_classes, mean, std): mean and std per channel, of pixels in [0, 1]."""

    make: Callable[[Shape, int, list[float], list[float]], nn.Module]
    shape: Shape  # that the network was published for


REGISTRY = {"lenet5": Entry(_lenet5, (1, 28, 28)), "resnet20": Entry(_resnet20, (3, 32, 32))}


def entry(name: str) -> Entry:
    """A network of the library."""
    if name not in REGISTRY:
        raise ValueError(f"there is no model {name!r}: choose {' or '.join(REGISTRY)}")
    return REGISTRY[name]


def build(name: str, data: ArrayDataset) -> nn.Module:
    """A fresh network for these images and classes; its first node normalises by their mean and deviation."""
    mean, std = data.mean_and_std()
    is_bytes = data.images.dtype.name == "uint8"
    unit = 255.0 if is_bytes else 1.0
    model = entry(name).make(data.shape, len(data.classes), [m / unit for m in mean], [s / unit for s in std])
    if not is_bytes:
        for module in model.modules():
            if isinstance(module, nn.Normalize):
                module.scale = 1.0
    return model


@dataclass(frozen=True)
class Signature:
    """What a trained model takes and gives."""

    shape: Shape
    dtype: str  # of the images: uint8 or float32
    classes: tuple[str, ...]

    @staticmethod
    def of(data: ArrayDataset) -> Signature:
        return Signature(data.shape, data.images.dtype.name, data.classes)

    def metadata(self) -> dict[str, str]:
        return {"images": json.dumps({"shape": self.shape, "dtype": self.dtype, "classes": self.classes})}

    def check(self, data: ArrayDataset) -> None:
        """Raises ValueError for data that the model was not made for."""
        found = f"{data.name}: holds images of {data.shape} {data.images.dtype}"
        if (data.shape, data.images.dtype.name) != (self.shape, self.dtype):
            raise ValueError(f"{found}, the model takes {self.shape} {self.dtype}")
        if data.classes != self.classes[: len(data.classes)]:
            raise ValueError(f"{data.name}: has the classes {_short(data.classes)}, the model {_short(self.classes)}")


def load(path: Path) -> tuple[nn.Module, Signature | None]:
    """A model file, and its signature if `convcore train` wrote it."""
    model = serialization.load(path)
    if any(isinstance(module, nn.ModuleList) for module in model.modules()):
        raise ValueError(f"{path}: holds a ModuleList, which runs only in the code of its owner")
    text = serialization.read(path)[1].get("images")
    if text is None:
        return model, None
    try:
        found: dict[str, Any] = json.loads(text)
        channels, height, width = (int(n) for n in found["shape"])
        if min(channels, height, width) < 1 or found["dtype"] not in ("uint8", "float32"):
            raise ValueError
        return model, Signature((channels, height, width), found["dtype"], tuple(map(str, found["classes"])))
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path}: damaged description of the images it takes") from None


def find(name: str, shape: str | None) -> tuple[nn.Module, Shape, str]:
    """A network to look at: a model file, or a network of the library for 10 classes; the shape of its images, which
    --input may give as "C,H,W", and their dtype."""
    given = numbers("--input", shape, (3,)) if shape is not None else None
    image = (given[0], given[1], given[2]) if given is not None else None
    if name in REGISTRY:
        image = image or REGISTRY[name].shape
        return REGISTRY[name].make(image, 10, [0.0], [1.0]), image, "uint8"
    model, signature = load(Path(name))
    if signature is not None:
        return model, image or signature.shape, signature.dtype
    if image is None:
        raise ValueError(f"{name}: does not say which images it takes, give --input C,H,W")
    return model, image, "float32"


def _short(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:10])} and {len(names) - 10} more"
