"""What `convcore train` shows: a line per epoch, and on a terminal a live bar below them."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..history import BatchReport


class Reporter(Protocol):
    """Receives what happens in training; a context manager."""

    def __enter__(self) -> Reporter: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def batch(self, report: BatchReport) -> None:
        """A batch is done."""

    def line(self, text: str) -> None:
        """Prints a line, for instance at an epoch's end."""


class LineReporter:
    """Plain lines, for logs and pipes."""

    def __enter__(self) -> LineReporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def batch(self, report: BatchReport) -> None:
        return None

    def line(self, text: str) -> None:
        print(text, flush=True)


class LiveReporter(LineReporter):
    """A bar with loss, accuracy, images per second and the time left for all epochs."""

    _PERIOD = 0.15  # seconds between two drawings; the time between is all the training's

    def __init__(self, console: Console, epochs: int, images: int, done: int) -> None:
        """images: per epoch; done: epochs behind a resumed run."""
        self._epochs = epochs
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=None),
            TextColumn("loss {task.fields[loss]:.4f}  accuracy {task.fields[accuracy]:.2%}"),
            TextColumn("{task.fields[rate]:,.0f} images/s"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task(
            "train",
            total=images * epochs,
            completed=images * done,
            epoch=done + 1,
            epochs=epochs,
            loss=0.0,
            accuracy=0.0,
            rate=0.0,
            visible=False,
        )
        self._waiting = 0
        self._drawn = time.perf_counter()

    def __enter__(self) -> LiveReporter:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def batch(self, report: BatchReport) -> None:
        self._waiting += report.images
        now = time.perf_counter()
        if now - self._drawn < self._PERIOD:
            return
        self._progress.update(
            self._task,
            advance=self._waiting,
            visible=True,
            refresh=True,
            epoch=report.epoch,
            loss=report.loss,
            accuracy=report.accuracy,
            rate=report.images_per_second,
        )
        self._waiting, self._drawn = 0, now

    def line(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)


def reporter(epochs: int, images: int, done: int) -> Reporter:
    """A live one on a terminal, else lines."""
    console = Console()
    return LiveReporter(console, epochs, images, done) if console.is_terminal else LineReporter()
