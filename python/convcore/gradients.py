"""Gradients as arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import rng
from .training import BatchPrograms, LossFunction

if TYPE_CHECKING:
    from .nn.module import Module
    from .symbol import Array


def value_and_grad(model: Module, loss_fn: LossFunction) -> Callable[[Any, Any], tuple[float, dict[str, Array]]]:
    """A function (x, y) -> (loss, gradients): gradients by the parameters' names, as fresh arrays of their shapes.

    loss_fn(output, y): a loss layer, or a function of symbols made of `convcore.functional`. y: integer labels, or
    float targets. Batch norm and dropout behave as in training (running statistics move). Parameters that do not
    require gradients, or that the loss does not depend on, are left out. Source: mlx.nn.value_and_grad.
    """
    programs = BatchPrograms(model, loss_fn, training=True)

    def function(x: Any, y: Any) -> tuple[float, dict[str, Array]]:
        nonlocal programs
        if programs.edited():  # perhaps other parameters are trained now
            programs = BatchPrograms(model, loss_fn, training=True)
        traced, inputs = programs.prepare(x, y)
        outputs = traced.program.forward_backward(inputs, rng.initial_seed(), rng.next_step())
        programs.written(traced, updated=False)
        return float(outputs[0]), {
            name: np.array(gradient) for name, gradient in zip(programs.names, programs.gradients, strict=True)
        }

    return function
