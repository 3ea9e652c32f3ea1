"""A small problem to train on, and a network and trainer for it."""

from typing import Any

import numpy as np

import convcore as cc
from checks import assert_same_bits
from convcore import nn, optim
from reference import Array

CLASSES = 4


def blobs(count: int, seed: int = 0) -> tuple[Array, Array]:
    """Images whose bright quarter is their label: easy, but not linear in one pixel."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    images = rng.integers(0, 60, (count, 1, 8, 8)).astype(np.uint8)
    for picture, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        picture[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 120
    return images, labels


def network(dropout: float = 0.0) -> nn.Sequential:
    return nn.Sequential(
        nn.Normalize(0.3, 0.2),
        nn.Conv2d(1, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(dropout),
        nn.Flatten(),
        nn.Linear(96, CLASSES),
    )


def trainer(seed: int = 0, dropout: float = 0.0, **settings: Any) -> cc.Trainer:
    cc.manual_seed(seed)
    return cc.Trainer(network(dropout), nn.CrossEntropyLoss(), optim.SGD(lr=0.05, momentum=0.9), **settings)


def assert_same_weights(a: nn.Module, b: nn.Module) -> None:
    for name, value in a.state_dict().items():
        assert_same_bits(value, b.state_dict()[name], name)
