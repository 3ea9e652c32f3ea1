"""convcore trains and runs convolutional networks on CPUs.

    import convcore as cc
    from convcore import nn, optim, functional as F

Images have the shape (N, C, H, W), as in PyTorch; memory is channels-last. Subpackages are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

try:
    from ._core import ShapeError, __version__, get_num_threads, get_winograd, set_num_threads, set_winograd
except ImportError as error:
    raise ImportError(
        f"convcore: the compiled core could not be loaded ({error}); install the package (pip install .) rather than "
        "importing it from its source folder"
    ) from error

if TYPE_CHECKING:
    from . import data, functional, models, nn, onnx, optim
    from .compiled import CompiledBatches, CompiledProgram, compile
    from .gradients import value_and_grad
    from .history import BatchReport, History
    from .machine import info
    from .rng import manual_seed
    from .serialization import load, save
    from .state import load_state
    from .trainer import DivergenceError, Trainer, predict

_MODULES = ("data", "functional", "models", "nn", "onnx", "optim")
_NAMES = {
    "BatchReport": "history",
    "CompiledBatches": "compiled",
    "CompiledProgram": "compiled",
    "DivergenceError": "trainer",
    "History": "history",
    "Trainer": "trainer",
    "compile": "compiled",
    "info": "machine",
    "load": "serialization",
    "load_state": "state",
    "manual_seed": "rng",
    "predict": "trainer",
    "save": "serialization",
    "value_and_grad": "gradients",
}

__all__ = [
    "BatchReport",
    "CompiledBatches",
    "CompiledProgram",
    "DivergenceError",
    "History",
    "ShapeError",
    "Trainer",
    "__version__",
    "compile",
    "data",
    "functional",
    "get_num_threads",
    "get_winograd",
    "info",
    "load",
    "load_state",
    "manual_seed",
    "models",
    "nn",
    "onnx",
    "optim",
    "predict",
    "save",
    "set_num_threads",
    "set_winograd",
    "value_and_grad",
]


def __getattr__(name: str) -> Any:
    """Loads what is asked for (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _NAMES:
        value = getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
