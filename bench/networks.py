"""Networks for the comparisons, each written once: `nn` is `convcore.nn` or `torch.nn`, which share their names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def lenet5(nn: Any) -> Any:
    """LeNet-5 for 28x28 digits (LeCun et al., 1998) with ReLU and max pooling: 61,706 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(),
        nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, 10),
    )  # fmt: skip


@dataclass(frozen=True)
class Network:
    build: Callable[[Any], Any]
    input_shape: tuple[int, int, int]  # (C, H, W)
    classes: int


NETWORKS = {"lenet5": Network(lenet5, (1, 28, 28), 10)}
