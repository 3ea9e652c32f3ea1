# SPDX-License-Identifier: BSD-3-Clause
"""The operators by family; importing them fills `convcore.onnx.registry`."""

from . import activation, arithmetic, conv, loss, matrix, norm, pool, quantize, recurrent, reduce, resize, select, shape
from .constant import FOLDED

__all__ = [
    "FOLDED", "activation", "arithmetic", "conv", "loss", "matrix", "norm", "pool", "quantize", "recurrent", "reduce",
    "resize", "select", "shape",
]  # fmt: skip
