"""Networks that no one would draw: random graphs, whose values are read, joined and given out in every way.

What they try is the plan: memory reused too early, an op in place where someone still reads, a slice of a
concatenation that is not where its producer wrote.
"""

import numpy as np
import pytest

from convcore import _core
from networks import Network, assert_near

ACTIVATIONS = ("relu", "relu", "relu6", "sigmoid", "tanh", "silu", "leaky_relu", "hardswish", "softmax", "elu", "mish")
ELEMENTWISE = (*ACTIVATIONS, "softsign", "abs", "neg")
PAIRS = ("add", "multiply", "subtract", "maximum", "minimum")
OTHERS = ("conv", "norm", *PAIRS, "concat", "concat", "max_pool", "avg_pool", "mean", "reduce")
PLACES = ("part", "part", "part", "crop", "repeat", "below")
KINDS = (*ELEMENTWISE, *OTHERS, *PLACES, "conv", "conv", "norm", "add")


def grow(net: Network, values: list[int], rng: np.random.Generator) -> None:
    """Adds one random node."""
    shape = net.graph.shape

    def pick(choices: list[int]) -> int:
        return choices[int(rng.integers(len(choices)))]

    x = values[-1] if rng.random() < 0.6 else pick(values)
    n, c, h, w = shape(x)
    kind = str(rng.choice(KINDS))
    if kind in ELEMENTWISE:
        y = net.node(kind, x)
    elif kind == "conv":
        y = net.conv(x, int(rng.integers(1, 12)), int(rng.choice([1, 3])), stride=[int(rng.integers(1, 3)), 1])
    elif kind == "norm" and n * h * w >= 8:
        y = net.batch_norm(x)
    elif kind in PAIRS:
        other = pick([v for v in values if all(a in (1, b) for a, b in zip(shape(v), (n, c, h, w), strict=True))] + [x])
        y = net.node(kind, *((x, other) if rng.random() < 0.5 else (other, x)))
    elif kind == "reduce":
        axes = [int(axis) for axis in rng.choice(4, int(rng.integers(1, 4)), replace=False) if axis > 0]
        y = net.node("reduce", x, function=str(rng.choice(["sum", "mean", "max", "l2"])), axes=axes, keepdims=True)
    elif kind == "concat" and c < 20:
        joined = [pick([v for v in values if shape(v)[2:] == (h, w) and shape(v)[1] < 20]) for _ in range(2)]
        y = net.node("concat", x, *joined)
    elif kind == "part":
        first, size = int(rng.integers(c)), int(rng.integers(1, c + 1))
        y = net.node("slice", x, starts=[0, first, 0, 0], steps=[1] * 4, sizes=[n, min(size, c - first), h, w])
    elif kind == "crop" and h > 1:
        y = net.node("pad", x, pads=[0, 0, -1, 1, 0, 0, 0, -1 if w > 1 else 0])
    elif kind == "repeat" and c < 20:
        y = net.node("tile", x, repeats=[1, int(rng.integers(1, 3)), 1, 1])
    elif kind == "below" and h < 9:
        y = net.node(
            "concat", x, pick([v for v in values if shape(v)[1::2] == (c, w) and shape(v)[2] < 9] + [x]), axis=2
        )
    elif kind == "max_pool":
        y = net.node("max_pool2d", x, kernel_size=[2, 2], stride=[1, int(rng.integers(1, 3))], padding=[1, 1])
    elif kind == "avg_pool" and min(h, w) > 1:
        y = net.node("avg_pool2d", x, kernel_size=[2, 2], stride=[1, 1])
    else:
        y = net.node("adaptive_avg_pool2d", x, output_size=[1, 1])
    values.append(y)


def random_network(seed: int, training: bool) -> tuple[Network, list[int], list[np.ndarray], np.random.Generator]:
    rng = np.random.default_rng([seed, training])
    net = Network(training)
    shape = tuple(int(v) for v in (2, rng.integers(1, 9), rng.integers(3, 8), rng.integers(3, 8)))
    values = [net.input(*shape), net.input(*shape, name="x2")]
    for _ in range(int(rng.integers(3, 15))):
        grow(net, values, rng)
    inputs = [rng.standard_normal(shape).astype(np.float32) for _ in range(2)]
    _core.force_isa(str(rng.choice(_core.available_isas())))
    _core.set_num_threads(1 + seed % 2)
    return net, values, inputs, rng


@pytest.mark.parametrize("seed", range(60))
def test_inference(seed: int) -> None:
    net, values, inputs, rng = random_network(seed, training=False)
    outputs = [values[int(i)] for i in rng.integers(0, len(values), 3)]
    kept = [x.copy() for x in inputs]
    program = net.program(*outputs)
    exact = net.exact(*inputs)
    for _ in range(2):
        for value, got in zip(outputs, program.run(inputs), strict=True):
            assert_near(got, exact[value], 4 * net.roundings() + 100, f"value {value}")
    for x, before in zip(inputs, kept, strict=True):
        np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("seed", range(60))
def test_training(seed: int) -> None:
    net, values, inputs, rng = random_network(seed, training=True)
    read = {value for node in net.nodes for value in node.inputs}
    ends = [v for v in values if v not in read] + [values[int(rng.integers(len(values)))]]
    means = [net.node("flatten", net.node("adaptive_avg_pool2d", v, output_size=[1, 1])) for v in ends]
    logits = net.linear(net.node("concat", *means), 5)
    labels = net.input(2, dtype="int64", name="y")
    loss = net.node("cross_entropy", logits, labels)
    batch = [*inputs, rng.integers(0, 5, 2)]
    program = net.program(loss, values[int(rng.integers(len(values)))])
    for _ in range(2):
        outputs = program.forward_backward(batch)
    value, gradients = net.exact_gradients(*batch)
    roundings = 20 * net.roundings() + 1000
    assert_near(outputs[0], np.asarray(value), roundings, "loss")
    assert_near(outputs[1], net.exact(*batch)[net.outputs[1]], roundings, "value beside the loss")
    largest = max(float(np.abs(g).max()) for g in gradients)
    for got, want, name in zip(net.gradient_views(program), gradients, net.graph.parameter_names(), strict=True):
        assert_near(np.append(got, largest), np.append(want, largest), roundings, name)
