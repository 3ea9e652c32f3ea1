"""Learning-rate schedules, numerically those of torch.optim.lr_scheduler.

Each is a formula for the rate after a number of steps. Trainer.fit steps them: per epoch as is usual in PyTorch, per
batch where `interval` is "batch" (OneCycleLR; settable on the others), with the validation loss where it is "metric".
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from ..arguments import integer, number
from .optimizer import Optimizer


class LRScheduler:
    """Base of the schedules that know the rate from the number of steps. Sets the first rate when made.

    interval: "epoch" or "batch", what Trainer.fit counts as a step.
    """

    interval: str = "epoch"

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = _optimizer(type(self).__name__, optimizer)
        self.base_lr = optimizer.initial_lr
        self.step_count = 0
        self._update()

    def lr_at(self, step: int) -> float:
        """The rate after so many steps. Pure."""
        raise NotImplementedError

    def _update(self) -> None:
        self.optimizer.lr = self.lr_at(self.step_count)

    def step(self) -> None:
        """To be called after each epoch (or batch) of training."""
        self.step_count += 1
        self._update()

    def get_last_lr(self) -> float:
        return self.optimizer.lr

    def prepare(self, epochs: int, batches: int) -> None:
        """Called by Trainer.fit: so many epochs of so many batches are ahead."""

    def state_dict(self) -> dict[str, Any]:
        """All that changes, and the settings: plain numbers and strings."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave. Raises ValueError if it is of another kind of schedule."""
        name = type(self).__name__
        _check_state(name, state, self.state_dict())
        before = dict(vars(self))
        vars(self).update(state)
        try:
            self.step_count = integer(name, "step_count", self.step_count)
            self._update()
        except (TypeError, ValueError, ArithmeticError) as error:
            vars(self).update(before)
            raise ValueError(f"{name}: the state is damaged: {error}") from None


class StepLR(LRScheduler):
    """lr = base * gamma ** (step // step_size). Source: torch.optim.lr_scheduler.StepLR."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size = _positive("StepLR", "step_size", step_size)
        self.gamma = number("StepLR", "gamma", gamma)
        super().__init__(optimizer)

    def lr_at(self, step: int) -> float:
        return self.base_lr * self.gamma ** (step // self.step_size)


class MultiStepLR(LRScheduler):
    """lr = base * gamma ** (number of milestones reached). Source: torch.optim.lr_scheduler.MultiStepLR."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones = sorted(_milestones("MultiStepLR", milestones))
        self.gamma = number("MultiStepLR", "gamma", gamma)
        super().__init__(optimizer)

    def lr_at(self, step: int) -> float:
        return self.base_lr * self.gamma ** bisect_right(self.milestones, step)


class ExponentialLR(LRScheduler):
    """lr = base * gamma ** step. Source: torch.optim.lr_scheduler.ExponentialLR."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = number("ExponentialLR", "gamma", gamma)
        super().__init__(optimizer)

    def lr_at(self, step: int) -> float:
        return self.base_lr * self.gamma**step


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (base - eta_min) * (1 + cos(pi * step / T_max)) / 2.

    Source: torch.optim.lr_scheduler.CosineAnnealingLR; Loshchilov and Hutter, "SGDR".
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max = _positive("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = number("CosineAnnealingLR", "eta_min", eta_min)
        super().__init__(optimizer)

    def lr_at(self, step: int) -> float:
        return self.eta_min + (self.base_lr - self.eta_min) * (1 + math.cos(math.pi * step / self.T_max)) / 2


class LinearLR(LRScheduler):
    """Warm-up: the factor on the rate goes linearly from start_factor to end_factor in total_iters steps.

    Source: torch.optim.lr_scheduler.LinearLR.
    """

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        self.start_factor = number("LinearLR", "start_factor", start_factor)
        self.end_factor = number("LinearLR", "end_factor", end_factor)
        if not 0 < self.start_factor <= 1 or not 0 <= self.end_factor <= 1:
            raise ValueError(f"LinearLR: factors must be in (0, 1] and [0, 1], got {start_factor} and {end_factor}")
        self.total_iters = _positive("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer)

    def lr_at(self, step: int) -> float:
        done = min(step, self.total_iters) / self.total_iters
        return self.base_lr * (self.start_factor + (self.end_factor - self.start_factor) * done)


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to max_lr in pct_start of the steps, then down to the first rate / final_div_factor.

    A step is a batch. The number of steps is total_steps, or epochs * steps_per_epoch, or, where all are None, what
    Trainer.fit has ahead (and anew for the next fit).
    three_phase: down to the first rate as long as it went up, then on to the last rate.
    anneal_strategy: "cos" or "linear". Momentum is left alone, as with PyTorch's cycle_momentum=False.
    Source: torch.optim.lr_scheduler.OneCycleLR; Smith and Topin, "Super-Convergence".
    """

    interval = "batch"

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        name = "OneCycleLR"
        self.max_lr = number(name, "max_lr", max_lr)
        if total_steps is None and (epochs is None) != (steps_per_epoch is None):
            raise ValueError(f"{name}: give total_steps, or epochs and steps_per_epoch, or none of them")
        if total_steps is None and epochs is not None and steps_per_epoch is not None:
            total_steps = _positive(name, "epochs", epochs) * _positive(name, "steps_per_epoch", steps_per_epoch)
        self.total_steps = None if total_steps is None else _positive(name, "total_steps", total_steps)
        self.automatic = total_steps is None
        self.pct_start = number(name, "pct_start", pct_start)
        if not 0 <= self.pct_start <= 1:
            raise ValueError(f"{name}: pct_start must be in [0, 1], got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f'{name}: anneal_strategy must be "cos" or "linear", got {anneal_strategy!r}')
        self.anneal_strategy = anneal_strategy
        self.div_factor = number(name, "div_factor", div_factor)
        self.final_div_factor = number(name, "final_div_factor", final_div_factor)
        if self.div_factor <= 0 or self.final_div_factor <= 0:
            raise ValueError(f"{name}: the div factors must be positive, got {div_factor} and {final_div_factor}")
        self.three_phase = bool(three_phase)
        super().__init__(optimizer)

    def prepare(self, epochs: int, batches: int) -> None:
        if self.automatic and (self.total_steps is None or self.step_count >= self.total_steps):
            self.total_steps = max(epochs * batches, 1)
            self.step_count = 0
            self._update()

    def lr_at(self, step: int) -> float:
        first = self.max_lr / self.div_factor
        if self.total_steps is None:
            return first
        if step > self.total_steps:
            raise ValueError(f"OneCycleLR: step {step} is beyond the {self.total_steps} that were announced")
        last = first / self.final_div_factor
        peak = self.pct_start * self.total_steps - 1
        end = self.total_steps - 1
        phases = [(peak, first, self.max_lr), (end, self.max_lr, last)]
        if self.three_phase:
            phases = [phases[0], (2 * peak, self.max_lr, first), (end, first, last)]
        begin = 0.0
        for stop, low, high in phases:
            if step <= stop or stop == end:
                return self._anneal(low, high, min((step - begin) / (stop - begin), 1.0) if stop != begin else 1.0)
            begin = stop
        raise AssertionError("the last phase ends the loop")

    def _anneal(self, start: float, stop: float, done: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (stop - start) * done
        return stop + (start - stop) / 2 * (1 + math.cos(math.pi * done))


class SequentialLR(LRScheduler):
    """One schedule after another, each from its own start: warm-up and then cosine, say.

    milestones: the steps at which the next one begins. Source: torch.optim.lr_scheduler.SequentialLR.
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]) -> None:
        self.milestones = _milestones("SequentialLR", milestones)
        if not isinstance(schedulers, Sequence) or not all(isinstance(s, LRScheduler) for s in schedulers):
            raise TypeError(f"SequentialLR: schedulers must be a list of schedules by steps, got {schedulers!r}")
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedules need a milestone between each two, got {len(milestones)}"
            )
        if any(s.optimizer is not optimizer for s in schedulers):
            raise ValueError("SequentialLR: all schedules must be of the same optimizer")
        self.schedulers = list(schedulers)
        super().__init__(optimizer)

    def lr_at(self, step: int) -> float:
        index = bisect_right(self.milestones, step)
        return self.schedulers[index].lr_at(step - (self.milestones[index - 1] if index else 0))

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        return {**state, "schedulers": {str(i): s.state_dict() for i, s in enumerate(self.schedulers)}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        _check_state("SequentialLR", state, self.state_dict())
        inner = state["schedulers"]
        if not isinstance(inner, Mapping) or set(inner) != {str(i) for i in range(len(self.schedulers))}:
            raise ValueError("SequentialLR: the state is of other schedules")
        for i, scheduler in enumerate(self.schedulers):
            scheduler.load_state_dict(inner[str(i)])
        super().load_state_dict({**state, "schedulers": self.schedulers})


class ReduceLROnPlateau:
    """Multiplies the rate by `factor` when the metric has not improved for more than `patience` epochs.

    Trainer.fit gives it the validation loss (the training loss where there is no validation).
    Source: torch.optim.lr_scheduler.ReduceLROnPlateau.
    """

    interval = "metric"

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        name = "ReduceLROnPlateau"
        if mode not in ("min", "max"):
            raise ValueError(f'{name}: mode must be "min" or "max", got {mode!r}')
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f'{name}: threshold_mode must be "rel" or "abs", got {threshold_mode!r}')
        self.optimizer = _optimizer(name, optimizer)
        self.mode = mode
        self.factor = number(name, "factor", factor)
        if self.factor >= 1:
            raise ValueError(f"{name}: factor must be below 1, got {factor}")
        self.patience = integer(name, "patience", patience)
        self.threshold = number(name, "threshold", threshold)
        self.threshold_mode = threshold_mode
        self.cooldown = integer(name, "cooldown", cooldown)
        self.min_lr = number(name, "min_lr", min_lr)
        self.eps = number(name, "eps", eps)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0

    def step(self, metric: float) -> None:
        """To be called after each epoch."""
        if self._is_better(metric):
            self.best = float(metric)
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            lr = max(self.optimizer.lr * self.factor, self.min_lr)
            if self.optimizer.lr - lr > self.eps:
                self.optimizer.lr = lr
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0

    def _is_better(self, metric: float) -> bool:
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "rel":
            goal = self.best * (1 + sign * self.threshold)
        else:
            goal = self.best + sign * self.threshold
        return metric < goal if self.mode == "min" else metric > goal

    def get_last_lr(self) -> float:
        return self.optimizer.lr

    def prepare(self, epochs: int, batches: int) -> None:
        """Nothing to prepare."""

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        mine = self.state_dict()
        _check_state("ReduceLROnPlateau", state, mine)
        for key, value in state.items():
            if isinstance(value, str) != isinstance(mine[key], str) or not isinstance(value, (str, int, float)):
                raise ValueError(f"ReduceLROnPlateau: the state is damaged: {key} is {value!r}")
        vars(self).update(state)


def _optimizer(op: str, value: Any) -> Optimizer:
    if not isinstance(value, Optimizer):
        raise TypeError(f"{op}: optimizer must come from convcore.optim, got {type(value).__name__}")
    return value


def _milestones(op: str, values: Any) -> list[int]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"{op}: milestones must be a list of ints, got {values!r}")
    return [integer(op, "milestones", m) for m in values]


def _check_state(op: str, state: Any, mine: Mapping[str, Any]) -> None:
    if not isinstance(state, Mapping):
        raise ValueError(f"{op}: the state must be a dict, got {type(state).__name__}")
    if set(state) != set(mine):
        raise ValueError(f"{op}: the state is of another schedule: it has {', '.join(map(str, state))}")


def _positive(op: str, name: str, value: Any) -> int:
    result = integer(op, name, value)
    if result < 1:
        raise ValueError(f"{op}: {name} must be at least 1, got {value!r}")
    return result
