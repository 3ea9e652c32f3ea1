"""Graphs: shapes are inferred as nodes are added, and a wrong layer is named."""

from typing import Any

import numpy as np
import pytest

import convcore as cc
from convcore import _core
from networks import IMAGES, NETWORKS, Network, make


def chain() -> tuple[_core.Graph, int, int, int]:
    graph = _core.Graph()
    x = graph.add_input("x", (2, 3, 16, 16))
    weight, bias = graph.add_parameter("conv.weight", (8, 3, 3, 3)), graph.add_parameter("conv.bias", (8,))
    return graph, x, weight, bias


def test_shapes_are_inferred() -> None:
    graph, x, weight, bias = chain()
    y = graph.add_node("conv2d", "conv", {"stride": [2, 2], "padding": [1, 1, 1, 1]}, [x, weight, bias])
    assert graph.shape(y) == (2, 8, 8, 8)
    pooled = graph.add_node("max_pool2d", "pool", {"kernel_size": [2, 2]}, [y])
    assert graph.shape(pooled) == (2, 8, 4, 4)
    assert graph.shape(graph.add_node("flatten", "flat", {}, [pooled])) == (2, 128)
    assert graph.shape(graph.add_node("concat", "join", {}, [pooled, pooled])) == (2, 16, 4, 4)
    assert graph.shape(x) == (2, 3, 16, 16)
    assert graph.shape(weight) == (8, 3, 3, 3)


def test_dtypes_and_names() -> None:
    graph = _core.Graph(training=True)
    image, label = graph.add_input("image", (2, 3, 8, 8), "uint8"), graph.add_input("label", (2,), "int64")
    assert (graph.dtype(image), graph.dtype(label)) == ("uint8", "int64")
    assert graph.dtype(graph.add_node("normalize", "norm", {}, [image])) == "float32"
    graph.add_parameter("b", (3,))
    graph.add_parameter("a", (3, 4))
    graph.add_buffer("running", (3,))
    assert graph.parameter_names() == ["b", "a"]
    assert graph.buffer_names() == ["running"]


def test_an_absent_input_is_minus_one() -> None:
    graph, x, weight, _ = chain()
    assert graph.shape(graph.add_node("conv2d", "conv", {}, [x, weight, -1])) == (2, 8, 14, 14)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_give_logits(name: str) -> None:
    net, _ = make(NETWORKS[name], training=False)
    assert net.graph.shape(net.outputs[0]) == (IMAGES[0], 10)


# --- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "attributes", "inputs", "error", "words"),
    [
        ("conv2d", {}, "wide", cc.ShapeError, r"weight expects 3 input channels per group, got x with 4"),
        ("conv2d", {"stride": [0, 1]}, "xwb", ValueError, "stride.*0"),
        ("conv2d", {"strides": [1, 1]}, "xwb", ValueError, "strides"),
        ("conv2d", {"padding": [2**62] * 4}, "xwb", ValueError, str(2**62)),
        ("conv2d", {"stride": "two"}, "xwb", TypeError, "stride"),
        ("conv2d", {}, "x", (TypeError, ValueError), ""),
        ("max_pool2d", {"kernel_size": [17, 1]}, "x", cc.ShapeError, "17"),
        ("relu", {}, "labels", TypeError, "int64"),
        ("conv3d", {}, "x", ValueError, "conv3d"),
    ],
)
def test_errors_name_the_layer(
    kind: str, attributes: dict[str, Any], inputs: str, error: type[Exception], words: str
) -> None:
    graph, x, w, b = chain()
    wide, labels = graph.add_input("wide", (1, 4, 8, 8)), graph.add_input("labels", (2,), "int64")
    values = {"wide": [wide, w, b], "xwb": [x, w, b], "x": [x], "labels": [labels]}[inputs]
    with pytest.raises(error, match=rf"^layer1\.0\.conv1 \({kind}\): .*{words}"):
        graph.add_node(kind, "layer1.0.conv1", attributes, values)


def test_an_attribute_of_an_impossible_type_names_the_layer() -> None:
    graph, x, w, b = chain()
    with pytest.raises(TypeError, match=r"layer1.*stride"):
        graph.add_node("conv2d", "layer1", {"stride": object()}, [x, w, b])  # type: ignore[dict-item]


@pytest.mark.parametrize("value", [-2, 99, 2**31 - 1])
def test_values_that_do_not_exist(value: int) -> None:
    graph, x, _, _ = chain()
    with pytest.raises(ValueError, match=rf"layer.*{value}"):
        graph.add_node("relu", "layer", {}, [value])
    for call in (graph.shape, graph.dtype, lambda v: graph.set_outputs([x, v])):
        with pytest.raises(ValueError, match=str(value)):
            call(value)


@pytest.mark.parametrize(
    ("shape", "error"),
    [
        ((2, -3, 4), ValueError),
        ((2**40, 2**40), ValueError),
        ((2**62, 4, 1, 1), ValueError),
        ((1,) * 7, ValueError),
        ((2, 1.5), TypeError),
        ("shape", TypeError),
        (3, TypeError),
        ((2**64, 1), ValueError),
    ],
)
def test_impossible_shapes(shape: Any, error: type[Exception]) -> None:
    graph = _core.Graph()
    for add in (graph.add_input, graph.add_parameter, graph.add_buffer):
        with pytest.raises(error, match="image"):
            add("image", shape)


def test_impossible_dtypes() -> None:
    with pytest.raises(ValueError, match="image: dtype must be float32, uint8 or int64, got 'float64'"):
        _core.Graph().add_input("image", (1, 3, 4, 4), "float64")


def test_a_program_needs_outputs() -> None:
    graph, *_ = chain()
    with pytest.raises(ValueError, match="output"):
        _core.Program(graph)


def test_a_training_program_needs_a_scalar_loss() -> None:
    net = Network(training=True)
    net.outputs = [net.conv(net.input(1, 3, 8, 8), 4, 3)]
    net.graph.set_outputs(net.outputs)
    with pytest.raises(cc.ShapeError, match=r"loss.*\(1, 4, 8, 8\)"):
        _core.Program(net.graph)


def test_every_parameter_must_reach_the_loss() -> None:
    net = Network(training=True)
    x, y = net.input(2, 5), net.input(2, 4, name="y")
    loss = net.node("mse_loss", net.linear(x, 4), y)
    net.parameter("lonely", 3, 3)
    net.graph.set_outputs([loss])
    with pytest.raises(ValueError, match="lonely"):
        _core.Program(net.graph)


def test_a_parameter_behind_an_op_without_gradient() -> None:
    net = Network(training=True)
    scores, y = net.linear(net.input(2, 5), 4), net.input(2, dtype="int64", name="y")
    net.graph.set_outputs([net.node("correct_count", scores, y, name="count")])
    with pytest.raises(ValueError, match=r"count|gradient|linear"):
        _core.Program(net.graph)


def test_graphs_are_independent() -> None:
    """Adding to one graph, or compiling it, leaves others and itself usable."""
    net = Network()
    x = net.input(1, 3, 4, 4)
    y = net.node("relu", x)
    first = net.program(y)
    image = -np.ones((1, 3, 4, 4), np.float32)
    assert first.run([image])[0].sum() == 0
    second = net.program(net.node("sigmoid", y))
    assert (second.run([image])[0] == 0.5).all()
    assert first.run([image])[0].sum() == 0
