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
    batch = int(rng.integers(1, 3)) if training or seed % 15 else 0
    shape = (batch, *(int(v) for v in (rng.integers(1, 20), rng.integers(1, 6), rng.integers(1, 6))))
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
    parameters = list(net.parameters.values())
    program.pack(lambda i: parameters[i].fill(np.nan), 2)  # nobody reads them any more
    for value, got in zip(outputs, program.run([x], 2), strict=True):
        assert_near(got, exact[value], 40 * net.roundings() + 1000, f"value {value}, packed")


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


def test_a_product_that_is_an_output_has_its_own_step() -> None:
    net = Network()
    weight = net.parameter("weight", 40, 50)
    program = net.program(net.node("matmul", net.input(2, 30, 40), weight, dense=True, name="product"))
    step = next(step for step in program.steps() if step["name"] == "product")
    assert step["algorithm"] == "direct"
    assert step["flops"] == 2 * 60 * 40 * 50


@pytest.mark.parametrize("shape", [(2, 3, 0), (0, 6, 4), (0, 6, 1, 5), (0, 1, 5, 8), (2, 0, 3, 4)])
def test_empty_tensors(shape: tuple[int, ...]) -> None:
    net = Network()
    x = net.input(*shape)
    values = [net.node("matmul", x, net.parameter("weight", shape[-1], 5), dense=True)]
    if all(shape[1:]):
        values += [net.node("layer_norm", x, axis=-1), net.node("softmax", x, axis=-1)]
    if len(shape) == 4:
        turned = net.node("rearrange", x, perm=[0, 2, 3, 1])
        values += [net.node("relu", turned), net.node("add", turned, turned)]
    for value, y in zip(values, net.program(*values).run([np.ones(shape, np.float32)]), strict=True):
        assert y.shape == tuple(net.graph.shape(value))
        assert not y.any()


def test_constants_are_checked_when_they_are_packed() -> None:
    net = Network()
    table, index = net.parameter("table", 3, 4), net.parameter("index", 2, 1000)
    net.parameters[index][:] = np.arange(1000)
    rows = net.node("gather", table, net.node("argmax", index, axis=1), axis=0)
    program = net.program(net.node("add", net.linear(net.input(2, 5), 4), rows))
    with pytest.raises(ValueError, match=r"gather.*999"):
        program.run([np.ones((2, 5), np.float32)], 1)
    with pytest.raises(ValueError, match=r"gather.*999"):
        program.pack(lambda parameter: None, 1)


def test_a_constant_beside_computed_channels_is_a_slice_still() -> None:
    net = Network()
    x, table = net.input(1, 6, 8, 8), net.parameter("table", 1, 3, 8, 8)
    joined = net.node("concat", net.node("tanh", x), net.node("channels_last", table), name="joined")
    program = net.program(net.node("relu", joined))
    assert next(step["bytes"] for step in program.steps() if step["name"] == "joined") == 0
    image = np.ones((1, 6, 8, 8), np.float32)
    for _ in range(2):
        assert_near(program.run([image])[0], net.exact(image)[net.outputs[0]], 20, "relu")


def test_what_lies_between_constants_is_given_back() -> None:
    net = Network()
    x, table = net.input(1, 3, 40, 40), net.parameter("table", 1, 3, 40, 40)
    value = net.node("channels_last", table)
    for _ in range(10):
        value = net.node("tanh", value)
    program = net.program(net.node("add", net.node("softmax", x), value))
    assert program.memory()["arena"] <= 4 * 4 * 3 * 40 * 40


def test_many_constants_of_constants_compile_at_once() -> None:
    net = Network()
    value = net.node("channels_last", net.parameter("table", 1, 3, 4, 4))
    for _ in range(60):
        value = net.node("multiply", value, net.node("sigmoid", value))
        value = net.node("add", value, value)
    turned = net.node("rearrange", net.input(1, 4, 3, 4), perm=[0, 2, 1, 3])
    program = net.program(net.node("add", turned, value))
    assert program.run([np.zeros((1, 4, 3, 4), np.float32)])[0].shape == (1, 3, 4, 4)


def test_a_parameter_that_is_an_output_is_not_released() -> None:
    net = Network()
    weight = net.parameter("weight", 4, 4)
    program = net.program(net.node("linear", net.input(2, 4), weight), weight)
    program.pack(lambda i: pytest.fail("it is an output"), 1)
