"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from . import _core, rng
from .arguments import integer, number
from .batches import ArrayBatches
from .history import Average, BatchReport, History
from .nn.module import Module
from .optim import LRScheduler, Optimizer, ReduceLROnPlateau
from .training import BatchPrograms, LossFunction

if TYPE_CHECKING:
    import os

    from .symbol import Array

Data: TypeAlias = Iterable[tuple[Any, Any]] | tuple[Any, Any]
Scheduler: TypeAlias = LRScheduler | ReduceLROnPlateau


class DivergenceError(ValueError):
    """The loss became infinite or not a number."""


class Trainer:
    """Trains a model: `step` for one batch, `fit` for epochs. A step is one call into the core: forward, backward and
    update, compiled once for each shape of batch.

    loss: a loss layer, or a function (output, target) -> scalar made of `convcore.functional`.
    scheduler: stepped by `fit` (per epoch, per batch or with the validation loss: its `interval`).
    max_grad_norm: gradients are scaled so that their common norm is at most this; 0 or None: never. Source:
    torch.nn.utils.clip_grad_norm_.

    Attributes: epoch (completed ones), step_count, history (of all fits), stop (callbacks set it to end `fit` after
    the epoch), last_grad_norm (before clipping).
    """

    def __init__(
        self,
        model: Module,
        loss: LossFunction,
        optimizer: Optimizer,
        scheduler: Scheduler | None = None,
        *,
        max_grad_norm: float | None = None,
    ) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"Trainer: model must be a Module, got {type(model).__name__}")
        if not callable(loss):
            raise TypeError(f"Trainer: loss must be a loss layer or a function, got {type(loss).__name__}")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"Trainer: optimizer must come from convcore.optim, got {type(optimizer).__name__}")
        if scheduler is not None and scheduler.optimizer is not optimizer:
            raise ValueError("Trainer: the scheduler was made for another optimizer")
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.max_grad_norm = 0.0 if max_grad_norm is None else number("Trainer", "max_grad_norm", max_grad_norm)
        if not 0 <= self.max_grad_norm < math.inf:
            raise ValueError(f"Trainer: max_grad_norm must be finite and not negative, got {max_grad_norm}")
        self.seed = rng.initial_seed()
        self.epoch = 0
        self.step_count = 0
        self.history = History()
        self.stop = False
        self._core: _core.Optimizer | None = None
        self._training = BatchPrograms(model, loss, training=True)
        self._evaluation = BatchPrograms(model, loss, training=False)

    # --- one batch ------------------------------------------------------------------------------------------------

    def step(self, x: Any, y: Any) -> float:
        """Forward, backward and update on one batch; returns the loss before the update.

        x: (N, C, H, W), uint8 or anything that becomes float32 (a tuple for models of several inputs);
        y: integer labels (N,), or float targets. Raises what the ops raise, with the layer's name.
        """
        return self._step(x, y)[0]

    def _step(self, x: Any, y: Any) -> list[float]:
        """The loss, and the number of right answers where y are labels."""
        traced, inputs = self._training.prepare(x, y)
        if self._core is None:
            self._core = self.optimizer.bind(self._training.names, self._training.parameters, self.max_grad_norm)
        scalars = traced.program.step(inputs, self._core, self.optimizer.lr, self.seed, self.step_count)
        self.step_count += 1
        self._training.written(traced)
        return scalars

    @property
    def last_grad_norm(self) -> float:
        """Norm of all gradients of the last step, before clipping; 0 without max_grad_norm."""
        return 0.0 if self._core is None else self._core.last_grad_norm

    # --- epochs ---------------------------------------------------------------------------------------------------

    def fit(
        self,
        train_data: Data,
        epochs: int = 1,
        validation: Data | None = None,
        callbacks: Sequence[object] = (),
        *,
        batch_size: int = 64,
        shuffle: bool = True,
        progress: Callable[[BatchReport], object] | None = None,
        verbose: bool = False,
        keep_best: bool = False,
    ) -> History:
        """Trains for so many epochs more.

        train_data, validation: arrays (x, y), or an iterable of batches (x, y) with a length that can be iterated
        again, as `convcore.data.DataLoader`; batch_size and shuffle (seeded by `manual_seed`) are for arrays.
        callbacks: functions (trainer, epoch, logs) called after each epoch, or objects with any of the methods
        on_fit_begin(trainer), on_epoch_begin(trainer, epoch), on_batch_end(trainer, report), on_epoch_end(trainer,
        epoch, logs), on_fit_end(trainer). Epochs count from 1. progress: called with a BatchReport after each batch.
        verbose: prints a line per epoch. keep_best: ends with the weights of the best validation loss.
        Returns the trainer's History. Raises DivergenceError naming epoch and batch if the loss is not finite.
        """
        epochs = integer("fit", "epochs", epochs)
        batches = self._batches(train_data, batch_size, shuffle)
        held_out = None if validation is None else self._batches(validation, batch_size, False)
        if keep_best and held_out is None:
            raise ValueError("fit: keep_best needs a validation")
        if self.scheduler is not None:
            self.scheduler.prepare(epochs, len(batches))
        best: tuple[float, dict[str, Array] | None] = (math.inf, None)
        last = self.epoch + max(epochs, 0)
        self.stop = False
        _call(callbacks, "on_fit_begin", self)
        while self.epoch < last and not self.stop:
            _call(callbacks, "on_epoch_begin", self, self.epoch + 1)
            begin = time.perf_counter()
            logs = self._train_epoch(batches, last, callbacks, progress)
            if held_out is not None:
                logs |= self._evaluate(held_out).logs("val_")
            logs["seconds"] = time.perf_counter() - begin
            self._step_scheduler_after_epoch(logs)
            self.epoch += 1
            self.history.add(logs)
            if keep_best and logs["val_loss"] < best[0]:
                best = (logs["val_loss"], self.model.state_dict())
            if verbose:
                print(_line(self.epoch, last, logs), flush=True)
            _call(callbacks, "on_epoch_end", self, self.epoch, logs)
        if best[1] is not None:
            self.model.load_state_dict(best[1])
        _call(callbacks, "on_fit_end", self)
        return self.history

    def _train_epoch(
        self,
        batches: Any,
        epochs: int,
        callbacks: Sequence[object],
        progress: Callable[[BatchReport], object] | None,
    ) -> dict[str, float]:
        if hasattr(batches, "set_epoch"):
            batches.set_epoch(self.epoch)
        per_batch = self.scheduler if isinstance(self.scheduler, LRScheduler) else None
        if per_batch is not None and per_batch.interval != "batch":
            per_batch = None
        wants_reports = progress is not None or any(hasattr(c, "on_batch_end") for c in callbacks)
        average = self._average()
        count = len(batches)
        begin = time.perf_counter()
        lr = self.optimizer.lr
        for i, (x, y) in enumerate(batches, 1):
            lr = self.optimizer.lr
            scalars = self._step(x, y)
            if not math.isfinite(scalars[0]):
                raise DivergenceError(
                    f"fit: the loss is {scalars[0]} at epoch {self.epoch + 1}, batch {i} of {count} (learning rate "
                    f"{lr:g}): try a smaller learning rate or max_grad_norm, and look for NaN in the data"
                )
            images = len(y)
            average.add(scalars, images)
            if per_batch is not None:
                per_batch.step()
            if wants_reports:
                rate = average.images / max(time.perf_counter() - begin, 1e-9)
                report = BatchReport(self.epoch + 1, epochs, i, count, images, average.loss, average.accuracy, rate)
                _call(callbacks, "on_batch_end", self, report)
                if progress is not None:
                    progress(report)
        if not average.images:
            raise ValueError("fit: train_data gave no batches")
        return average.logs() | {"lr": lr}

    def _step_scheduler_after_epoch(self, logs: Mapping[str, float]) -> None:
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(logs.get("val_loss", logs["loss"]))
        elif self.scheduler is not None and self.scheduler.interval == "epoch":
            self.scheduler.step()

    def evaluate(self, data: Data, *, batch_size: int = 256) -> dict[str, float]:
        """Loss and, where targets are labels, accuracy over the data, in inference mode. data: as in `fit`."""
        average = self._evaluate(self._batches(data, batch_size, False))
        if not average.images:
            raise ValueError("evaluate: data gave no batches")
        return average.logs()

    def _average(self) -> Average:
        return Average(summed=getattr(self.loss, "reduction", "mean") == "sum")

    def _evaluate(self, batches: Any) -> Average:
        average = self._average()
        for x, y in batches:
            traced, inputs = self._evaluation.prepare(x, y)
            version = max((v.version for v in (*traced.parameters, *traced.buffers)), default=0)
            outputs = traced.program.run(inputs, version)
            average.add([float(o) for o in outputs], len(y))
        return average

    def predict(self, x: Any, *, batch_size: int = 256) -> Array:
        """The model's output for many inputs x: (N, ...), in batches, in inference mode. Returns (N, ...)."""
        return predict(self.model, x, batch_size=batch_size)

    def _batches(self, data: Any, batch_size: int, shuffle: bool) -> Any:
        if isinstance(data, tuple) and len(data) == 2:
            return ArrayBatches(*data, batch_size, shuffle, self.seed)
        if not hasattr(data, "__iter__") or not hasattr(data, "__len__"):
            raise TypeError(
                f"data: expected arrays (x, y) or an iterable of batches with a length, got {type(data).__name__}"
            )
        return data

    # --- going on later -------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that training needs to go on exactly: weights, optimizer, schedule, counters, seed, history."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "epoch": self.epoch,
            "step_count": self.step_count,
            "seed": self.seed,
            "history": {key: list(values) for key, values in self.history.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave, of a Trainer with the same model, optimizer and schedule. Raises ValueError."""
        missing = {"model", "optimizer", "scheduler", "epoch", "step_count", "seed", "history"} - set(state)
        if missing:
            raise ValueError(f"Trainer: the state lacks {', '.join(sorted(missing))}")
        if (state["scheduler"] is None) != (self.scheduler is None):
            raise ValueError("Trainer: the state and this trainer must both have a scheduler, or neither")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.epoch = int(state["epoch"])
        self.step_count = int(state["step_count"])
        self.seed = int(state["seed"])
        self.history = History({key: list(values) for key, values in state["history"].items()})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `state_dict()` to a safetensors file, atomically."""
        from .serialization import save_state

        save_state(self.state_dict(), path)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Reads what `save` wrote. Raises ValueError for files of anything else."""
        from .serialization import load_state

        self.load_state_dict(load_state(path))


def predict(model: Module, x: Any, *, batch_size: int = 256) -> Array:
    """As `Trainer.predict`, without a trainer."""
    array = np.asarray(x)
    size = integer("predict", "batch_size", batch_size)
    if size < 1:
        raise ValueError(f"predict: batch_size must be at least 1, got {batch_size}")
    if array.ndim == 0:
        raise ValueError("predict: x must be a batch (N, ...), got a scalar")
    if len(array) <= size:
        return np.asarray(model(array))
    parts = [model(array[begin : begin + size]) for begin in range(0, len(array), size)]
    return np.concatenate(parts)


def _call(callbacks: Sequence[object], event: str, *arguments: Any) -> None:
    for callback in callbacks:
        method = getattr(callback, event, None)
        if method is None and event == "on_epoch_end" and callable(callback):
            method = callback
        if method is not None:
            method(*arguments)


def _line(epoch: int, epochs: int, logs: Mapping[str, float]) -> str:
    parts = [f"epoch {epoch}/{epochs}"]
    for key, form in (("loss", ".4f"), ("accuracy", ".2%"), ("val_loss", ".4f"), ("val_accuracy", ".2%")):
        if key in logs:
            parts.append(f"{key} {logs[key]:{form}}")
    return "  ".join([*parts, f"lr {logs['lr']:.3g}", f"{logs['seconds']:.1f} s"])
