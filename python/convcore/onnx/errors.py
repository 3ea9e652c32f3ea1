# SPDX-License-Identifier: BSD-3-Clause
"""What cannot be computed."""

from __future__ import annotations

from collections.abc import Sequence


class UnsupportedError(ValueError):
    """A sound ONNX model holds what convcore does not compute. `problems`: one line each, all of them."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("onnx: not supported: " + "; ".join(self.problems))
