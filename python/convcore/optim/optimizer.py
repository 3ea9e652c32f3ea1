"""Optimizers: hyper-parameters here, the arithmetic and its state in the core.

They are made without parameters; the Trainer binds them to its model's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from .. import _core
from ..arguments import number
from ..parameter import Parameter


class Optimizer:
    """Base of the optimizers. `lr` may be changed at any time; schedules do.

    State lives in the core and is reached by `state_dict`. An optimizer serves one Trainer.
    """

    kind: ClassVar[str]

    def __init__(self, lr: float, **attributes: Any) -> None:
        self.lr = lr
        self.attributes: dict[str, Any] = attributes
        self.initial_lr = self.lr
        self.core: _core.Optimizer | None = None
        self._names: list[str] = []
        self._pending: Mapping[str, Any] | None = None
        _core.Optimizer(self.kind, attributes, [])  # checks the attributes at once

    @property
    def lr(self) -> float:
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = _not_negative(type(self).__name__, "lr", value)

    def bind(self, names: Sequence[str], parameters: Sequence[Parameter], max_grad_norm: float) -> _core.Optimizer:
        """Makes the core's optimizer for these parameters. Called by the Trainer, once."""
        if self.core is not None:
            raise ValueError(f"{type(self).__name__}: already trains another model; make a new optimizer")
        attributes = {**self.attributes, "max_grad_norm": max_grad_norm}
        self.core = _core.Optimizer(self.kind, attributes, [p.size for p in parameters])
        self._names = list(names)
        if self._pending is not None:
            self._load_slots(self.core, self._pending)
            self._pending = None
        return self.core

    def state_dict(self) -> dict[str, Any]:
        """Hyper-parameters, step count, and by parameter name the state arrays (flat copies)."""
        state = {"kind": self.kind, "lr": self.lr, "initial_lr": self.initial_lr, **self._slots()}
        return {**state, "attributes": {k: _plain(v) for k, v in self.attributes.items()}}

    def _slots(self) -> dict[str, Any]:
        if self.core is None:
            pending = self._pending or {"step_count": 0, "state": {}}
            return {"step_count": pending["step_count"], "state": dict(pending["state"])}
        slots = self.core.slot_names()
        arrays = {
            name: {slot: np.array(self.core.slot(slot, i)) for slot in slots} for i, name in enumerate(self._names)
        }
        return {"step_count": self.core.step_count, "state": arrays if slots else {}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave, of an optimizer of the same kind and hyper-parameters. Raises ValueError."""
        name = type(self).__name__
        if not isinstance(state, Mapping):
            raise ValueError(f"{name}: the state must be a dict, got {type(state).__name__}")
        missing = {"kind", "lr", "initial_lr", "attributes", "step_count", "state"} - set(state)
        if missing:
            raise ValueError(f"{name}: the state lacks {', '.join(sorted(missing))}")
        for part in ("attributes", "state"):
            if not isinstance(state[part], Mapping):
                raise ValueError(f"{name}: the state's {part} must be a dict, got {type(state[part]).__name__}")
        if not all(isinstance(group, Mapping) for group in state["state"].values()):
            raise ValueError(f"{name}: the state must hold a dict of arrays for each parameter")
        step_count = state["step_count"]
        if isinstance(step_count, bool) or not isinstance(step_count, (int, np.integer)) or step_count < 0:
            raise ValueError(f"{name}: the state's step_count must be an int of at least 0, got {step_count!r}")
        try:
            lr = _not_negative(name, "lr", state["lr"])
            initial_lr = _not_negative(name, "initial_lr", state["initial_lr"])
        except TypeError as error:
            raise ValueError(str(error)) from None
        mine = {k: _plain(v) for k, v in self.attributes.items()}
        if state["kind"] != self.kind or dict(state["attributes"]) != mine:
            raise ValueError(
                f"{name}: the state is of {state['kind']} with {state['attributes']}, this is {self.kind} with {mine}"
            )
        if self.core is None:
            self._pending = {"step_count": state["step_count"], "state": state["state"]}
        else:
            self._load_slots(self.core, state)
        self.lr = lr
        self.initial_lr = initial_lr

    def _load_slots(self, core: _core.Optimizer, state: Mapping[str, Any]) -> None:
        arrays = state["state"]
        slots = core.slot_names()
        targets = {(n, s): core.slot(s, i) for i, n in enumerate(self._names) for s in slots}
        given = {(n, s): np.ravel(np.asarray(a)) for n, group in arrays.items() for s, a in group.items()}
        if state["step_count"] or given:
            if set(given) != set(targets):
                raise ValueError(f"{type(self).__name__}: the state's arrays are of other parameters")
            for key, target in targets.items():
                if given[key].shape != target.shape:
                    raise ValueError(
                        f"{type(self).__name__}: {key[1]} of {key[0]} has {given[key].size} values, "
                        f"the parameter {target.size}"
                    )
        for key, target in targets.items():
            if key in given:
                target[...] = given[key]
        core.step_count = int(state["step_count"])

    def __repr__(self) -> str:
        arguments = {"lr": self.lr, **self.attributes}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"


class SGD(Optimizer):
    """b = momentum * b + (1 - dampening) * g; p -= lr * b (Nesterov: p -= lr * (g + momentum * b)).

    weight_decay is added to the gradient as weight_decay * p. Source: torch.optim.SGD.
    """

    kind = "sgd"

    def __init__(
        self,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=bool(nesterov))


class Adam(Optimizer):
    """p -= lr * m / (sqrt(v) + eps), with the bias-corrected means m of g and v of g^2.

    weight_decay is added to the gradient. Source: torch.optim.Adam; Kingma and Ba, "Adam".
    """

    kind = "adam"

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr, betas=_betas(type(self).__name__, betas), eps=eps, weight_decay=weight_decay)


class AdamW(Adam):
    """Adam with decoupled weight decay: p -= lr * weight_decay * p first.

    Source: torch.optim.AdamW; Loshchilov and Hutter, "Decoupled Weight Decay Regularization".
    """

    kind = "adamw"

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay)


class RMSprop(Optimizer):
    """p -= lr * g / (sqrt(v) + eps), with the running mean v of g^2 (its variance if centered).

    Source: torch.optim.RMSprop.
    """

    kind = "rmsprop"

    def __init__(
        self,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(
            lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum, centered=bool(centered)
        )


class Adagrad(Optimizer):
    """p -= lr / (1 + (step - 1) * lr_decay) * g / (sqrt(s) + eps), with the sum s of g^2.

    Source: torch.optim.Adagrad.
    """

    kind = "adagrad"

    def __init__(
        self,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(
            lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )


def _not_negative(op: str, name: str, value: Any) -> float:
    result = number(op, name, value)
    if not 0 <= result < float("inf"):
        raise ValueError(f"{op}: {name} must be finite and not negative, got {value!r}")
    return result


def _betas(op: str, betas: Any) -> list[float]:
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(f"{op}: betas must be a pair of numbers, got {betas!r}")
    return [number(op, "betas", b) for b in betas]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
