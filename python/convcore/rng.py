"""The library's random state: one NumPy generator for initial weights, one seed for dropout.

Dropout's random numbers are a function of (seed, step, element), so a run with the same seed gives the same bits for
any number of threads.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from .arguments import integer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.random import Generator

_generator: Generator | None = None
_seed: int | None = None
_steps: Iterator[int] = count()


def manual_seed(seed: int) -> None:
    """Starts all random numbers of the library anew: initial weights, dropout, shuffling of arrays given to `fit`.

    seed: 0 <= seed < 2**64. Until it is called, the seed comes from the operating system.
    Source: torch.manual_seed.
    """
    global _generator, _seed, _steps
    value = integer("manual_seed", "seed", seed)
    if not 0 <= value < 2**64:
        raise ValueError(f"manual_seed: seed must be in [0, 2**64), got {value}")
    _seed, _generator, _steps = value, np.random.default_rng(value), count()


def generator() -> Generator:
    """The generator that draws initial weights."""
    if _generator is None:
        manual_seed(initial_seed())
    assert _generator is not None
    return _generator


def initial_seed() -> int:
    """The seed in use, for dropout and for shuffling."""
    if _seed is None:
        manual_seed(int(np.random.SeedSequence().generate_state(1, np.uint64)[0]))
    assert _seed is not None
    return _seed


def next_step() -> int:
    """Numbers the random calls made outside a Trainer, which counts its own steps."""
    return next(_steps)
