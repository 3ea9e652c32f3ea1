"""`convcore evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
import typer
from numpy.typing import NDArray

from .. import nn
from ..data import ArrayDataset, DataLoader, open_dataset
from ..table import format_table
from . import models
from .options import BatchSize, ModelFile, Size, Threads, image_size, set_threads

Scores: TypeAlias = NDArray[np.float32]


def evaluate(
    model: ModelFile,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="As for train; where a test set is there, it is taken.")],
    batch_size: BatchSize = 256,
    size: Size = None,
    per_class: Annotated[bool, typer.Option("--per-class", help="Recall and precision of each class.")] = False,
    threads: Threads = None,
) -> None:
    """Measure a model's loss and accuracy on labelled images."""
    set_threads(threads)
    network, signature = models.load(model)
    images = open_images(data, signature, size)
    logits = scores(network, images, batch_size)
    check_scores(model, logits, signature, images.name)
    if int(images.labels.max()) >= logits.shape[1]:
        index = int(images.labels.argmax())
        raise ValueError(
            f"{images.name}: label {images.labels[index]} at index {index} is outside [0, {logits.shape[1]})"
        )
    loss = nn.CrossEntropyLoss()(logits, images.labels)
    answers = logits.argmax(axis=1)
    right = int((answers == images.labels).sum())
    print(f"{len(images)} images  loss {loss:.4f}  accuracy {right / len(images):.2%}")
    if per_class:
        names = signature.classes if signature is not None else tuple(map(str, range(logits.shape[1])))
        print(class_table(names, images.labels, answers))


def open_images(data: Path, signature: models.Signature | None, size: str | None) -> ArrayDataset:
    """A test set that fits the model; images of a folder are resized to what the model takes."""
    wanted = image_size(size) or (signature.shape[1:] if signature is not None else None)
    images = open_dataset(data, split="test", size=wanted)
    if not len(images):
        raise ValueError(f"{images.name}: holds no images")
    images.check_finite()
    if signature is not None:
        signature.check(images)
    return images


def scores(network: nn.Module, images: ArrayDataset, batch_size: int) -> Scores:
    """The model's output for every image, (N, classes)."""
    parts = [np.asarray(network(x)) for x, _ in DataLoader(images, batch_size)]
    found: Scores = np.concatenate(parts)
    return found


def check_scores(model: Path, found: Scores, signature: models.Signature | None, name: str) -> None:
    """Raises ValueError if the model of this file does not give a finite score per class for the images `name`."""
    if found.ndim != 2:
        raise ValueError(f"{model}: gives an array of shape {found.shape[1:]} per image, not one score per class")
    if signature is not None and found.shape[1] != len(signature.classes):
        raise ValueError(f"{model}: gives {found.shape[1]} scores for {len(signature.classes)} classes")
    finite = np.isfinite(found).all(axis=1)
    if not finite.all():
        raise ValueError(f"{model}: gives infinity or NaN for {name}, first for image {int(finite.argmin())}")


def class_table(names: tuple[str, ...], labels: NDArray[Any], answers: NDArray[Any]) -> str:
    """Recall: found of the class's images. Precision: right of those taken for the class."""
    rows = []
    for index, name in enumerate(names):
        members, taken = labels == index, answers == index
        right = int((members & taken).sum())
        rows.append([name, str(members.sum()), _share(right, int(members.sum())), _share(right, int(taken.sum()))])
    return format_table(["class", "images", "recall", "precision"], rows)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"
