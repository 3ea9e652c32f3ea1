"""Where a program's time goes."""

from __future__ import annotations

import math
from typing import Any

from . import _core
from .table import format_bytes, format_table


class Profile:
    """Steps with their times. `steps` is a list of dicts: name, kind, algorithm, output (shape), parameters, flops,
    seconds, gflops (per second), percent_of_peak (of this machine's measured peak with the threads in use), bytes (of
    the output and the parameters). A step whose algorithm is "fused" is done, and timed, in the one before it that
    took it in. Printing it shows a table."""

    def __init__(self, steps: list[dict[str, Any]]) -> None:
        self.peak_gflops = _core.peak_gflops() * _core.get_num_threads()
        self.steps = [self._complete(step) for step in steps]
        self.seconds = sum(step["seconds"] for step in self.steps)

    def _complete(self, step: dict[str, Any]) -> dict[str, Any]:
        gflops = step["flops"] / step["seconds"] / 1e9 if step["seconds"] > 0 else 0.0
        return {
            **step,
            "gflops": gflops,
            "percent_of_peak": 100 * gflops / self.peak_gflops if self.peak_gflops else 0.0,
            "bytes": 4 * (step["parameters"] + (0 if step["algorithm"] == "fused" else math.prod(step["output"]))),
        }

    def __str__(self) -> str:
        rows = [
            [
                step["name"],
                step["kind"],
                step["algorithm"] or "-",
                f"{step['seconds'] * 1e6:.1f}",
                f"{100 * step['seconds'] / self.seconds if self.seconds else 0:.1f}",
                f"{step['gflops']:.1f}",
                f"{step['percent_of_peak']:.0f}",
                format_bytes(step["bytes"]),
            ]
            for step in self.steps
        ]
        header = ["step", "op", "algorithm", "us", "% time", "GFLOP/s", "% peak", "bytes"]
        total = f"total {self.seconds * 1e6:.1f} us; peak {self.peak_gflops:.1f} GFLOP/s, {_core.isa()}"
        return format_table(header, rows, left=3) + f"\n{total}, {_core.get_num_threads()} threads"

    def __repr__(self) -> str:
        return f"<Profile: {len(self.steps)} steps, {self.seconds * 1e6:.1f} us>"
