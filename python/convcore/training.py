"""Training programs: a model and its loss, compiled for each shape of batch, sharing one block of gradients."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ._core import get_num_threads, get_winograd
from .compiled import Spec, Traced, spec_of, trace
from .nn.module import Module, latest_edit, newest_edit
from .parameter import Parameter, Variable, clock
from .symbol import Array, Symbol

if TYPE_CHECKING:
    from numpy.typing import NDArray

LossFunction: TypeAlias = Callable[[Any, Any], Any]  # (output, target) symbols to a scalar symbol

_KEPT = 8


class BatchPrograms:
    """Programs of one model and one loss by the shapes of the batch; the eight last used are kept.

    Each gives the loss, and the number of right answers where targets are labels and outputs (N, C).
    training: with backward passes. All programs then train the same parameters, named `names`, and write their
    gradients into the same block.
    """

    def __init__(self, model: Module, loss: LossFunction, training: bool) -> None:
        self.model = model
        self.loss = loss
        self.training = training
        self.names: list[str] = []
        self.parameters: list[Parameter] = []
        self.gradients: list[NDArray[np.float32]] = []  # one view per parameter
        self._block: NDArray[np.float32] | None = None
        self._programs: OrderedDict[Any, Traced] = OrderedDict()
        self._seen = -1
        self._edit = -1

    def edited(self) -> bool:
        """Whether the model or the loss was edited since the last program was made."""
        if self._seen == latest_edit():
            return False
        self._seen = latest_edit()
        return bool(self._programs) and self._edit != self._newest_edit()

    def _newest_edit(self) -> int:
        return max(newest_edit(m) for m in (self.model, self.loss) if isinstance(m, Module))

    def prepare(self, x: Any, y: Any) -> tuple[Traced, tuple[Any, ...]]:
        """The program for a batch, and its inputs. x: an array, or a tuple of arrays; y: an array."""
        arrays = [np.asarray(a) for a in x] if isinstance(x, tuple) else [np.asarray(x)]
        target = np.asarray(y)
        specs = [spec_of(a) for a in arrays]
        target_spec = (target.shape, self._target_dtype(target))
        if self.edited():
            self._programs.clear()
        inputs = (*arrays, target)
        if self._hides_labels(target_spec):
            inputs = (*inputs, np.where(target == self._ignore_index, -1, target))
        key = (get_num_threads(), get_winograd(), *specs, target_spec)  # programs are planned for these
        traced = self._programs.get(key)
        if traced is None:
            traced = self._build(specs, target_spec)
            self._programs[key] = traced
            self._seen, self._edit = latest_edit(), self._newest_edit()  # forward may set attributes
            if len(self._programs) > _KEPT:
                self._programs.popitem(last=False)
        else:
            self._programs.move_to_end(key)
        return traced, inputs

    @property
    def _ignore_index(self) -> int:
        index = getattr(self.loss, "ignore_index", None)
        return -100 if index is None else int(index)

    def _hides_labels(self, target: Spec) -> bool:
        """Ignored labels that are class numbers get to correct_count as -1, in an input of their own."""
        return target[1] == "int64" and self._ignore_index >= 0

    def counted(self, target: Array) -> float:
        """How many of the batch's images count in its loss: all but those with ignored labels (in parts, where an
        image has several). target: (N, ...)."""
        if not target.size or self._target_dtype(target) != "int64":
            return len(target)
        return int(np.count_nonzero(target != self._ignore_index)) * len(target) / target.size

    def _target_dtype(self, target: Array) -> str:
        declared = getattr(self.loss, "target_dtype", None)
        if declared is not None:
            return str(declared)
        return "int64" if target.dtype.kind in "iu" else "float32"

    def _build(self, specs: Sequence[Spec], target: Spec) -> Traced:
        def forward(*symbols: Symbol) -> list[Symbol]:
            *inputs, labels = symbols[: len(specs) + 1]
            output = self.model(*inputs)
            value = self.loss(output, labels)
            if not isinstance(value, Symbol):
                raise TypeError(f"loss: must return a symbol made by convcore.functional, got {type(value).__name__}")
            if labels.dtype == "int64" and labels.ndim == 1 and isinstance(output, Symbol) and output.ndim == 2:
                return [value, output.tracer.emit("correct_count", {}, (output, symbols[-1]))]
            return [value]

        names = ["x"] if len(specs) == 1 else [f"x{i}" for i in range(len(specs))]
        inputs = [*zip(names, specs, strict=True), ("y", target)]
        if self._hides_labels(target):
            inputs.append(("y_counted", target))
        traced = trace({"": self.model, "loss": self.loss}, forward, inputs, self.training)
        if self.training:
            self._share(traced)
        traced.bind(self._block)
        return traced

    def _share(self, traced: Traced) -> None:
        if self._block is None:
            if not traced.parameters:
                raise ValueError("training: the model has no parameters to train")
            program = traced.program
            self.names, self.parameters = traced.names, traced.parameters
            self._block = np.zeros(program.gradient_size, np.float32)
            for i, parameter in enumerate(traced.parameters):
                offset = program.gradient_offset(i)
                self.gradients.append(self._block[offset : offset + parameter.size].reshape(parameter.shape))
        elif [id(p) for p in traced.parameters] != [id(p) for p in self.parameters]:
            raise ValueError(
                "training: the model's parameters (or which of them require gradients) changed since training began; "
                "make a new Trainer"
            )

    def written(self, traced: Traced, updated: bool = True) -> None:
        """Says that a training run wrote running statistics, and parameters if an update followed."""
        variables: list[Variable] = [*traced.buffers]
        clock.stamp([*self.parameters, *variables] if updated else variables)
