"""What the tests of fusion share."""

import numpy as np

import convcore as cc
from convcore import nn
from reference import Array


def image(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def shake(model: nn.Module) -> None:
    """Gives every parameter and statistic values of its own; running variances stay positive."""
    rng = np.random.default_rng(1)
    state = {name: rng.standard_normal(v.shape).astype(np.float32) for name, v in model.state_dict().items()}
    model.load_state_dict({name: np.abs(v) + 0.1 if name.endswith("running_var") else v for name, v in state.items()})


def one_by_one(model: nn.Sequential, x: Array) -> Array:
    """Each layer a program of its own: nothing there to fuse."""
    for layer in model:
        x = layer(x)
    return x


def compiled(model: nn.Module, shape: tuple[int, ...]) -> cc.CompiledProgram:
    program = cc.compile(model, shape)
    assert isinstance(program, cc.CompiledProgram)
    return program


def fused(program: cc.CompiledProgram) -> list[str]:
    return [step["name"] for step in program.steps if step["algorithm"] == "fused"]


def assert_close(got: Array, expected: Array) -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
