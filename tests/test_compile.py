"""compile, value_and_grad, summary and profile: what users see of programs."""

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import convcore as cc
from checks import assert_same_bits
from convcore import functional as F
from convcore import nn
from reference import Array


def image(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def net() -> nn.Sequential:
    cc.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.GlobalAvgPool2d(), nn.Flatten(), nn.Linear(8, 4)
    )


def test_a_compiled_model_is_the_model() -> None:
    model = net()
    program = cc.compile(model, (2, 3, 9, 9))
    x = image(2, 3, 9, 9)
    assert_same_bits(program(x), model(x), "compiled")
    assert program.memory["parameters"] == 4 * model.num_parameters()


def test_batch_sizes_as_a_tuple() -> None:
    model = net()
    program = cc.compile(model, ((1, 4), 3, 9, 9))
    x = image(4, 3, 9, 9)
    assert_same_bits(program(x), model(x), "4")
    assert_same_bits(program(x[:1]), model(x[:1]), "1")
    with pytest.raises(ValueError, match=r"program: compiled for batches of 1, 4, got \(2, 3, 9, 9\)"):
        program(x[:2])


def test_programs_by_batch_size_tell_of_each() -> None:
    program = cc.compile(net(), ((1, 4), 3, 9, 9))
    assert program.memory == {n: program.programs[n].memory for n in (1, 4)}
    assert [program.steps[n][0]["output"][0] for n in (1, 4)] == [1, 4]
    assert "conv2d" in str(program.profile(image(4, 3, 9, 9)))
    with pytest.raises(ValueError, match=r"program: compiled for batches of 1, 4"):
        program.profile(image(2, 3, 9, 9))


def test_types_are_numpys_too() -> None:
    model = net()
    x = np.full((1, 3, 9, 9), 200, np.uint8)
    for dtype in ("uint8", np.uint8, x.dtype, [np.uint8]):
        assert_same_bits(cc.compile(model, x.shape, dtype=dtype)(x), model(x), str(dtype))


def test_a_program_follows_its_model() -> None:
    model = net()
    program = cc.compile(model, (2, 3, 9, 9))
    x = image(2, 3, 9, 9)
    before = program(x)
    model[5].weight.data = model[5].weight.data * 2
    model[5].bias.data = model[5].bias.data * 2
    np.testing.assert_allclose(program(x), 2 * before, rtol=1e-5)
    model.load_state_dict({k: v * 0 for k, v in model.state_dict().items()})
    assert (program(x) == 0).all()


def test_profile_and_steps() -> None:
    program = cc.compile(net(), (2, 3, 9, 9))
    profile = str(program.profile(image(2, 3, 9, 9)))
    for step in program.steps:
        assert step["name"] in profile
    assert program.steps[0]["algorithm"] in profile
    with pytest.raises(ValueError, match="profile: rounds must be at least 1, got 0"):
        program.profile(image(2, 3, 9, 9), rounds=0)


def test_profile_as_json() -> None:
    profile = cc.compile(net(), (2, 3, 9, 9)).profile(image(2, 3, 9, 9), rounds=3)
    found = json.loads(profile.to_json())
    assert found["seconds"] == profile.seconds == sum(step["seconds"] for step in found["steps"])
    assert (found["rounds"], found["threads"], found["isa"]) == (3, cc.get_num_threads(), cc.info(measure=False)["isa"])
    for step, shown in zip(found["steps"], profile.steps, strict=True):
        assert step == {**shown, "output": list(shown["output"])}


def test_value_and_grad_against_differences() -> None:
    """Along a random direction, with the loss itself in float32: agreement to a few of its digits. (ReLU has kinks.)"""
    model = net()
    setattr(model, "2", nn.Tanh())
    loss_fn = nn.CrossEntropyLoss()
    x, y = image(6, 3, 9, 9), np.array([0, 1, 2, 3, 0, 1])
    function = cc.value_and_grad(model, loss_fn)
    loss, gradients = function(x, y)
    assert set(gradients) == {name for name, _ in model.named_parameters()}
    parameters = dict(model.named_parameters())
    rng = np.random.default_rng(1)
    directions = {name: rng.standard_normal(g.shape).astype(np.float32) for name, g in gradients.items()}
    slope = sum(float((g.astype(np.float64) * directions[name]).sum()) for name, g in gradients.items())
    h, losses = 1e-3, []
    kept = {name: np.array(p.data) for name, p in parameters.items()}
    for sign in (1, -1):
        for name, p in parameters.items():
            p.data = kept[name] + sign * h * directions[name]
        losses.append(function(x, y)[0])
    assert (losses[0] - losses[1]) / (2 * h) == pytest.approx(slope, rel=2e-3)
    for name, p in parameters.items():
        p.data = kept[name]
    assert function(x, y)[0] == loss


def test_value_and_grad_of_any_function() -> None:
    model = nn.Linear(3, 2, bias=False)
    x, y = image(4, 3), image(4, 2, seed=1)
    loss, gradients = cc.value_and_grad(model, lambda out, target: F.mse_loss(out, target, reduction="sum"))(x, y)
    error = x.astype(np.float64) @ np.asarray(model.weight.data, np.float64).T - y
    assert loss == pytest.approx((error**2).sum(), rel=1e-5)
    np.testing.assert_allclose(gradients["weight"], 2 * error.T @ x, rtol=1e-4, atol=1e-5)


def test_gradients_are_fresh_arrays() -> None:
    model = nn.Linear(3, 2)
    function = cc.value_and_grad(model, nn.MSELoss())
    first = function(image(4, 3), image(4, 2))[1]
    kept = {k: v.copy() for k, v in first.items()}
    function(image(4, 3, seed=5), image(4, 2, seed=6))
    for name, value in first.items():
        np.testing.assert_array_equal(value, kept[name])


def test_frozen_parameters_have_no_gradient() -> None:
    model = net()
    model[0].weight.requires_grad = False
    _, gradients = cc.value_and_grad(model, nn.CrossEntropyLoss())(image(2, 3, 9, 9), np.array([0, 1]))
    assert "0.weight" not in gradients
    assert "0.bias" in gradients


def test_gradients_follow_edits() -> None:
    model = net()
    f = cc.value_and_grad(model, nn.CrossEntropyLoss())
    x, y = image(4, 3, 5, 5), np.arange(4)
    assert "0.weight" in f(x, y)[1]
    model[0].weight.requires_grad = False
    assert "0.weight" not in f(x, y)[1]
    model[0].weight.requires_grad = True
    assert "0.weight" in f(x, y)[1]


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    model = cc.models.lenet5()
    summary = model.summary((1, 28, 28), batch_size=64)
    printed = capsys.readouterr().out
    assert summary.parameters == 61706
    assert summary.macs == 64 * (28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10)
    for words in ("61,706", "(64, 6, 28, 28)", "(64, 10)", "conv2d", "direct"):
        assert words in printed
    assert summary.training["total"] > summary.inference["total"]
    assert summary.layers[-1].output == (64, 10)


@pytest.mark.parametrize(
    ("call", "words", "error"),
    [
        (lambda m: cc.compile(m, (1, 4, 9, 9)), r"^0 \(conv2d\): weight expects 3 .* got x with 4", cc.ShapeError),
        (lambda m: cc.compile(m, (1, 3, 0, 9)), r"^0 \(conv2d\): .*\(1, 3, 0, 9\)", cc.ShapeError),
        (lambda m: cc.compile(m, (1, 3)), r"^0 \(conv2d\): .*\(1, 3\)", cc.ShapeError),
        (lambda m: cc.compile(m, (-1, 3, 9, 9)), "x.*-1", ValueError),
        (lambda m: cc.compile(m, ()), r"compile: shape.*\(\)", TypeError),
        (lambda m: cc.compile(m, "big"), "compile: shape.*big", TypeError),
        (lambda m: cc.compile(m, (1, 3, 9.5, 9)), "compile: shape.*9.5", TypeError),
        (lambda m: cc.compile(m, (1, 3, 9, 9), dtype="float16"), "compile: dtype.*float16", ValueError),
        (lambda m: cc.compile(len, (1, 3, 9, 9)), "compile: model.*builtin", TypeError),
        (lambda m: m(), "Sequential: .*nothing", TypeError),
        (lambda m: m(image(2, 4, 9, 9)), r"^0 \(conv2d\): ", cc.ShapeError),
        (lambda m: m("picture"), "", (TypeError, ValueError)),
        (lambda m: m(image(2, 3, 9, 9) * 1j), "complex", TypeError),
        (lambda m: nn.Module()(image(1, 2)), "Module: define forward", NotImplementedError),
        (lambda m: nn.Sequential(m, nn.Linear(5, 2))(image(1, 3, 9, 9)), r"^1 \(linear\): .*5.*4", cc.ShapeError),
        (lambda m: nn.Conv2d(3, 4, 3, groups=2), "Conv2d: .*groups.*3, 4 and 2", ValueError),
        (lambda m: nn.Conv2d(0, 4, 3), "Conv2d: .*0", ValueError),
        (lambda m: nn.Conv2d(3, 4, 0), "Conv2d: .*0", ValueError),
        (lambda m: nn.Conv2d(3, 4, "3"), "Conv2d: kernel_size.*'3'", TypeError),
        (lambda m: nn.Linear(2.5, 4), "Linear: in_features.*2.5", TypeError),
        (lambda m: nn.Sequential(3), "Sequential: .*int", TypeError),
        (lambda m: nn.BatchNorm2d(3)(image(2, 3)), r"BatchNorm2d: .*\(2, 3\)", ValueError),
        (lambda m: m.summary(), "summary: ", TypeError),
        (lambda m: m.summary(28), "summary: input_shapes.*got 28", TypeError),
        (lambda m: m.summary((3, 9, 9), dtype="foo"), "summary: dtype.*foo", ValueError),
        (
            lambda m: m.load_state_dict({"5.bias": [[1], [2, 3]]}, False),
            r"load_state_dict: (?s:.*)5\.bias +no array +list",
            ValueError,
        ),
        (lambda m: m.summary((3, 9, 9), batch_size="two"), "summary: batch_size.*two", TypeError),
        (lambda m: cc.compile(m, [()]), r"compile: shape must be of one dimension or more.*\[\(\)\]", ValueError),
        (lambda m: cc.compile(m, ((), 3, 9, 9)), "compile: shape must hold at least one batch size", ValueError),
        (lambda m: cc.compile(m, (1, 3, 9, 9), dtype=None), "compile: dtype.*None", ValueError),
        (lambda m: cc.compile(m, (1, 3, 9, 9), dtype=float), "compile: dtype.*float", ValueError),
        (
            lambda m: cc.compile(m, (1, 3, 9, 9), dtype=("uint8", "uint8")),
            "compile: dtype must be given once",
            ValueError,
        ),
        (lambda m: cc.manual_seed(1.5), "manual_seed: seed must be an int, got 1.5", TypeError),
        (lambda m: cc.load("no.file", "foo"), "load: model must be a Module, got str", TypeError),
        (lambda m: m.load_state_dict([1]), "load_state_dict: expected a dict of arrays, got list", TypeError),
    ],
)
def test_wrong_calls(call: Callable[[Any], object], words: str, error: type[Exception]) -> None:
    model = net()
    with pytest.raises(error, match=words or None):
        call(model)


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (lambda x: float(x), "has no values yet"),
        (lambda x: F.relu(x) if x else x, "has no values yet"),
        (lambda x: np.maximum(x, 0), "has no values yet|unsupported|__array_ufunc__"),
        (lambda x: None, "must return a symbol"),
        (lambda x: np.zeros(3), "must return a symbol"),
        (lambda x: [y for y in x], "has no values yet"),
        (lambda x: F.conv2d_backward(x, x, x), "arrays, not symbols"),
    ],
)
def test_what_forward_cannot_do(forward: Callable[[Any], Any], words: str) -> None:
    class Model(nn.Module):
        def forward(self, x: Any) -> Any:
            return forward(x)

    with pytest.raises(TypeError, match=words):
        Model()(image(1, 3))


def test_a_parameter_outside_the_model() -> None:
    stray = nn.Linear(3, 3)

    class Model(nn.Module):
        def forward(self, x: Any) -> Any:
            return F.linear(x, stray.weight)

    with pytest.raises(ValueError, match="does not belong to the model"):
        Model()(image(1, 3))


# --- weights that only the program keeps ---------------------------------------------------------------------------


def small_network() -> nn.Module:
    layers = [nn.Conv2d(3, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 24, 3)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(24 * 36, 5))


def test_released_weights() -> None:
    model, x = small_network(), np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    expected, kept = model(x), cc.compile(model, x.shape).memory
    program = cc.compile(model, x.shape, keep_weights=False)
    for _ in range(2):
        np.testing.assert_array_equal(program(x), expected)
    weights = {name: p for name, p in model.named_parameters() if name.endswith("weight") and p.ndim > 1}
    assert program.memory["parameters"] <= kept["parameters"] - 4 * sum(p.size for p in weights.values())
    assert program.memory["packed"] == kept["packed"]
    for parameter in weights.values():
        with pytest.raises(ValueError, match=r"its values are gone.*keep_weights=False"):
            _ = parameter.data
        with pytest.raises(ValueError, match="gone"):
            parameter.data = np.zeros(parameter.shape)
    for use in (model.state_dict, lambda: model(x[:1]), lambda: copy.deepcopy(model)):
        with pytest.raises(ValueError, match="gone"):
            use()


def test_released_weights_cannot_change() -> None:
    model, x = small_network(), np.ones((1, 3, 8, 8), np.float32)
    program = cc.compile(model, x.shape, keep_weights=False)
    model[3].bias.data = np.ones(24)
    with pytest.raises(ValueError, match="packed for good"):
        program(x)
    with pytest.raises(ValueError, match="one batch size"):
        cc.compile(small_network(), ((1, 2), 3, 8, 8), keep_weights=False)


def test_a_weight_that_two_layers_share_is_released_once_both_have_packed_it() -> None:
    model = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
    model[2].weight = model[0].weight
    x = np.random.default_rng(0).standard_normal((1, 8, 9, 9)).astype(np.float32)
    expected = model(x)
    np.testing.assert_array_equal(cc.compile(model, x.shape, keep_weights=False)(x), expected)
