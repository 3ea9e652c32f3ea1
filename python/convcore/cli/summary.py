"""`convcore summary`."""

from __future__ import annotations

from ..summary import summarize
from . import models
from .options import BatchSize, InputShape, ModelOrName


def summary(model: ModelOrName, shape: InputShape = None, batch_size: BatchSize = 1) -> None:
    """Print layers, shapes, parameters, multiply-adds, algorithms and memory."""
    network, image, dtype = models.find(model, shape)
    print(summarize(network, image, batch_size=batch_size, dtype=dtype))
