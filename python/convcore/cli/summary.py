"""`convcore summary`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..summary import summarize
from . import models
from .options import numbers


def summary(
    model: Annotated[
        str, typer.Argument(metavar="MODEL|NAME", help=f"A model.safetensors, or one of {', '.join(models.REGISTRY)}.")
    ],
    shape: Annotated[
        str | None, typer.Option("--input", metavar="C,H,W", help="Default: what the model was made for.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=65536, help="Images at a time.")] = 1,
) -> None:
    """Print layers, shapes, parameters, multiply-adds, algorithms and memory."""
    given = numbers("--input", shape, (3,)) if shape is not None else None
    dtype = "uint8"
    if model in models.REGISTRY:
        image = given or models.REGISTRY[model].shape
        network = models.REGISTRY[model].make((image[0], image[1], image[2]), 10, [0.0], [1.0])
    else:
        network, signature = models.load(Path(model))
        if given is None and signature is None:
            raise ValueError(f"{model}: does not say which images it takes, give --input C,H,W")
        image = given or (signature.shape if signature is not None else ())
        dtype = signature.dtype if signature is not None else "float32"
    print(summarize(network, image, batch_size=batch_size, dtype=dtype))
