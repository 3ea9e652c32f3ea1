"""Beside PyTorch, where it is installed: every op and gradient, the optimizers, the schedules, whole networks.

PyTorch runs in float64, on the same cases and within the same derived bounds as the reference; so this checks the
reference's definitions as well as convcore.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import convcore as cc
from case import Case
from cases import CASES
from checks import assert_within, bound_of
from convcore import _core, nn, optim
from math_cases import BINARY, COMPARISONS, LOGICAL, UNARY
from networks import assert_near
from reference import OPS, Array
from reference.common import as_images
from reference.conv import windows_of
from reference.pool import pooled_size

UNLIKE = (  # not in PyTorch, or without gradient; test_resize.py and test_lstm.py compare what both have
    *("hinge_loss", "normalize", "correct_count", "where", "logical_not", "argmax", "argmin", "hardmax", "topk"),
    *("resize", "lstm"),
    *COMPARISONS,
    *LOGICAL,
)


def _row(y: Any, is_row: bool) -> Any:
    return y[:, :, 0] if is_row else y


def convolution(torch: ModuleType, case: Case, x: Any, w: Any, b: Any = None) -> Any:
    """Padding by hand, since PyTorch's is symmetric."""
    a, row = case.attributes, x.ndim == 3
    x, w = (x[:, :, None], w[:, :, None]) if row else (x, w)
    top, bottom, left, right = windows_of(a, tuple(w.shape[2:]), tuple(x.shape[2:])).padding
    padded = torch.nn.functional.pad(x, (left, right, top, bottom))
    return _row(torch.nn.functional.conv2d(padded, w, b, a["stride"], 0, a["dilation"], a["groups"]), row)


def transposed(torch: ModuleType, case: Case, x: Any, w: Any, b: Any = None) -> Any:
    """The padding is cut off by hand."""
    a, row = case.attributes, x.ndim == 3
    x, w = (x[:, :, None], w[:, :, None]) if row else (x, w)
    y = torch.nn.functional.conv_transpose2d(x, w, None, a["stride"], 0, 0, a["groups"], a["dilation"])
    (eh, ew), (top, bottom, left, right) = a["output_padding"], a["padding"]
    y = torch.nn.functional.pad(y, (0, ew, 0, eh))
    y = y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]
    return _row(y if b is None else y + b[:, None, None], row)


def columns(torch: ModuleType, case: Case, x: Any) -> Any:
    a = case.attributes
    top, bottom, left, right = a["padding"]
    if case.kind == "im2col":
        padded = torch.nn.functional.pad(x, (left, right, top, bottom))
        return torch.nn.functional.unfold(padded, a["kernel_size"], a["dilation"], 0, a["stride"])
    h, w = a["output_size"]
    size = (h + top + bottom, w + left + right)
    y = torch.nn.functional.fold(x, size, a["kernel_size"], a["dilation"], 0, a["stride"])
    return y[:, :, top : top + h, left : left + w]


def rearrange(torch: ModuleType, case: Case, x: Any) -> Any:
    y = x.reshape(case.attributes.get("view", x.shape))
    y = y.permute(case.attributes.get("perm", list(range(y.ndim))))
    return y.reshape(case.attributes.get("shape", y.shape))


def layer_norm(torch: ModuleType, case: Case, x: Any, w: Any, b: Any) -> Any:
    sizes = x.shape[case.attributes["axis"] :]
    w, b = (None if v is None else v.reshape(sizes) for v in (w, b))
    return torch.nn.functional.layer_norm(x, sizes, w, b, case.attributes.get("eps", 1e-5))


def group_norm(torch: ModuleType, case: Case, x: Any, w: Any, b: Any) -> Any:
    w = torch.ones(x.shape[1], dtype=x.dtype) if w is None else w  # PyTorch 2.13 fails for a bias alone
    return torch.nn.functional.group_norm(x, case.attributes["num_groups"], w, b, case.attributes.get("eps", 1e-5))


def pooling(torch: ModuleType, case: Case, x: Any) -> Any:
    f, a, row = torch.nn.functional, case.attributes, x.ndim == 3
    x = x[:, :, None] if row else x
    if "output_size" in a:
        return _row(getattr(f, case.kind)(x, a["output_size"]), row)
    kernel = a["kernel_size"]
    common = (kernel, a.get("stride", kernel), a.get("padding", [0, 0]))
    ceil_mode = a.get("ceil_mode", False)
    if case.kind == "max_pool2d":
        return _row(f.max_pool2d(x, *common, a.get("dilation", [1, 1]), ceil_mode), row)
    divisor = 1 if case.kind == "sum_pool2d" else None
    return _row(f.avg_pool2d(x, *common, ceil_mode, a.get("count_include_pad", True), divisor), row)


def arithmetic(torch: ModuleType, case: Case, *inputs: Any) -> Any:
    """Functions of one and two operands, where PyTorch has none by formula."""
    name, a, f = case.kind, case.attributes, torch.nn.functional
    x = inputs[0]
    if name == "hardsigmoid":
        return (a.get("alpha", 1 / 6) * x + a.get("beta", 0.5)).clamp(0, 1)
    if name == "selu" and a:
        return a["gamma"] * torch.where(x > 0, x, f.elu(x, a["alpha"]))
    if name == "threshold":
        return f.threshold(x, a.get("threshold", 0.0), a.get("value", 0.0))
    if name == "prelu":
        return torch.where(x > 0, x, x * inputs[1])
    function = {"power": torch.pow}.get(name) or getattr(f if hasattr(f, name) else torch, name)
    return function(*inputs, **a)


def lp_pool(torch: ModuleType, case: Case, x: Any) -> Any:
    """By hand, for all that PyTorch's has not."""
    a, row = case.attributes, x.ndim == 3
    x = x[:, :, None] if row else x
    (kh, kw), (ph, pw) = a["kernel_size"], a.get("padding", [0, 0])
    stride, dilation, p = a.get("stride", [kh, kw]), a.get("dilation", [1, 1]), a.get("p", 2)
    n, c, h, w = x.shape
    oh, ow = pooled_size(a, h, w)
    far = [(o - 1) * s + d * (k - 1) + 1 for o, s, d, k in zip((oh, ow), stride, dilation, (kh, kw), strict=True)]
    padded = torch.nn.functional.pad(x, (pw, far[1] - w - pw, ph, far[0] - h - ph))
    taps = torch.nn.functional.unfold(padded, (kh, kw), dilation, 0, stride).reshape(n, c, kh * kw, oh, ow)
    return _row((taps.abs() ** p).sum(2) ** (1 / p), row)


def unpooling(torch: ModuleType, case: Case, x: Any, indices: Any) -> Any:
    row = x.ndim == 3
    images, places = (x[:, :, None], indices[:, :, None]) if row else (x, indices)
    return _row(torch.ops.aten.max_unpool2d(images, places, case.attributes["output_size"]), row)


def chosen(torch: ModuleType, x: Any, indices: list[Array]) -> Any:
    """x at these indices of each axis."""
    for axis, wanted in enumerate(indices):
        x = x.index_select(axis, torch.from_numpy(wanted))
    return x


def part(torch: ModuleType, case: Case, x: Any) -> Any:
    a = case.attributes
    axes = zip(a["starts"], a["steps"], a["sizes"], strict=True)
    return chosen(torch, x, [start + step * np.arange(size) for start, step, size in axes])


def padded(torch: ModuleType, case: Case, x: Any) -> Any:
    a = case.attributes
    pads = [(a["pads"][d], a["pads"][d + x.ndim]) for d in range(x.ndim)]
    if a["mode"] == "constant":
        sides = [side for pair in reversed(pads) for side in pair]
        return torch.nn.functional.pad(x, sides, value=a.get("value", 0.0))
    places = []
    for size, (before, behind) in zip(x.shape, pads, strict=True):
        around = np.pad(np.arange(size), (max(before, 0), max(behind, 0)), a["mode"])
        places.append(around[max(-before, 0) : len(around) + min(behind, 0)])
    return chosen(torch, x, places)


def gathered(torch: ModuleType, case: Case, x: Any, indices: Any = None) -> Any:
    a = case.attributes
    axis = a.get("axis", 0)
    if indices is None:
        indices = torch.tensor(a["indices"], dtype=torch.int64).reshape(a["index_shape"])
    y = x[(slice(None),) * axis + (indices,)]
    return y.reshape(y.shape or (1,))


def reduce(torch: ModuleType, case: Case, x: Any) -> Any:
    a = case.attributes
    name, axes, keepdims = a["function"], a.get("axes", list(range(x.ndim))), a.get("keepdims", False)
    if name == "prod":  # which takes one axis
        y = x
        for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
            y = y.prod(axis, keepdim=keepdims)
    elif not axes:  # which means all to PyTorch
        y = {"l1": x.abs(), "l2": x.abs(), "sum_square": x * x, "log_sum": x.log()}.get(name, x.clone())
    elif name == "log_sum":
        y = x.sum(axes, keepdims).log()
    elif name == "sum_square":
        y = (x * x).sum(axes, keepdims)
    else:
        y = {
            **{"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin},
            "log_sum_exp": torch.logsumexp,
            "l1": lambda x, axes, keep: torch.linalg.vector_norm(x, 1, axes, keep),
            "l2": lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep),
        }[name](x, axes, keepdims)
    return y if y.ndim else y[None]


def loss(torch: ModuleType, case: Case, x: Any, target: Any, weight: Any = None) -> Any:
    f, a = torch.nn.functional, dict(case.attributes)
    if case.kind == "bce_with_logits":
        return f.binary_cross_entropy_with_logits(
            x, target, pos_weight=None if weight is None else weight.detach(), **a
        )
    if weight is not None:
        a["weight"] = weight.detach()
    return getattr(f, case.kind)(x, target, **a)


def batch_norm(
    torch: ModuleType, case: Case, x: Any, w: Any, b: Any, mean: Any, variance: Any, residual: Any = None, _: Any = None
) -> Any:
    f, a = torch.nn.functional, case.attributes
    statistics = mean.detach().clone(), variance.detach().clone()
    y = f.batch_norm(x, *statistics, w, b, True, a.get("momentum", 0.1), a.get("eps", 1e-5))
    y = y if residual is None else y + residual
    return getattr(f, a["activation"])(y) if "activation" in a else y


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys((*UNARY, *BINARY), arithmetic),
    "conv2d": convolution,
    "conv_transpose2d": transposed,
    "im2col": columns,
    "col2im": columns,
    "linear": lambda torch, case, x, w, *bias: torch.nn.functional.linear(
        x, w.T if case.attributes.get("transposed") else w, *bias
    ),
    "batch_norm": batch_norm,
    "local_response_norm": lambda torch, case, x: torch.nn.functional.local_response_norm(x, **case.attributes),
    "matmul": lambda torch, case, a, b: a @ b,
    "reduce": reduce,
    "softmax": lambda torch, case, x: torch.softmax(x, case.attributes.get("axis", 1)),
    "log_softmax": lambda torch, case, x: torch.log_softmax(x, case.attributes.get("axis", 1)),
    "add": lambda torch, case, a, b: a + b,
    "multiply": lambda torch, case, a, b: a * b,
    "concat": lambda torch, case, *inputs: torch.cat(inputs, case.attributes.get("axis", 1)),
    "slice": part,
    "pad": padded,
    "expand": lambda torch, case, x: x.broadcast_to(np.broadcast_shapes(x.shape, tuple(case.attributes["shape"]))),
    "tile": lambda torch, case, x: x.repeat(case.attributes["repeats"]),
    "gather": gathered,
    "rearrange": rearrange,
    "channels_last": lambda torch, case, x: x.clone(),
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "instance_norm": lambda torch, case, x, w, b: torch.nn.functional.instance_norm(x, None, None, w, b),
    "flatten": lambda torch, case, x: x.flatten(case.attributes.get("start_dim", 1)),
    **dict.fromkeys([k for k in CASES if "pool" in k], pooling),
    "lp_pool2d": lp_pool,
    "max_unpool2d": unpooling,
    **dict.fromkeys([k for k in CASES if "loss" in k or k in ("cross_entropy", "bce_with_logits")], loss),
}
COMPARED = [
    c
    for kind in CASES
    if kind not in UNLIKE
    for c in CASES[kind]
    if c.shapes[0] and c.shapes[0][0] and (kind != "avg_pool2d" or "dilation" not in c.attributes)
]


@pytest.mark.parametrize("case", COMPARED, ids=lambda c: f"{c.kind} {c.id}")
def test_op(case: Case, torch: ModuleType) -> None:
    """Value and gradients, with the best ISA."""
    training = case.kind == "batch_norm"
    op = OPS[f"{case.kind} training" if training else case.kind]
    inputs = case.inputs()
    tensors = [
        None
        if v is None
        else torch.tensor(v)
        if v.dtype == np.int64
        else torch.tensor(v.astype(np.float64)).requires_grad_()
        for v in inputs
    ]
    y = FUNCTIONS[case.kind](torch, case, *tensors)
    exact = [None if v is None else v if v.dtype == np.int64 else v.astype(np.float64) for v in inputs]
    given = [v.copy() if i > 2 and v is not None else v for i, v in enumerate(inputs)]
    got = _core.forward(case.kind, case.attributes, given, training)[0]
    value = y.detach().numpy()
    assert_within(got, value, bound_of(case, "", value, op.forward_error(case.attributes, *exact)), case.kind)
    grad = np.asarray(case.rng().standard_normal(got.shape), np.float32)
    y.backward(torch.tensor(grad.astype(np.float64)))
    assert op.backward_error is not None
    bounds = op.backward_error(case.attributes, exact, grad.astype(np.float64))
    bounds = [*bounds, *[None] * (len(inputs) - len(bounds))][: len(inputs)]
    results = _core.backward(case.kind, case.attributes, inputs, [grad], [b is not None for b in bounds])
    for i, (result, bound, tensor) in enumerate(zip(results, bounds, tensors, strict=True)):
        if bound is not None:
            assert result is not None
            value = tensor.grad.numpy()
            limit = bound_of(case, "", value, bound) if i < 2 else bound
            assert_within(result, value, limit, f"{case.kind}, gradient of input {i}")


# --- networks ----------------------------------------------------------------------------------------------------


def _twin(torch: ModuleType, model: nn.Module, twin: Any) -> Any:
    """PyTorch's model with convcore's weights, in float64: the state dicts have the same names and shapes."""
    twin.load_state_dict({k: torch.tensor(v) for k, v in model.state_dict().items()}, strict=False)
    return twin.double()


def _lenets(torch: ModuleType) -> tuple[nn.Module, Any]:
    t = torch.nn
    model = nn.Sequential(*list(cc.models.lenet5())[1:])
    twin = t.Sequential(
        t.Conv2d(1, 6, 5, padding=2), t.ReLU(), t.MaxPool2d(2), t.Conv2d(6, 16, 5), t.ReLU(), t.MaxPool2d(2),
        t.Flatten(), t.Linear(400, 120), t.ReLU(), t.Linear(120, 84), t.ReLU(), t.Linear(84, 10),
    )  # fmt: skip
    renamed = nn.Sequential(*model)
    return renamed, _twin(torch, renamed, twin)


def test_lenet5_and_its_gradients(torch: ModuleType) -> None:
    model, twin = _lenets(torch)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((16, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 16)
    logits = twin(torch.tensor(x).double())
    assert_near(model(x), logits.detach().numpy(), 1000, "logits")
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(y))
    loss.backward()
    value, gradients = cc.value_and_grad(model, nn.CrossEntropyLoss())(x, y)
    assert value == pytest.approx(loss.item(), rel=1e-5)
    for name, parameter in twin.named_parameters():
        assert_near(gradients[name], parameter.grad.numpy(), 5000, name)


OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.2}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.01}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.5}),
    ("RMSprop", {"lr": 0.01, "centered": True, "eps": 1e-3}),
    ("Adagrad", {"lr": 0.05, "lr_decay": 0.1, "initial_accumulator_value": 0.1}),
]


@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS, ids=str)
@pytest.mark.parametrize("max_norm", [None, 0.5])
def test_training_goes_the_same_way(
    name: str, settings: dict[str, Any], max_norm: float | None, torch: ModuleType
) -> None:
    """Ten steps of a network without kinks: rounding stays rounding."""
    cc.manual_seed(0)
    t = torch.nn
    model = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(45, 4))
    twin = _twin(
        torch, model, t.Sequential(t.Conv2d(2, 5, 3, padding=1), t.Tanh(), t.AvgPool2d(2), t.Flatten(), t.Linear(45, 4))
    )
    trainer = cc.Trainer(model, nn.CrossEntropyLoss(), getattr(optim, name)(**settings), max_grad_norm=max_norm)
    judge = getattr(torch.optim, name)(twin.parameters(), **settings)
    rng = np.random.default_rng(0)
    for _ in range(10):
        x, y = rng.standard_normal((8, 2, 6, 6)).astype(np.float32), rng.integers(0, 4, 8)
        judge.zero_grad()
        loss = t.functional.cross_entropy(twin(torch.tensor(x).double()), torch.tensor(y))
        loss.backward()
        if max_norm:
            t.utils.clip_grad_norm_(twin.parameters(), max_norm)
        judge.step()
        assert trainer.step(x, y) == pytest.approx(loss.item(), rel=1e-3)
    for key, value in twin.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[key], value.numpy(), rtol=2e-3, atol=2e-4)


SCHEDULES: list[tuple[str, dict[str, Any]]] = [
    ("StepLR", {"step_size": 3, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [2, 5, 5, 9], "gamma": 0.3}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("CosineAnnealingLR", {"T_max": 12, "eta_min": 0.01}),
    ("LinearLR", {"start_factor": 0.1, "total_iters": 6}),
    ("LinearLR", {}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 20}),
    ("OneCycleLR", {"max_lr": 0.5, "epochs": 4, "steps_per_epoch": 5, "pct_start": 0.25, "anneal_strategy": "linear"}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 20, "three_phase": True, "div_factor": 10.0, "pct_start": 0.4}),
]


@pytest.mark.parametrize(("name", "settings"), SCHEDULES, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_schedule(name: str, settings: dict[str, Any], torch: ModuleType) -> None:
    judged = torch.optim.SGD([torch.zeros(1)], lr=0.2)
    more = {"cycle_momentum": False} if name == "OneCycleLR" else {}
    judge = getattr(torch.optim.lr_scheduler, name)(judged, **settings, **more)
    optimizer = optim.SGD(lr=0.2)
    schedule = getattr(optim, name)(optimizer, **settings)
    for step in range(19):
        assert optimizer.lr == pytest.approx(judged.param_groups[0]["lr"], rel=1e-9), f"step {step}"
        judged.step()
        judge.step()
        schedule.step()


@pytest.mark.parametrize(
    "settings",
    [
        {"patience": 1, "factor": 0.5},
        {"patience": 0, "factor": 0.1, "cooldown": 2, "min_lr": 1e-3},
        {"patience": 1, "mode": "max", "threshold": 0.1, "threshold_mode": "abs"},
        {"patience": 1, "mode": "max", "threshold": 0.2},
    ],
    ids=str,
)
def test_reduce_on_plateau(settings: dict[str, Any], torch: ModuleType) -> None:
    judged = torch.optim.SGD([torch.zeros(1)], lr=0.2)
    judge = torch.optim.lr_scheduler.ReduceLROnPlateau(judged, **settings)
    optimizer = optim.SGD(lr=0.2)
    schedule = optim.ReduceLROnPlateau(optimizer, **settings)
    rng = np.random.default_rng(0)
    for step, metric in enumerate(1 / (1 + 0.1 * np.arange(30)) + 0.1 * rng.standard_normal(30)):
        judge.step(float(metric))
        schedule.step(float(metric))
        assert optimizer.lr == pytest.approx(judged.param_groups[0]["lr"], rel=1e-9), f"step {step}"


def test_max_pool_indices_are_pytorchs(torch: ModuleType) -> None:
    for case in CASES["max_pool2d"]:
        x, a = case.inputs()[0], case.attributes
        if x is None or not len(x):
            continue
        _, expected = torch.nn.functional.max_pool2d(
            torch.tensor(as_images(x)),
            a["kernel_size"],
            a.get("stride", a["kernel_size"]),
            a.get("padding", 0),
            a.get("dilation", 1),
            a.get("ceil_mode", False),
            return_indices=True,
        )
        got: Array = _core.forward("max_pool2d_indices", a, [x])[0]
        np.testing.assert_array_equal(as_images(got), expected.numpy())


def test_tensors_of_pytorch_are_loaded(torch: ModuleType) -> None:
    """A PyTorch state dict fits as it is: names, shapes, and batch norm's counter passed over."""
    t = torch.nn
    twin = t.Sequential(
        t.Conv2d(3, 8, 3), t.BatchNorm2d(8), t.ReLU(), t.AdaptiveAvgPool2d(1), t.Flatten(), t.Linear(8, 2)
    )
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    )
    model.load_state_dict(twin.state_dict())
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 9)).astype(np.float32)
    expected = twin.eval().double()(torch.tensor(x).double())
    assert_near(model(x), expected.detach().numpy(), 200, "logits")
