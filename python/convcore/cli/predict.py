"""`convcore predict`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from .. import nn
from ..data import read_image
from ..data.folder import SUFFIXES
from ..functional import softmax
from . import models
from .evaluate import Scores, check_scores, open_images, scores
from .options import BatchSize, ModelFile, Threads, set_threads


def predict(
    model: ModelFile,
    inputs: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...|DATA", help="Image files, or labelled images as for train.")
    ],
    top: Annotated[int, typer.Option(min=1, help="So many classes per image, the likeliest first.")] = 1,
    batch_size: BatchSize = 256,
    threads: Threads = None,
) -> None:
    """Print class and probability of images: one line each, columns separated by tabs."""
    set_threads(threads)
    network, signature = models.load(model)
    for path in inputs:
        if path.suffix.lower() in SUFFIXES:
            found = image_scores(network, signature, path)
            check_scores(model, found, signature, str(path))
            names = [str(path)]
        else:
            images = open_images(path, signature, None)
            found = scores(network, images, batch_size)
            check_scores(model, found, signature, images.name)
            names = [f"{path}[{index}]" for index in range(len(images))]
        classes = signature.classes if signature is not None else tuple(map(str, range(found.shape[1])))
        for line in lines(names, np.asarray(softmax(found)), classes, top):
            print(line)


def image_scores(network: nn.Module, signature: models.Signature | None, path: Path) -> Scores:
    """(1, classes) of one image file, converted and resized to what the model takes."""
    if signature is not None and signature.dtype != "uint8":
        raise ValueError(f"{path}: the model was trained on {signature.dtype} images, give an .npz of such")
    channels, size = (signature.shape[0], signature.shape[1:]) if signature is not None else (None, None)
    found: Scores = np.asarray(network(read_image(path, channels=channels, size=size)[np.newaxis]))
    return found


def lines(names: list[str], probabilities: Scores, classes: tuple[str, ...], top: int) -> Iterator[str]:
    """Name, then class and probability of the `top` likeliest."""
    for name, row in zip(names, probabilities, strict=True):
        best = np.argsort(-row, kind="stable")[:top]
        yield "\t".join([name, *(f"{classes[c]}\t{row[c]:.4f}" for c in best)])
