"""Arguments that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import convcore

ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A model.safetensors.", show_default=False)]
ModelOrName = Annotated[
    str,
    typer.Argument(metavar="MODEL|NAME", help="A model.safetensors, or one of lenet5, resnet20."),
]
InputShape = Annotated[
    str | None, typer.Option("--input", metavar="C,H,W", help="Default: what the model was made for.")
]
Threads = Annotated[int | None, typer.Option(min=1, max=1024, help="Default: what `convcore info` says.")]
BatchSize = Annotated[int, typer.Option(min=1, max=65536, help="Images at a time.")]
Size = Annotated[str | None, typer.Option(metavar="H[,W]", help="Resize the images of a folder.")]


def set_threads(threads: int | None) -> None:
    """Uses so many threads, if given."""
    if threads is not None:
        convcore.set_num_threads(threads)


def numbers(option: str, text: str, counts: tuple[int, ...]) -> tuple[int, ...]:
    """Positive numbers out of "1,28,28", as many as one of the counts."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) not in counts or min(found) < 1:
        wanted = " or ".join(map(str, counts))
        raise ValueError(f"{option}: expected {wanted} positive numbers separated by commas, got {text!r}")
    return found


def image_size(text: str | None) -> tuple[int, int] | None:
    """(height, width) out of "32" or "32,48"."""
    if text is None:
        return None
    found = numbers("--size", text, (1, 2))
    return found[0], found[-1]
