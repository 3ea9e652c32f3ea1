"""Timing that can be trusted on a shared machine: warm up, alternate the rivals, show median, minimum and spread."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import convcore


@dataclass(frozen=True)
class Timing:
    """Seconds of one call."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def minimum(self) -> float:
        return min(self.samples)

    @property
    def spread(self) -> float:
        """The middle half of the samples, as a share of the median."""
        quarter, _, three_quarters = statistics.quantiles(self.samples, n=4)
        return (three_quarters - quarter) / self.median

    def __str__(self) -> str:
        return f"{self.median * 1e6:9.1f} {self.minimum * 1e6:9.1f} {self.spread:5.0%}"


HEADER = f"{'median us':>9} {'minimum':>9} {'sprd':>5}"


def alternate(calls: Sequence[Callable[[], object]], rounds: int = 15, block: float = 0.01) -> list[Timing]:
    """Times each call in turn, A B A B, in blocks of about `block` seconds.

    Blocks, because each rival's idle threads still spin for a moment after its last call and would slow a rival that
    is called only once.
    """
    repeats = []
    for call in calls:
        for _ in range(3):
            call()
        start = time.perf_counter()
        call()
        repeats.append(max(1, math.ceil(block / (time.perf_counter() - start))))
    samples: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, count, seconds in zip(calls, repeats, samples, strict=True):
            call()  # brings its data back into the caches and wakes its threads
            start = time.perf_counter()
            for _ in range(count):
                call()
            seconds.append((time.perf_counter() - start) / count)
    return [Timing(tuple(seconds)) for seconds in samples]


def machine() -> str:
    """What ratios are to be read with: the instruction set, and the multiply-add peak measured now."""
    found = convcore.info()
    return f"ISA {found['isa']}, peak {found['peak_gflops']:.1f} GFLOP/s per thread"


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))
