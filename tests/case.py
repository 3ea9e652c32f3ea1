"""One call of an op, with inputs that are the same at every run."""

import itertools
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reference import Array

Shape = tuple[int, ...]
POSITIVE = ("log", "sqrt", "power")  # input 0
WHOLE = (  # numbers of which some are equal, and some 0
    *("equal", "less", "less_equal", "greater", "greater_equal", "maximum", "minimum", "where"),
    *("logical_and", "logical_or", "logical_xor", "logical_not", "argmax", "argmin", "hardmax", "topk"),
)
WEIGHTED = ("cross_entropy", "nll_loss", "multi_margin_loss", "bce_with_logits")


def statistics_of(x: Array, parts: int) -> Array:
    """What batch_norm may be given of x, as a convolution leaves it: of each part of the pixels, their number, and each
    channel's mean and sum of squared deviations. The parts are of different sizes; one is empty if there are four."""
    pixels = np.moveaxis(x.astype(np.float64), 1, -1).reshape(-1, x.shape[1])
    cuts = np.sort(np.arange(parts + 1) ** 2 * len(pixels) // parts**2)
    if parts == 4:
        cuts[2] = cuts[1]
    rows = []
    for part in (pixels[a:b] for a, b in itertools.pairwise(cuts)):
        mean = part.mean(0) if len(part) else np.full(x.shape[1], np.nan)
        rows.append(np.concatenate([[len(part)], mean, ((part - mean) ** 2).sum(0)]))
    return np.asarray(rows, np.float32)


@dataclass(frozen=True)
class Case:
    """One call of an op. shapes: of its inputs; None: an absent optional input."""

    kind: str
    shapes: tuple[Shape | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    classes: int = 0  # > 0: input 1 holds labels below it
    dtype: str = "float32"  # of input 0
    scale: float = 1.0
    offset: float = 0.0

    @property
    def id(self) -> str:
        shapes = "-".join("none" if s is None else "x".join(map(str, s)) or "scalar" for s in self.shapes)
        words = (f"{k}={','.join(map(str, v)) if isinstance(v, list) else v}" for k, v in self.attributes.items())
        offset = [f"offset={self.offset:g}"] if self.offset else []
        return " ".join([shapes, *words, *offset, *([] if self.dtype == "float32" else [self.dtype])])

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(f"{self.kind} {self.id}".encode()))

    def inputs(self) -> list[Array | None]:
        """float32 inputs, normal around `offset`; the same ones at every call."""
        rng = self.rng()
        made: list[Array | None] = []
        for i, shape in enumerate(self.shapes):
            if shape is None:
                made.append(None)
            elif self.classes and i == 1:
                made.append(rng.integers(0, self.classes, shape))
            elif self.kind == "batch_norm" and i == 6:
                assert made[0] is not None
                made.append(statistics_of(made[0], shape[0]))
            elif i == 0 and self.dtype == "uint8":
                made.append(rng.integers(0, 256, shape).astype(np.uint8))
            else:
                values = rng.standard_normal(shape) * self.scale + (self.offset if i == 0 else 0)
                # A variance, or weights of classes.
                positive = (self.kind == "batch_norm" and i == 4) or (self.kind in WEIGHTED and i == 2)
                positive = positive or (self.kind in POSITIVE and i == 0)
                positive = positive or self.attributes.get("function") == "log_sum"
                values = np.rint(values) if self.kind in WHOLE else values
                made.append(np.asarray(np.abs(values) + 0.1 if positive else values, np.float32))
        return made
