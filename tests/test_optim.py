"""Optimizers against PyTorch's formulas in float64, and their state; schedules as formulas. See also test_torch.py."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from checks import EPS, assert_same_bits, machines
from convcore import _core, optim
from networks import Network
from reference import Array

SHAPES = ((1, 1), (1, 7), (4, 16), (100, 1), (41, 499))
STEPS = 5
LR = 0.05


def make() -> tuple[Network, _core.Program]:
    """A chain of linear layers with weights of SHAPES' sizes; the tests write its gradients by hand."""
    net = Network(training=True)
    y = net.input(1, 1)
    for o, i in SHAPES:
        y = net.node("linear", y, net.parameter(f"in{i}", i, 1), -1) if net.graph.shape(y)[1] == 1 else y
        y = net.node("linear", y, net.parameter(f"w{o}x{i}", o, i), -1)
        y = net.node("linear", y, net.parameter(f"out{o}", 1, o), -1)
    return net, net.program(net.node("mse_loss", y, net.input(1, 1, name="y")))


def gradients(step: int, shapes: list[tuple[int, ...]]) -> list[Array]:
    rng = np.random.default_rng(100 + step)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


State = dict[str, Array]


def decayed(p: Array, g: Array, s: State, a: dict[str, Any]) -> Array:
    """g + weight_decay p. Where the two cancel, their rounding weighs more, and dividing by sqrt(v) keeps it so."""
    decay = a.get("weight_decay", 0.0) * p
    s["cancelled"] = np.maximum(s.get("cancelled", 0 * g), (np.abs(g) + np.abs(decay)) / np.abs(g + decay))
    return g + decay


def sgd(p: Array, g: Array, s: State, t: int, a: dict[str, Any]) -> Array:
    momentum, dampening = a.get("momentum", 0.0), a.get("dampening", 0.0)
    g = decayed(p, g, s, a)
    if not momentum:
        return p - LR * g
    s["b"] = g if t == 1 else momentum * s["b"] + (1 - dampening) * g
    return p - LR * (g + momentum * s["b"] if a.get("nesterov") else s["b"])


def adam(p: Array, g: Array, s: State, t: int, a: dict[str, Any]) -> Array:
    b1, b2 = a.get("betas", (0.9, 0.999))
    g = decayed(p, g, s, a)
    s["m"] = b1 * s.get("m", 0 * g) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0 * g) + (1 - b2) * g * g
    return p - LR * (s["m"] / (1 - b1**t)) / (np.sqrt(s["v"] / (1 - b2**t)) + a.get("eps", 1e-8))


def adamw(p: Array, g: Array, s: State, t: int, a: dict[str, Any]) -> Array:
    shrunk = p * (1 - LR * a.get("weight_decay", 0.01))
    return adam(shrunk, g, s, t, {**a, "weight_decay": 0.0})


def rmsprop(p: Array, g: Array, s: State, t: int, a: dict[str, Any]) -> Array:
    alpha = a.get("alpha", 0.99)
    g = decayed(p, g, s, a)
    s["v"] = alpha * s.get("v", 0 * g) + (1 - alpha) * g * g
    variance = s["v"]
    if a.get("centered"):
        s["a"] = alpha * s.get("a", 0 * g) + (1 - alpha) * g
        variance = variance - s["a"] ** 2
        s["cancelled"] = np.maximum(s["cancelled"], s["v"] / variance)
    step = g / (np.sqrt(variance) + a.get("eps", 1e-8))
    if a.get("momentum"):
        s["b"] = step = a["momentum"] * s.get("b", 0 * g) + step
    return p - LR * step


def adagrad(p: Array, g: Array, s: State, t: int, a: dict[str, Any]) -> Array:
    g = decayed(p, g, s, a)
    s["s"] = s.get("s", a.get("initial_accumulator_value", 0.0) + 0 * g) + g * g
    return p - LR / (1 + (t - 1) * a.get("lr_decay", 0.0)) * g / (np.sqrt(s["s"]) + a.get("eps", 1e-10))


FORMULAS: dict[str, Callable[..., Array]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
    "rmsprop": rmsprop,
    "adagrad": adagrad,
}
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("sgd", {}),
    ("sgd", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("sgd", {"momentum": 0.5, "dampening": 0.3, "weight_decay": 0.01}),
    ("sgd", {"weight_decay": 0.1}),
    ("adam", {}),
    ("adam", {"betas": [0.8, 0.95], "eps": 1e-3, "weight_decay": 0.1}),
    ("adamw", {}),
    ("adamw", {"weight_decay": 0.3, "betas": [0.5, 0.9]}),
    ("rmsprop", {}),
    ("rmsprop", {"alpha": 0.9, "momentum": 0.8, "weight_decay": 0.1}),
    ("rmsprop", {"alpha": 0.9, "centered": True, "eps": 1e-2}),
    ("rmsprop", {"centered": True, "momentum": 0.5, "eps": 1e-2}),
    ("adagrad", {}),
    ("adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3}),
]


@pytest.mark.parametrize(("kind", "attributes"), SETTINGS, ids=str)
@pytest.mark.parametrize("max_grad_norm", [0.0, 1.0, 1e6])
def test_optimizer(kind: str, attributes: dict[str, Any], max_grad_norm: float) -> None:
    """Five steps with given gradients; clipping multiplies all by min(1, max / (norm + 1e-6))."""
    net, _ = make()
    exact = [p.astype(np.float64) for p in net.parameters.values()]
    shapes = [p.shape for p in exact]
    states: list[State] = [{} for _ in exact]
    for t in range(1, STEPS + 1):
        grads = [g.astype(np.float64) for g in gradients(t, shapes)]
        norm = math.sqrt(sum(float((g * g).sum()) for g in grads))
        scale = min(1.0, max_grad_norm / (norm + 1e-6)) if max_grad_norm else 1.0
        exact = [FORMULAS[kind](p, g * scale, s, t, attributes) for p, g, s in zip(exact, grads, states, strict=True)]
    first: dict[str, list[Array]] = {}
    for isa, threads in machines():
        net, program = make()
        sizes = [p.size for p in net.parameters.values()]
        optimizer = _core.Optimizer(kind, {**attributes, "max_grad_norm": max_grad_norm}, sizes)
        for t in range(1, STEPS + 1):
            grads = gradients(t, shapes)
            for view, g in zip(net.gradient_views(program), grads, strict=True):
                view[...] = g
            program.update(optimizer, LR)
        assert optimizer.step_count == STEPS
        if max_grad_norm:
            norm = math.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in grads))
            assert optimizer.last_grad_norm == pytest.approx(norm, rel=1e-6)
        for got, want, state in zip(net.parameters.values(), exact, states, strict=True):
            # A dozen roundings a step of the parameter and of the move, which is at most some lr. A centred variance is
            # a difference too: the errors of v weigh v / variance as much.
            bound = EPS * 16 * STEPS * (np.abs(want) + 10 * LR * state["cancelled"])
            assert (np.abs(got - want) <= bound).all(), f"{kind} {isa}: {np.abs(got - want).max()}"
        for got, same in zip(
            net.parameters.values(), first.setdefault(isa, list(net.parameters.values())), strict=True
        ):
            assert_same_bits(got, same, f"{kind}, {isa}, {threads} threads")


@pytest.mark.parametrize(("kind", "attributes"), SETTINGS, ids=str)
def test_the_state_continues_exactly(kind: str, attributes: dict[str, Any]) -> None:
    """Slots and step count of one optimizer, copied into another, make it the same optimizer."""

    def steps(program: _core.Program, net: Network, optimizer: _core.Optimizer, numbers: range) -> None:
        for t in numbers:
            for view, g in zip(net.gradient_views(program), gradients(t, shapes), strict=True):
                view[...] = g
            program.update(optimizer, LR)

    net, program = make()
    shapes = [p.shape for p in net.parameters.values()]
    sizes = [int(np.prod(s)) for s in shapes]
    whole = _core.Optimizer(kind, attributes, sizes)
    steps(program, net, whole, range(1, 3))
    resumed_net, resumed_program = make()
    for p, q in zip(resumed_net.parameters.values(), net.parameters.values(), strict=True):
        p[...] = q
    resumed = _core.Optimizer(kind, attributes, sizes)
    resumed.step_count = whole.step_count
    for name in whole.slot_names():
        for i, size in enumerate(sizes):
            assert whole.slot(name, i).shape == (size,)
            resumed.slot(name, i)[...] = whole.slot(name, i)
    steps(program, net, whole, range(3, 6))
    steps(resumed_program, resumed_net, resumed, range(3, 6))
    for p, q in zip(resumed_net.parameters.values(), net.parameters.values(), strict=True):
        assert_same_bits(p, q, kind)


def test_slots_have_pytorchs_names() -> None:
    def names(kind: str, **attributes: Any) -> list[str]:
        return _core.Optimizer(kind, attributes, [3]).slot_names()

    assert names("sgd") == []
    assert names("sgd", momentum=0.9) == ["momentum_buffer"]
    assert names("adam") == names("adamw") == ["exp_avg", "exp_avg_sq"]
    assert set(names("rmsprop", momentum=0.9, centered=True)) == {"square_avg", "momentum_buffer", "grad_avg"}
    assert names("adagrad") == ["sum"]


@pytest.mark.parametrize(
    ("kind", "attributes", "words"),
    [
        ("lion", {}, "lion"),
        ("sgd", {"momentum": -0.1}, "momentum.*-0.1"),
        ("sgd", {"nesterov": True}, "nesterov"),
        ("sgd", {"momentum": 0.9, "dampening": 0.1, "nesterov": True}, "nesterov.*0.1"),
        ("sgd", {"weight_decay": -1.0}, "weight_decay.*-1"),
        ("sgd", {"betas": [0.9, 0.999]}, "betas"),
        ("sgd", {"max_grad_norm": -1.0}, "max_grad_norm.*-1"),
        ("sgd", {"momentum": float("nan")}, "momentum.*nan"),
        ("sgd", {"momentum": "much"}, "momentum"),
        ("adam", {"betas": [0.9]}, "betas.*1"),
        ("adam", {"betas": [0.9, 1.0]}, "betas.*1"),
        ("adam", {"eps": -1e-8}, "eps.*-1e-08"),
        ("adam", {"lr": 0.1}, "lr"),
        ("adamw", {"amsgrad": True}, "amsgrad"),
        ("rmsprop", {"alpha": -0.5}, "alpha.*-0.5"),
        ("rmsprop", {"centered": "yes"}, "centered"),
        ("adagrad", {"lr_decay": -0.1}, "lr_decay.*-0.1"),
        ("adagrad", {"initial_accumulator_value": -1.0}, "initial_accumulator_value.*-1"),
    ],
)
def test_wrong_settings(kind: str, attributes: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        _core.Optimizer(kind, attributes, [3])


def test_wrong_slots() -> None:
    optimizer = _core.Optimizer("adam", {}, [3, 4])
    with pytest.raises(ValueError, match="velocity"):
        optimizer.slot("velocity", 0)
    for index in (-1, 2):
        with pytest.raises(ValueError, match=str(index)):
            optimizer.slot("exp_avg", index)
    with pytest.raises(ValueError, match="-1"):
        optimizer.step_count = -1
    with pytest.raises((ValueError, TypeError)):
        _core.Optimizer("adam", {}, [-3])


def test_slots_outlive_their_optimizer() -> None:
    slot = _core.Optimizer("adagrad", {"initial_accumulator_value": 2.0}, [5]).slot("sum", 0)
    assert (slot == 2).all()
    slot += 1
    assert (slot == 3).all()


# --- schedules ---------------------------------------------------------------------------------------------------


def rates(scheduler: Any, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(scheduler.optimizer.lr)
        scheduler.step()
    return found


def test_step_and_multistep() -> None:
    assert rates(optim.StepLR(optim.SGD(lr=1.0), 2, 0.5), 6) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert rates(optim.MultiStepLR(optim.SGD(lr=1.0), [1, 4], 0.5), 6) == [1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_exponential_and_cosine() -> None:
    assert rates(optim.ExponentialLR(optim.SGD(lr=1.0), 0.5), 4) == [1, 0.5, 0.25, 0.125]
    cosine = rates(optim.CosineAnnealingLR(optim.SGD(lr=1.0), 10, 0.2), 11)
    assert cosine == pytest.approx([0.2 + 0.4 * (1 + math.cos(math.pi * i / 10)) for i in range(11)])


def test_warm_up_then_cosine() -> None:
    optimizer = optim.SGD(lr=1.0)
    warm_up = optim.LinearLR(optimizer, 0.25, total_iters=3)
    cosine = optim.CosineAnnealingLR(optimizer, 4)
    found = rates(optim.SequentialLR(optimizer, [warm_up, cosine], [3]), 6)
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert found[4:] == pytest.approx([(1 + math.cos(math.pi * i / 4)) / 2 for i in (1, 2)])


def test_one_cycle_rises_and_falls() -> None:
    found = rates(optim.OneCycleLR(optim.SGD(lr=1.0), 2.0, total_steps=100), 100)
    assert found[0] == pytest.approx(2 / 25)
    assert max(found) == pytest.approx(2.0, rel=1e-3)
    assert 25 <= int(np.argmax(found)) <= 31
    assert found[-1] == pytest.approx(2 / 25 / 1e4)


def test_reduce_on_plateau() -> None:
    optimizer = optim.SGD(lr=1.0)
    schedule = optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    seen = []
    for metric in (1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.5, 0.4):
        schedule.step(metric)
        seen.append(optimizer.lr)
    assert seen == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]


@pytest.mark.parametrize(
    "make_schedule",
    [
        lambda o: optim.StepLR(o, 2, 0.5),
        lambda o: optim.MultiStepLR(o, [1, 4], 0.5),
        lambda o: optim.ExponentialLR(o, 0.9),
        lambda o: optim.CosineAnnealingLR(o, 8),
        lambda o: optim.OneCycleLR(o, 1.0, total_steps=12),
        lambda o: optim.LinearLR(o, 0.1, total_iters=6),
        lambda o: optim.SequentialLR(o, [optim.LinearLR(o), optim.StepLR(o, 2)], [3]),
    ],
)
def test_schedules_continue_from_their_state(make_schedule: Callable[[optim.Optimizer], Any]) -> None:
    schedule, resumed = (make_schedule(optim.SGD(lr=0.5)) for _ in range(2))
    for _ in range(4):
        schedule.step()
    resumed.load_state_dict(schedule.state_dict())
    assert rates(schedule, 6) == rates(resumed, 6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: optim.SGD(lr=-1), "SGD: lr.*-1"),
        (lambda: optim.SGD(lr=float("nan")), "SGD: lr.*nan"),
        (lambda: optim.SGD(lr="fast"), "SGD: lr.*fast"),
        (lambda: optim.SGD(lr=0.1, momentum=-1), "momentum.*-1"),
        (lambda: optim.Adam(betas=0.9), "Adam: betas.*0.9"),
        (lambda: optim.StepLR(optim.SGD(lr=1), 0), "StepLR: step_size.*0"),
        (lambda: optim.OneCycleLR(optim.SGD(lr=1), 1.0, epochs=3), "OneCycleLR: .*steps_per_epoch"),
        (lambda: optim.OneCycleLR(optim.SGD(lr=1), 1.0, total_steps=3, pct_start=2), "OneCycleLR: pct_start.*2"),
        (lambda: optim.CosineAnnealingLR(optim.SGD(lr=1), 0), "CosineAnnealingLR: T_max.*0"),
        (lambda: optim.ReduceLROnPlateau(optim.SGD(lr=1), "mean"), "ReduceLROnPlateau: mode.*mean"),
        (lambda: optim.LinearLR(optim.SGD(lr=1), 2.0), "LinearLR: .*2"),
        (lambda: optim.SequentialLR(optim.SGD(lr=1), [], [1, 2]), "SequentialLR: "),
        (lambda: optim.SequentialLR(optim.SGD(lr=1), [3], []), r"SequentialLR: schedulers.*\[3\]"),
        (lambda: optim.MultiStepLR(optim.SGD(lr=1), 5), "MultiStepLR: milestones must be a list of ints, got 5"),
        (lambda: optim.StepLR("x", 3), "StepLR: optimizer must come from convcore.optim, got str"),
        (lambda: optim.ReduceLROnPlateau(3), "ReduceLROnPlateau: optimizer.*int"),
        (lambda: setattr(optim.Adam(), "lr", "x"), "Adam: lr must be a number, got 'x'"),
        (lambda: setattr(optim.Adam(), "lr", -1), "Adam: lr must be .*not negative, got -1"),
    ],
)
def test_wrong_arguments(call: Callable[[], object], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        call()


@pytest.mark.parametrize(
    ("part", "value"),
    [("lr", "x"), ("step_count", None), ("state", [1]), ("state", {"w": 3}), ("attributes", 3)],
)
def test_damaged_states_of_optimizers(part: str, value: Any) -> None:
    optimizer = optim.Adam(lr=0.5)
    with pytest.raises(ValueError, match=f"Adam: .*{part}"):
        optimizer.load_state_dict({**optim.Adam().state_dict(), part: value})
    assert optimizer.lr == 0.5


@pytest.mark.parametrize("change", [{"step_count": "x"}, {"step_count": None}, {"gamma": "x"}, {"milestones": 3}])
def test_damaged_states_of_schedules(change: dict[str, Any]) -> None:
    schedule = optim.MultiStepLR(optim.SGD(lr=0.5), [2])
    before = schedule.state_dict()
    with pytest.raises(ValueError, match="MultiStepLR: the state is damaged"):
        schedule.load_state_dict({**before, **change})
    assert schedule.state_dict() == before
    with pytest.raises(ValueError, match="MultiStepLR: the state must be a dict, got list"):
        schedule.load_state_dict([1])  # type: ignore[arg-type]
