"""`convcore profile`."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer

import convcore

from .. import nn, optim
from . import models
from .options import BatchSize, InputShape, ModelOrName, Threads, set_threads


def profile(
    model: ModelOrName,
    shape: InputShape = None,
    batch_size: BatchSize = 1,
    rounds: Annotated[int, typer.Option(min=1, max=10000, help="Times are the median of so many runs.")] = 10,
    threads: Threads = None,
    training: Annotated[bool, typer.Option("--training", help="Of a training step, not of inference.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Print where the time goes: each step's time, GFLOP/s, % of the machine's peak, bytes moved, algorithm."""
    set_threads(threads)
    network, image, dtype = models.find(model, shape)
    x = np.random.default_rng(0).integers(0, 256, (batch_size, *image)).astype(dtype)
    if training:
        trainer = convcore.Trainer(network, nn.CrossEntropyLoss(), optim.SGD(1e-3, momentum=0.9))
        found = trainer.profile(x, np.zeros(batch_size, np.int64), rounds)
    else:
        found = convcore.compile(network, x.shape, dtype=dtype).profile(x, rounds=rounds)
    print(found.to_json() if json else found)
