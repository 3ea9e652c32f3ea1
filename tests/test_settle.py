"""Rearranges that are put off, joined and cancelled (cpp/graph/settle), and constants that are computed once."""

from typing import Any

import numpy as np
import pytest

from convcore import _core
from networks import Network, assert_near

POINTWISE = ("relu", "gelu", "hardswish", "sigmoid")
PAIRS = ("add", "multiply", "subtract", "maximum")
KINDS = (*POINTWISE, "pair", "pair", "vector", "vector", "turn", "turn", "turn", "view", "view", "norm", "matmul")
KINDS = (*KINDS, "matmul", "conv", "softmax", "softmax", "product", "product", "constant", "batch_norm")


def pick(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def vector(net: Network, size: int, shape: list[int]) -> int:
    """A parameter, brought to a shape of as many elements."""
    flat = net.parameter(f"vector{len(net.nodes)}", size, around=1.0)
    return net.node("rearrange", flat, shape=shape)


def grow(net: Network, values: list[int], rng: np.random.Generator) -> None:
    """Adds one random node, of the kinds that stand between rearranges."""
    x = values[-1] if rng.random() < 0.7 else pick(rng, values)
    shape = list(net.graph.shape(x))
    rank, kind = len(shape), pick(rng, KINDS)
    if kind in POINTWISE:
        y = net.node(kind, x)
    elif kind == "pair":
        y = net.node(pick(rng, PAIRS), x, pick(rng, [v for v in values if list(net.graph.shape(v)) == shape]))
    elif kind == "vector":
        axis = int(rng.integers(rank))
        operands = [x, vector(net, shape[axis], [s if d == axis else 1 for d, s in enumerate(shape)])]
        y = net.node(pick(rng, PAIRS), *(operands if rng.random() < 0.7 else operands[::-1]))
    elif kind == "turn":
        perm = [0, 2, 3, 1] if rank == 4 and rng.random() < 0.5 else [int(d) for d in rng.permutation(rank)]
        y = net.node("rearrange", x, perm=perm)
    elif kind == "view" and rank < 5:
        at = int(rng.integers(rank))
        joined = [*shape[:at], int(np.prod(shape[at : at + 2])), *shape[at + 2 :]]
        y = net.node("rearrange", x, shape=joined if rng.random() < 0.6 and rank > 2 else [*shape, 1])
    elif kind == "view":
        y = net.node("rearrange", x, shape=[shape[0] * shape[1], *shape[2:]])
    elif kind == "norm" and shape[-1] > 1:
        weights = [vector(net, shape[-1], [1] * (rank - 1) + shape[-1:]) for _ in range(int(rng.integers(3)))]
        y = net.node("layer_norm", x, *weights, axis=-1)
    elif kind == "matmul" and rank > 1:
        weight = net.parameter(f"weight{len(net.nodes)}", shape[-1], int(rng.integers(1, 20)))
        y = net.node("matmul", x, weight, dense=True)
    elif kind == "product" and rank in (3, 4):
        other = pick(rng, [v for v in values if list(net.graph.shape(v)) == shape])
        turned = net.node("rearrange", other, perm=[*range(rank - 2), rank - 1, rank - 2])
        y = net.node("matmul", x, turned) if rng.random() < 0.5 else net.node("matmul", turned, x)
    elif kind == "constant":
        table = net.parameter(f"table{len(net.nodes)}", *shape)
        y = net.node(pick(rng, PAIRS), x, net.node("channels_last", table))
    elif kind == "batch_norm" and rank in (2, 4) and not net.training:
        y = net.batch_norm(x)
    elif kind == "softmax":
        y = net.node("softmax", x, axis=-1)
    elif rank == 4 and shape[1] < 40:
        y = net.conv(x, int(rng.integers(1, 20)), 1)
    else:
        y = net.node("tanh", x)
    values.append(y)


def random_network(seed: int, training: bool) -> tuple[Network, list[int], np.ndarray, np.random.Generator]:
    rng = np.random.default_rng([seed, training])
    net = Network(training)
    shape = tuple(int(v) for v in (rng.integers(1, 3), rng.integers(1, 20), rng.integers(1, 6), rng.integers(1, 6)))
    values = [net.input(*shape)]
    for _ in range(int(rng.integers(3, 16))):
        grow(net, values, rng)
    _core.force_isa(str(rng.choice(_core.available_isas())))
    _core.set_num_threads(1 + seed % 2)
    return net, values, rng.standard_normal(shape).astype(np.float32), rng


@pytest.mark.parametrize("seed", range(150))
def test_inference(seed: int) -> None:
    net, values, x, rng = random_network(seed, training=False)
    outputs = [values[-1], values[int(rng.integers(len(values)))]]
    program = net.program(*outputs)
    for version in (1, 2):
        for p in net.parameters.values():
            p += 0.1 * rng.standard_normal(p.shape).astype(np.float32)
        exact = net.exact(x)
        for _ in range(2):
            for value, got in zip(outputs, program.run([x], version), strict=True):
                assert_near(got, exact[value], 40 * net.roundings() + 1000, f"value {value}")


@pytest.mark.parametrize("seed", range(100))
def test_training(seed: int) -> None:
    net, values, x, rng = random_network(seed, training=True)
    read = {value for node in net.nodes for value in node.inputs}
    means = []
    for v in [v for v in values if v not in read]:
        row = net.node("rearrange", v, shape=[1, int(np.prod(net.graph.shape(v)))])
        means.append(net.node("reduce", row, function="mean", axes=[1], keepdims=True))
    logits = net.linear(net.node("concat", *means), 3)
    labels = net.input(1, dtype="int64", name="y")
    program = net.program(net.node("cross_entropy", logits, labels))
    batch = [x, rng.integers(0, 3, 1)]
    outputs = program.forward_backward(batch)
    value, gradients = net.exact_gradients(*batch)
    roundings = 100 * net.roundings() + 10000
    assert_near(outputs[0], np.asarray(value), roundings, "loss")
    largest = max(float(np.abs(g).max(initial=0)) for g in gradients)
    for got, want, name in zip(net.gradient_views(program), gradients, net.graph.parameter_names(), strict=True):
        assert_near(np.append(got, largest), np.append(want, largest), roundings, name)


def channels_last_block(net: Network, x: int) -> int:
    """ConvNeXt's: depthwise convolution, norm and two linear layers of each pixel, a scale, and the way around it."""
    c = net.graph.shape(x)[1]
    y = net.conv(x, c, 3, groups=c)
    y = net.node("rearrange", y, perm=[0, 2, 3, 1], name="to last")
    y = net.node("layer_norm", y, vector(net, c, [1, 1, 1, c]), vector(net, c, [1, 1, 1, c]), axis=-1, name="norm")
    for out in (4 * c, c):
        y = net.node("matmul", y, net.parameter(f"weight{out}", net.graph.shape(y)[3], out), dense=True, name="matmul")
        y = net.node("add", y, vector(net, out, [1, 1, 1, out]), name="bias")
        if out > c:
            y = net.node("gelu", y, name="gelu")
    y = net.node("rearrange", y, perm=[0, 3, 1, 2], name="to first")
    y = net.node("multiply", y, vector(net, c, [1, c, 1, 1]), name="scale")
    return net.node("add", x, y, name="around")


def test_a_channels_last_block_moves_nothing() -> None:
    net = Network()
    program = net.program(channels_last_block(net, net.input(2, 20, 6, 5)))
    algorithms = {step["name"]: step["algorithm"] for step in program.steps()}
    assert "strided" not in algorithms.values()
    assert algorithms["matmul"] == "direct"
    for name in ("bias", "gelu", "scale", "around"):
        assert algorithms[name] == "fused", name


def test_constants_are_computed_when_parameters_change() -> None:
    net = Network()
    x = net.input(1, 3, 4, 5)
    table = net.parameter("table", 5, 4, 3)
    turned = net.node("rearrange", net.node("channels_last", table), perm=[2, 1, 0], shape=[1, 3, 4, 5], name="turned")
    program = net.program(net.node("add", x, net.node("softmax", turned)))
    image = np.ones((1, 3, 4, 5), np.float32)

    def seconds() -> float:
        return float(next(step["seconds"] for step in program.profile([image]) if step["name"] == "turned"))

    first = program.run([image], 1)[0]
    assert seconds() == 0
    net.parameters[table] += 1.0 + net.parameters[table]
    np.testing.assert_array_equal(program.run([image], 1)[0], first)
    assert np.abs(program.run([image], 2)[0] - net.exact(image)[net.outputs[0]]).max() < 1e-6
    program.pack(lambda parameter: None, 2)
    net.parameters[table][:] = 0
    assert np.abs(program.run([image], 2)[0] - first).max() > 0.01
