"""Small networks built node by node, in the core's Graph and, beside it, in float64: both get the same nodes.

The float64 twin runs the reference ops forward and, in reverse, backward: gradients of a whole network from the
reference alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from convcore import _core
from reference import OPS, Array

EPS = float(np.finfo(np.float32).eps)


@dataclass
class Node:
    kind: str
    attributes: Mapping[str, Any]
    inputs: Sequence[int]
    output: int


@dataclass
class Network:
    """A graph, the float32 memory of its parameters and buffers, and its float64 twin."""

    training: bool = False
    graph: _core.Graph = field(init=False)
    inputs: list[int] = field(default_factory=list)
    parameters: dict[int, Array] = field(default_factory=dict)
    buffers: dict[int, Array] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.graph = _core.Graph(self.training)
        self._rng = np.random.default_rng(0)

    # --- building -------------------------------------------------------------------------------------------------

    def input(self, *shape: int, dtype: str = "float32", name: str = "x") -> int:
        self.inputs.append(self.graph.add_input(name, shape, dtype))
        return self.inputs[-1]

    def parameter(self, name: str, *shape: int, around: float = 0.0) -> int:
        fan = max(1, int(np.prod(shape[1:])))
        values = around + self._rng.standard_normal(shape) / np.sqrt(fan)
        value = self.graph.add_parameter(name, shape)
        self.parameters[value] = values.astype(np.float32)
        return value

    def buffer(self, name: str, *shape: int, fill: float = 0.0) -> int:
        value = self.graph.add_buffer(name, shape)
        self.buffers[value] = np.full(shape, fill, np.float32)
        return value

    def node(self, kind: str, *inputs: int, name: str = "", **attributes: Any) -> int:
        output = self.graph.add_node(kind, name or f"{kind}{len(self.nodes)}", attributes, inputs)
        self.nodes.append(Node(kind, attributes, inputs, output))
        return output

    def conv(self, x: int, out: int, size: int, *, bias: bool = True, groups: int = 1, **attributes: Any) -> int:
        name = f"conv{len(self.nodes)}"
        weight = self.parameter(f"{name}.weight", out, self.graph.shape(x)[1] // groups, size, size)
        b = self.parameter(f"{name}.bias", out) if bias else -1
        return self.node("conv2d", x, weight, b, name=name, padding=[size // 2] * 4, groups=groups, **attributes)

    def linear(self, x: int, out: int) -> int:
        name = f"linear{len(self.nodes)}"
        weight = self.parameter(f"{name}.weight", out, self.graph.shape(x)[1])
        return self.node("linear", x, weight, self.parameter(f"{name}.bias", out), name=name)

    def batch_norm(self, x: int) -> int:
        name, c = f"norm{len(self.nodes)}", self.graph.shape(x)[1]
        weight, bias = self.parameter(f"{name}.weight", c, around=1.0), self.parameter(f"{name}.bias", c)
        mean, variance = self.buffer(f"{name}.mean", c), self.buffer(f"{name}.variance", c, fill=1.0)
        return self.node("batch_norm", x, weight, bias, mean, variance, name=name)

    def program(self, *outputs: int) -> _core.Program:
        """Compiled and bound; gradients in `self.gradients`."""
        self.outputs = list(outputs)
        self.graph.set_outputs(self.outputs)
        program = _core.Program(self.graph)
        self.gradients = np.zeros(program.gradient_size if self.training else 0, np.float32)
        self.bind(program)
        return program

    def bind(self, program: _core.Program) -> None:
        gradients = self.gradients if self.training else None
        program.bind(list(self.parameters.values()), list(self.buffers.values()), gradients)

    def gradient_views(self, program: _core.Program) -> list[Array]:
        views = []
        for i, parameter in enumerate(self.parameters.values()):
            offset = program.gradient_offset(i)
            views.append(self.gradients[offset : offset + parameter.size].reshape(parameter.shape))
        return views

    # --- the float64 twin -----------------------------------------------------------------------------------------

    def _op(self, kind: str) -> Any:
        return OPS["batch_norm training" if kind == "batch_norm" and self.training else kind]

    def exact(self, *inputs: Array) -> dict[int, Array]:
        """Every value of the network in float64."""
        given = {**dict(zip(self.inputs, inputs, strict=True)), **self.parameters, **self.buffers}
        values = {k: v if v.dtype == np.int64 else v.astype(np.float64) for k, v in given.items()}
        for node in self.nodes:
            arguments = [None if i < 0 else values[i] for i in node.inputs]
            values[node.output] = self._op(node.kind).forward(node.attributes, *arguments)
        return values

    def exact_gradients(self, *inputs: Array) -> tuple[float, list[Array]]:
        """The loss (the first output) and its gradient for each parameter, by running the nodes in reverse."""
        values = self.exact(*inputs)
        gradients: dict[int, Array] = {self.outputs[0]: np.asarray(1.0)}
        for node in reversed(self.nodes):
            if node.output not in gradients:
                continue
            arguments = [None if i < 0 else values[i] for i in node.inputs]
            for i, g in zip(
                node.inputs,
                self._op(node.kind).backward(node.attributes, arguments, gradients[node.output]),
                strict=False,
            ):
                if i >= 0 and g is not None:
                    gradients[i] = gradients[i] + g if i in gradients else g
        zero = np.zeros(())
        found = [gradients.get(p, zero) + np.zeros(v.shape) for p, v in self.parameters.items()]
        return float(values[self.outputs[0]]), found

    def roundings(self) -> int:
        """Upper bound on the roundings on a way through the network: the lengths of all its sums, there and back."""
        total = 0
        for node in self.nodes:
            sizes = [int(np.prod(self.graph.shape(i)[2:])) for i in node.inputs if i >= 0]
            fans = [int(np.prod(self.parameters[i].shape[1:])) for i in node.inputs if i in self.parameters]
            total += 8 + 2 * max(fans, default=0) + 2 * max(sizes, default=0)
        return total


def assert_near(actual: Array, expected: Array, roundings: int, what: str) -> None:
    """Error relative to the largest element: every layer's rounding spreads over all that follows it."""
    scale = float(np.abs(expected).max(initial=0.0)) or 1.0
    error = float(np.abs(actual - expected).max(initial=0.0))
    assert error <= EPS * roundings * scale, f"{what}: error {error:.3g} of {scale:.3g}, allowed {EPS * roundings:.3g}"


Builder: TypeAlias = Callable[[Network, int], int]


def plain(net: Network, x: int) -> int:
    """Convolutions, pooling, linear layers: LeNet in small."""
    y = net.node("max_pool2d", net.node("relu", net.conv(x, 6, 5)), kernel_size=[2, 2])
    y = net.node("avg_pool2d", net.node("tanh", net.conv(y, 9, 3)), kernel_size=[2, 2])
    y = net.node("relu", net.linear(net.node("flatten", y), 12))
    return net.linear(y, 10)


def residual(net: Network, x: int) -> int:
    """Two blocks with identity and projection shortcuts; activations that two consumers read."""
    y = net.node("relu", net.batch_norm(net.conv(x, 8, 3, bias=False)))
    for channels, stride in ((8, 1), (17, 2)):
        z = net.node("relu", net.batch_norm(net.conv(y, channels, 3, bias=False, stride=[stride] * 2)))
        z = net.batch_norm(net.conv(z, channels, 3, bias=False))
        shortcut = y if stride == 1 else net.batch_norm(net.conv(y, channels, 1, bias=False, stride=[stride] * 2))
        y = net.node("relu", net.node("add", z, shortcut))
    y = net.node("flatten", net.node("adaptive_avg_pool2d", y, output_size=[1, 1]))
    return net.linear(y, 10)


def inception(net: Network, x: int) -> int:
    """Four branches joined twice, one joined value read again, a joined value joined once more."""
    y = net.node("relu", net.conv(x, 7, 3))
    for _ in range(2):
        a = net.node("relu", net.conv(y, 5, 1))
        b = net.node("silu", net.conv(net.node("relu", net.conv(y, 3, 1)), 8, 3))
        c = net.conv(net.node("max_pool2d", y, kernel_size=[3, 3], stride=[1, 1], padding=[1, 1]), 4, 1)
        y = net.node("concat", a, b, c, y)
    y = net.node("concat", y, net.node("sigmoid", y))
    y = net.node("flatten", net.node("adaptive_max_pool2d", y, output_size=[2, 2]))
    return net.linear(y, 10)


def gated(net: Network, x: int) -> int:
    """Squeeze and excitation: a map multiplied by a number per channel; grouped convolutions; broadcasting."""
    y = net.node("hardswish", net.batch_norm(net.conv(x, 12, 3, bias=False)))
    y = net.node("relu6", net.conv(y, 12, 3, groups=12))
    gate = net.node("adaptive_avg_pool2d", y, output_size=[1, 1])
    gate = net.node("sigmoid", net.conv(net.node("gelu", net.conv(gate, 4, 1)), 12, 1))
    y = net.node("multiply", y, gate)
    y = net.node("local_response_norm", net.conv(y, 16, 1, groups=4), size=3, alpha=0.1)
    y = net.node("leaky_relu", net.node("sum_pool2d", y, kernel_size=[3, 3], stride=[2, 2], padding=[1, 1]))
    y = net.node("flatten", net.node("adaptive_avg_pool2d", y, output_size=[1, 1]))
    return net.linear(y, 10)


NETWORKS: dict[str, Builder] = {"plain": plain, "residual": residual, "inception": inception, "gated": gated}
IMAGES = (4, 3, 12, 12)


def make(builder: Builder, training: bool, batch: int = IMAGES[0]) -> tuple[Network, _core.Program]:
    """The network over IMAGES; in training under cross-entropy, with a count of right answers as a second output."""
    net = Network(training)
    x = net.input(batch, *IMAGES[1:])
    logits = builder(net, x)
    if not training:
        return net, net.program(logits)
    labels = net.input(batch, dtype="int64", name="y")
    loss = net.node("cross_entropy", logits, labels, name="loss")
    return net, net.program(loss, net.graph.add_node("correct_count", "correct", {}, [logits, labels]))


def batch_of(batch: int = IMAGES[0], seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((batch, *IMAGES[1:])).astype(np.float32)
    return images, rng.integers(0, 10, batch)
