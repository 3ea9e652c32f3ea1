"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from . import _core, rng
from .arguments import integer, number
from .batches import ArrayBatches, as_array, pairs, same_length
from .history import Average, BatchReport, History
from .nn.module import Module
from .optim import LRScheduler, Optimizer, ReduceLROnPlateau
from .training import BatchPrograms, LossFunction

if TYPE_CHECKING:
    import os

    from .profile import Profile
    from .symbol import Array

Data: TypeAlias = Iterable[tuple[Any, Any]] | tuple[Any, Any]
Scheduler: TypeAlias = LRScheduler | ReduceLROnPlateau

_EVENTS = ("on_fit_begin", "on_epoch_begin", "on_batch_end", "on_epoch_end", "on_fit_end")


class DivergenceError(ValueError):
    """The loss or a weight became infinite or not a number."""


class Trainer:
    """Trains a model: `step` for one batch, `fit` for epochs. A step is one call into the core: forward, backward and
    update, compiled once for each shape of batch.

    loss: a loss layer, or a function (output, target) -> scalar made of `convcore.functional`.
    scheduler: stepped by `fit` (per epoch, per batch or with the validation loss: its `interval`).
    max_grad_norm: gradients are scaled so that their common norm is at most this; 0 or None: never. Source:
    torch.nn.utils.clip_grad_norm_.

    model, loss and optimizer stay those it was made with. Layers and settings within them may be edited between steps,
    but not which parameters are trained.

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
        if scheduler is not None and not isinstance(scheduler, (LRScheduler, ReduceLROnPlateau)):
            raise TypeError(f"Trainer: scheduler must come from convcore.optim, got {type(scheduler).__name__}")
        if scheduler is not None and scheduler.optimizer is not optimizer:
            raise ValueError("Trainer: the scheduler was made for another optimizer")
        self._model = model
        self._loss = loss
        self._optimizer = optimizer
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

    @property
    def model(self) -> Module:
        return self._model

    @property
    def loss(self) -> LossFunction:
        return self._loss

    @property
    def optimizer(self) -> Optimizer:
        return self._optimizer

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

    def profile(self, x: Any, y: Any, rounds: int = 10) -> Profile:
        """Trains on the batch (x and y as for `step`), so many steps after a first one, and times their parts, in
        seconds: each layer forward and backward, and the update. Raises as `step`, and ValueError for less than one
        round."""
        from .profile import Profile

        if integer("profile", "rounds", rounds) < 1:
            raise ValueError(f"profile: rounds must be at least 1, got {rounds}")
        self.step(x, y)
        traced, inputs = self._training.prepare(x, y)
        steps = [traced.program.profile(inputs, self._core, self.optimizer.lr) for _ in range(rounds)]
        self.step_count += rounds
        self._training.written(traced)
        return Profile(steps)

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

        train_data, validation: arrays (x, y), a `convcore.data.ArrayDataset`, or an iterable of batches (x, y) with a
        length that can be iterated again, as `convcore.data.DataLoader`; batch_size and shuffle (seeded by
        `manual_seed`) are for the first two.
        callbacks: functions (trainer, epoch, logs) called after each epoch, or objects with any of the methods
        on_fit_begin(trainer), on_epoch_begin(trainer, epoch), on_batch_end(trainer, report), on_epoch_end(trainer,
        epoch, logs), on_fit_end(trainer). Epochs count from 1. progress: called with a BatchReport after each batch.
        verbose: prints a line per epoch. keep_best: ends with the weights of the best validation loss.
        Means are over the images (and labels) that the loss does not ignore.
        Returns the trainer's History. Raises DivergenceError, naming the epoch and what it was, if a batch's loss, a
        weight after the epoch or the validation loss is not finite.
        """
        epochs = integer("fit", "epochs", epochs)
        if epochs < 0:
            raise ValueError(f"fit: epochs must not be negative, got {epochs}")
        _check_callbacks(callbacks, progress)
        batches = self._batches(train_data, batch_size, shuffle)
        held_out = None if validation is None else self._batches(validation, batch_size, False)
        if held_out is not None and not len(held_out):
            raise ValueError("fit: validation gave no batches")
        if keep_best and held_out is None:
            raise ValueError("fit: keep_best needs a validation")
        if self.scheduler is not None:
            self.scheduler.prepare(epochs, len(batches))
        best: tuple[float, dict[str, Array] | None] = (math.inf, None)
        last = self.epoch + epochs
        self.stop = False
        _call(callbacks, "on_fit_begin", self)
        while self.epoch < last and not self.stop:
            _call(callbacks, "on_epoch_begin", self, self.epoch + 1)
            begin = time.perf_counter()
            logs = self._train_epoch(batches, last, callbacks, progress)
            if held_out is not None:
                logs |= self._evaluate(held_out, "fit: validation").logs("val_")
                loss = logs["val_loss"]
                if not math.isfinite(loss):
                    raise DivergenceError(f"fit: the validation loss is {loss} after epoch {self.epoch + 1}")
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
        for i, (x, y) in enumerate(pairs(batches), 1):
            lr = self.optimizer.lr
            scalars = self._step(x, y)
            counted = self._training.counted(y)
            if counted and not math.isfinite(scalars[0]):
                raise DivergenceError(
                    f"fit: the loss is {scalars[0]} at epoch {self.epoch + 1}, batch {i} of {count} (learning rate "
                    f"{lr:g}): try a smaller learning rate or max_grad_norm, and look for NaN in the data"
                )
            images = len(y)
            average.add(scalars, images, counted)
            if per_batch is not None:
                per_batch.step()
            if wants_reports:
                rate = average.images / max(time.perf_counter() - begin, 1e-9)
                report = BatchReport(self.epoch + 1, epochs, i, count, images, average.loss, average.accuracy, rate)
                _call(callbacks, "on_batch_end", self, report)
                if progress is not None:
                    progress(report)
        _check_counted(average, "fit: train_data")
        self._check_weights()
        return average.logs() | {"lr": lr}

    def _check_weights(self) -> None:
        """The loss of the last batch was taken before its update."""
        for name, parameter in zip(self._training.names, self._training.parameters, strict=True):
            if not np.isfinite(parameter.memory).all():
                raise DivergenceError(
                    f"fit: {name} is not finite after epoch {self.epoch + 1}: try a smaller learning rate or "
                    "max_grad_norm"
                )

    def _step_scheduler_after_epoch(self, logs: Mapping[str, float]) -> None:
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(logs.get("val_loss", logs["loss"]))
        elif self.scheduler is not None and self.scheduler.interval == "epoch":
            self.scheduler.step()

    def evaluate(self, data: Data, *, batch_size: int = 256) -> dict[str, float]:
        """Loss and, where targets are labels, accuracy over the data, in inference mode. data: as in `fit`.

        Labels that the loss ignores count in neither. Raises ValueError if the loss is not finite.
        """
        average = self._evaluate(self._batches(data, batch_size, False), "evaluate: data")
        if not math.isfinite(average.loss):
            raise ValueError(f"evaluate: the loss is {average.loss}: look for NaN in the data and in the weights")
        return average.logs()

    def _average(self) -> Average:
        return Average(summed=getattr(self.loss, "reduction", "mean") == "sum")

    def _evaluate(self, batches: Any, what: str) -> Average:
        average = self._average()
        for x, y in pairs(batches):
            traced, inputs = self._evaluation.prepare(x, y)
            version = max((v.version for v in (*traced.parameters, *traced.buffers)), default=0)
            outputs = traced.program.run(inputs, version)
            average.add([float(o) for o in outputs], len(y), self._evaluation.counted(y))
        _check_counted(average, what)
        return average

    def predict(self, x: Any, *, batch_size: int = 256) -> Any:
        """The model's output for many inputs x, in batches, in inference mode.

        x: an array (N, ...), or a tuple of such for models of several inputs. Returns an array (N, ...), or a tuple of
        such from models of several outputs.
        """
        return predict(self.model, x, batch_size=batch_size)

    def _batches(self, data: Any, batch_size: int, shuffle: bool) -> Any:
        if isinstance(data, tuple) and len(data) == 2:
            return ArrayBatches(*data, batch_size, shuffle, self.seed)
        from .data import ArrayDataset, DataLoader

        if isinstance(data, ArrayDataset):
            return DataLoader(data, _batch_size("data", batch_size), shuffle, self.seed)
        if isinstance(data, (np.ndarray, str)) or not hasattr(data, "__iter__") or not hasattr(data, "__len__"):
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
        if not isinstance(state, Mapping):
            raise TypeError(f"Trainer: the state must be a dict, got {type(state).__name__}")
        missing = {"model", "optimizer", "scheduler", "epoch", "step_count", "seed", "history"} - set(state)
        if missing:
            raise ValueError(f"Trainer: the state lacks {', '.join(sorted(missing))}")
        if (state["scheduler"] is None) != (self.scheduler is None):
            raise ValueError("Trainer: the state and this trainer must both have a scheduler, or neither")
        for part in ("model", "optimizer", "history", *(() if self.scheduler is None else ("scheduler",))):
            if not isinstance(state[part], Mapping):
                raise ValueError(f"Trainer: the state's {part} must be a dict, got {type(state[part]).__name__}")
        for part in ("epoch", "step_count", "seed"):
            value = state[part]
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
                raise ValueError(f"Trainer: the state's {part} must be an int of at least 0, got {value!r}")
        for key, values in state["history"].items():
            if not isinstance(values, list) or not all(isinstance(v, (int, float)) for v in values):
                raise ValueError(f"Trainer: the state's history of {key} must be a list of numbers")
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


def predict(model: Module, x: Any, *, batch_size: int = 256) -> Any:
    """As `Trainer.predict`, without a trainer."""
    if not isinstance(model, Module):
        raise TypeError(f"predict: model must be a Module, got {type(model).__name__}")
    size = _batch_size("predict", batch_size)
    arrays = [as_array("predict", "x", a) for a in (x if isinstance(x, tuple) else (x,))]
    if not arrays:
        raise ValueError("predict: x must be an array or a tuple of arrays, got ()")
    count = same_length("predict", "x", arrays)
    parts = [model(*(a[begin : begin + size] for a in arrays)) for begin in range(0, max(count, 1), size)]
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], tuple):
        return tuple(np.concatenate(output) for output in zip(*parts, strict=True))
    return np.concatenate(parts)


def _batch_size(op: str, value: Any) -> int:
    size = integer(op, "batch_size", value)
    if size < 1:
        raise ValueError(f"{op}: batch_size must be at least 1, got {value}")
    return size


def _check_counted(average: Average, what: str) -> None:
    if not average.images:
        raise ValueError(f"{what} gave no batches")
    if not average.counted:
        raise ValueError(f"{what} has only labels that the loss ignores")


def _check_callbacks(callbacks: Any, progress: Any) -> None:
    if isinstance(callbacks, str) or not isinstance(callbacks, Sequence):
        raise TypeError(f"fit: callbacks must be a list, got {type(callbacks).__name__}")
    for callback in callbacks:
        if not callable(callback) and not any(hasattr(callback, event) for event in _EVENTS):
            raise TypeError(
                f"fit: a callback must be a function or have one of {', '.join(_EVENTS)}, got {type(callback).__name__}"
            )
    if progress is not None and not callable(progress):
        raise TypeError(f"fit: progress must be a function, got {type(progress).__name__}")


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
