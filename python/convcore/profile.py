"""Where a program's time goes."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import Any

from . import _core
from .table import format_bytes, format_table


class Profile:
    """Steps with their times, of inference or of a training step. `steps` is a list of dicts: name, kind, pass
    ("forward", "backward", "update"), algorithm (of each pass, for a convolution's backward), output (shape),
    parameters, flops, seconds (the median of the rounds), gflops (per second), percent_of_peak (of this machine's
    measured peak with the threads in use; Winograd is counted as direct convolution, so that it may be above 100),
    bytes (read and written, each array once), threads (the most it ran on). A step whose algorithm is "fused" is done,
    and timed, in the one that took it in. Printing it shows a table; to_json() gives the same as JSON."""

    def __init__(self, rounds: Sequence[list[dict[str, Any]]]) -> None:
        self.isa = _core.isa()
        self.threads = _core.get_num_threads()
        self.peak_gflops = _core.peak_gflops() * self.threads
        self.rounds = len(rounds)
        self.steps = [self._step(same) for same in zip(*rounds, strict=True)]
        self.seconds = sum(step["seconds"] for step in self.steps)

    def _step(self, rounds: tuple[dict[str, Any], ...]) -> dict[str, Any]:
        seconds = statistics.median(step["seconds"] for step in rounds)
        gflops = rounds[0]["flops"] / seconds / 1e9 if seconds > 0 else 0.0
        share = 100 * gflops / self.peak_gflops if self.peak_gflops else 0.0
        return {**rounds[0], "seconds": seconds, "gflops": gflops, "percent_of_peak": share}

    def to_json(self) -> str:
        """An object: seconds, peak_gflops (of all threads), threads, isa, rounds and steps."""
        keys = ("seconds", "peak_gflops", "threads", "isa", "rounds", "steps")
        return json.dumps({key: getattr(self, key) for key in keys}, indent=1)

    def __str__(self) -> str:
        rows = [
            [
                step["name"],
                step["kind"],
                step["pass"],
                step["algorithm"] or "-",
                f"{step['seconds'] * 1e6:.1f}",
                f"{100 * step['seconds'] / self.seconds if self.seconds else 0:.1f}",
                f"{step['gflops']:.1f}",
                f"{step['percent_of_peak']:.0f}",
                format_bytes(step["bytes"]),
                str(step["threads"]),
            ]
            for step in self.steps
        ]
        header = ["step", "op", "pass", "algorithm", "us", "% time", "GFLOP/s", "% peak", "bytes", "threads"]
        total = f"total {self.seconds * 1e6:.1f} us; peak {self.peak_gflops:.1f} GFLOP/s, {self.isa}"
        return format_table(header, rows, left=4) + f"\n{total}, {self.threads} threads"

    def __repr__(self) -> str:
        return f"<Profile: {len(self.steps)} steps, {self.seconds * 1e6:.1f} us>"
