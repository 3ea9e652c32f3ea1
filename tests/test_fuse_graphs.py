"""Fusion in graphs: values, loss and gradients are those of the layers one by one, and of float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convcore import _core
from networks import Network, assert_near
from reference import Array

Builder = Callable[[Network, int], int]


def relu(net: Network, x: int) -> int:
    return net.node("relu", x)


def plain(kind: str, **attributes: Any) -> Builder:
    return lambda net, x: net.node(kind, net.conv(net.conv(x, 6, 1), 20, 3, **attributes))


def depthwise(net: Network, x: int) -> int:
    y = net.node("relu6", net.conv(x, 12, 1, bias=False))
    return net.node("relu6", net.conv(y, 12, 3, groups=12))


def transposed(net: Network, x: int) -> int:
    x = net.conv(x, 6, 1)
    weight, bias = net.parameter("t.weight", 6, 5, 3, 3), net.parameter("t.bias", 5)
    return relu(net, net.node("conv_transpose2d", x, weight, bias, stride=[2, 2]))


def linear(net: Network, x: int) -> int:
    y = net.node("flatten", x)
    return net.node("relu6", net.linear(net.node("relu", net.linear(y, 33)), 17))


def shortcut(first: bool, kind: str = "relu") -> Builder:
    """A convolution that adds its block's input, which other convolutions read as well."""

    def build(net: Network, x: int) -> int:
        x = relu(net, net.conv(x, 8, 3))
        for _ in range(2):
            y = net.conv(relu(net, net.conv(x, 8, 3)), 8, 3)
            x = net.node(kind, net.node("add", *((x, y) if first else (y, x))))
        return x

    return build


def own_input(net: Network, x: int) -> int:
    x = relu(net, net.conv(x, 8, 3))
    return relu(net, net.node("add", net.conv(x, 8, 3), x))


def twice(net: Network, x: int) -> int:
    """A value added to itself, and one shortcut's value that is added twice."""
    x = net.conv(x, 5, 3)
    y = net.node("add", x, x)
    z = net.node("add", net.conv(y, 5, 1), y)
    return relu(net, net.node("add", net.node("tanh", z), y))


def shared_sum(net: Network, x: int) -> int:
    """Both operands of an addition are overwritten behind it, by masks and in place."""
    a, b = relu(net, net.conv(x, 7, 3)), relu(net, net.conv(x, 7, 1))
    y = net.node("add", a, b)
    return net.node("add", net.node("sigmoid", y), net.node("relu6", net.conv(net.node("tanh", a), 7, 1)))


def joined(net: Network, x: int) -> int:
    """Gradients that are slices are masked, added to, and shared."""
    a = relu(net, net.conv(x, 5, 3))
    b = relu(net, net.conv(a, 4, 3))
    y = net.node("concat", a, b, net.node("relu6", net.conv(b, 3, 1)))
    return net.node("concat", relu(net, net.node("add", net.conv(y, 12, 1), y)), b)


def read_twice(net: Network, x: int) -> int:
    """The convolution's output has a second reader: no mask goes into it."""
    y = net.conv(x, 6, 3)
    return net.node("add", relu(net, y), net.node("sigmoid", y))


def norm(kind: str, *, bias: bool, read_again: bool = False) -> Builder:
    def build(net: Network, x: int) -> int:
        y = net.conv(net.conv(x, 6, 1), 20, 3, bias=bias)
        z = net.batch_norm(y)
        z = net.node(kind, z) if kind else z
        return net.node("add", net.node("tanh", y), z) if read_again else z

    return build


def residual(first: bool, kind: str = "relu") -> Builder:
    """ResNet's two blocks: an identity shortcut, and one with a convolution and a batch norm."""

    def build(net: Network, x: int) -> int:
        x = net.node(kind, net.batch_norm(net.conv(x, 8, 3, bias=False)))
        for channels, stride in ((8, 1), (17, 2), (17, 1)):
            y = relu(net, net.batch_norm(net.conv(x, channels, 3, bias=False, stride=[stride] * 2)))
            y = net.batch_norm(net.conv(y, channels, 3, bias=False))
            if stride > 1:
                x = net.batch_norm(net.conv(x, channels, 1, bias=False, stride=[stride] * 2))
            x = net.node(kind, net.node("add", *((x, y) if first else (y, x))))
        return x

    return build


def inverted(net: Network, x: int) -> int:
    """MobileNet's: depthwise, no activation behind the addition."""
    x = net.batch_norm(net.conv(x, 6, 1, bias=False))
    for _ in range(2):
        y = net.node("relu6", net.batch_norm(net.conv(x, 20, 1, bias=False)))
        y = net.node("relu6", net.batch_norm(net.conv(y, 20, 3, bias=False, groups=20)))
        x = net.node("add", x, net.batch_norm(net.conv(y, 6, 1, bias=False)))
    return x


def two_norms(net: Network, x: int) -> int:
    """Two batch norms read one convolution, and a third reads pixels that no convolution made."""
    y = net.conv(x, 9, 3)
    y = net.node("add", net.node("relu", net.batch_norm(y)), net.node("relu6", net.batch_norm(y)))
    return relu(net, net.batch_norm(net.node("max_pool2d", y, kernel_size=[2, 2])))


# builder, and how many nodes are taken in
NETWORKS: dict[str, tuple[Builder, int]] = {
    "relu": (plain("relu"), 1),
    "relu6": (plain("relu6"), 1),
    "no bias": (plain("relu", bias=False), 1),
    "strided": (plain("relu6", stride=[2, 1]), 1),
    "depthwise": (depthwise, 2),
    "transposed": (transposed, 1),
    "linear": (linear, 2),
    "shortcut": (shortcut(False), 7),
    "shortcut first": (shortcut(True), 7),
    "shortcut without clamp": (shortcut(True, "sigmoid"), 5),
    "own input": (own_input, 3),
    "twice": (twice, 1),
    "shared sum": (shared_sum, 3),
    "joined": (joined, 5),
    "read twice": (read_twice, 0),
    "norm": (norm("", bias=False), 0),
    "norm relu": (norm("relu", bias=False), 1),
    "norm relu6, bias": (norm("relu6", bias=True), 1),
    "norm read beside": (norm("relu", bias=False, read_again=True), 1),
    "residual": (residual(False), 10),
    "residual, shortcut first": (residual(True), 10),
    "residual relu6": (residual(False, "relu6"), 10),
    "residual without clamp": (residual(True, "sigmoid"), 6),
    "inverted residual": (inverted, 6),
    "two norms": (two_norms, 3),
}


def network(
    build: Builder, plainly: bool = False, shape: tuple[int, ...] = (3, 5, 8, 7)
) -> tuple[Network, _core.Program]:
    """plainly: every value is an output, so that nothing is fused, and nothing shares memory."""
    net = Network(training=True)
    y = build(net, net.input(*shape))
    if len(net.graph.shape(y)) == 4:
        y = net.node("flatten", net.node("adaptive_avg_pool2d", y, output_size=[2, 2]))
    loss = net.node("cross_entropy", net.linear(y, 4), net.input(shape[0], dtype="int64", name="y"))
    values = [node.output for node in net.nodes[:-1]] if plainly else []
    return net, net.program(loss, *values)


def batch(shape: tuple[int, ...] = (3, 5, 8, 7)) -> list[Array]:
    rng = np.random.default_rng(7)
    return [rng.standard_normal(shape).astype(np.float32), rng.integers(0, 4, shape[0])]


def fused(program: _core.Program) -> int:
    return sum(step["algorithm"] == "fused" for step in program.steps())


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients(name: str, isa: str) -> None:
    _core.force_isa(isa)
    build, count = NETWORKS[name]
    net, program = network(build)
    assert fused(program) == count
    one, alone = network(build, plainly=True)
    assert fused(alone) == 0
    exact_loss, exact = net.exact_gradients(*batch())
    results = []
    for threads in (1, 2, 2):
        _core.set_num_threads(threads)
        (loss,) = program.forward_backward(batch())
        results.append((loss.tobytes(), net.gradients.tobytes()))
    assert results[0] == results[1] == results[2]
    roundings = 20 * net.roundings() + 1000
    assert_near(loss, np.asarray(exact_loss), roundings, "loss")
    assert_near(loss, alone.forward_backward(batch())[0], roundings, "loss")
    largest = max(float(np.abs(g).max()) for g in exact)
    views = zip(net.gradient_views(program), one.gradient_views(alone), exact, net.graph.parameter_names(), strict=True)
    for got, unfused, want, parameter in views:
        assert_near(np.append(got, largest), np.append(want, largest), roundings, parameter)
        assert_near(np.append(got, largest), np.append(unfused, largest), roundings, parameter)


@pytest.mark.parametrize("name", NETWORKS)
def test_inference(name: str) -> None:
    build, _ = NETWORKS[name]
    net = Network()
    y = build(net, net.input(3, 5, 8, 7))
    rng = np.random.default_rng(3)
    for buffer in net.buffers.values():
        buffer[:] = rng.uniform(0.5, 2, buffer.shape)
    program = net.program(y)
    (x, _) = batch()
    exact = net.exact(x)[y]
    for _ in range(2):
        assert_near(program.run([x])[0], exact, 20 * net.roundings() + 1000, name)


def test_inference_of_residual_blocks_is_convolutions_alone() -> None:
    for first in (False, True):
        net = Network()
        program = net.program(residual(first)(net, net.input(3, 5, 8, 7)))
        kinds = [step["kind"] for step in program.steps() if step["algorithm"] != "fused"]
        assert kinds == ["conv2d"] * 8


@pytest.mark.parametrize("shape", [(1, 1, 6, 6), (2, 3, 21, 40), (70, 2, 3, 3)])
@pytest.mark.parametrize("kind", ["relu", "relu6"])
def test_sizes(kind: str, shape: tuple[int, ...]) -> None:
    """Bias gradients are summed while they are masked: pixels and channels of every sort of tail."""
    for channels in (1, 6, 16, 19):

        def build(net: Network, x: int, channels: int = channels) -> int:
            return net.node(kind, net.conv(x, channels, 3))

        net, program = network(build, shape=shape)
        program.forward_backward(batch(shape))
        _, exact = net.exact_gradients(*batch(shape))
        for got, want, name in zip(net.gradient_views(program), exact, net.graph.parameter_names(), strict=True):
            assert_near(got, want, 20 * net.roundings() + 1000, f"{name} of {channels}")
