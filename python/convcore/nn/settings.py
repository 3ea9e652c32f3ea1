"""Asks the ops whether they take a layer's settings, so that a wrong one is said where the layer is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._core import ShapeError


def check_settings(layer: str, call: Callable[[Any], object]) -> None:
    """Raises ValueError or TypeError, in the layer's name, where call(x) refuses its settings. x is a scalar, which no
    op takes: what else is right gets no further than to that."""
    try:
        call(np.float32(0))
    except ShapeError:
        return
    except (TypeError, ValueError) as error:
        raise type(error)(f"{layer}: {str(error).partition(': ')[2]}") from None
