# SPDX-License-Identifier: BSD-3-Clause
"""Files that are damaged, lie, or ask for more than there is: a ValueError that says so, and nothing else."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")

import convcore as cc  # noqa: E402
from convcore.onnx import UnsupportedError  # noqa: E402

FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
helper = onnx.helper
X = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)


def tensor(name: str, *shape: int) -> Any:
    rng = np.random.default_rng(len(name))
    return onnx.numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)


def model_of(nodes: list[Any], weights: list[Any] = [], opset: int = 17, out: int = FLOAT, **more: Any) -> Any:  # noqa: B006
    x = helper.make_tensor_value_info("x", more.get("kind", FLOAT), more.get("shape", ["n", 3, 8, 8]))
    y = helper.make_tensor_value_info("y", out, None)
    graph = helper.make_graph(nodes, "g", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def small() -> Any:
    """Convolution, batch norm, activation, shape arithmetic, linear layer."""
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", "g", "b", "m", "v"], ["c"], name="norm"),
        helper.make_node("Relu", ["c"], ["d"], name="act"),
        helper.make_node("GlobalAveragePool", ["d"], ["e"], name="pool"),
        helper.make_node("Shape", ["e"], ["s"], name="shape"),
        helper.make_node("Gather", ["s", "zero"], ["n"], name="batch", axis=0),
        helper.make_node("Concat", ["n", "minus"], ["to"], name="to", axis=0),
        helper.make_node("Reshape", ["e", "to"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "fc.weight", "fc.bias"], ["y"], name="fc", transB=1),
    ]
    weights = [
        *(tensor("conv.weight", 4, 3, 3, 3), tensor("conv.bias", 4), tensor("g", 4), tensor("b", 4), tensor("m", 4)),
        onnx.numpy_helper.from_array(np.full(4, 1.5, np.float32), "v"),
        onnx.numpy_helper.from_array(np.array([0]), "zero"),
        onnx.numpy_helper.from_array(np.array([-1]), "minus"),
        *(tensor("fc.weight", 5, 4), tensor("fc.bias", 5)),
    ]
    return model_of(nodes, weights)


def larger() -> Any:
    """Weights long enough to stay where they are in the file; a constant, and the parts of hardswish."""
    three = onnx.numpy_helper.from_array(np.array(3, np.float32))
    nodes = [
        helper.make_node("Conv", ["x", "weight"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Constant", [], ["three"], name="constant", value=three),
        helper.make_node("Add", ["a", "three"], ["b"], name="add"),
        helper.make_node("Clip", ["b", "low", "high"], ["c"], name="clip"),
        helper.make_node("Mul", ["a", "c"], ["d"], name="mul"),
        helper.make_node("Mul", ["d", "sixth"], ["y"], name="scale"),
    ]
    numbers = {"low": 0.0, "high": 6.0, "sixth": 1 / 6}
    weights = [onnx.numpy_helper.from_array(np.array(v, np.float32), name) for name, v in numbers.items()]
    return model_of(nodes, [tensor("weight", 48, 3, 3, 3), *weights])


BYTES, LARGER = small().SerializeToString(), larger().SerializeToString()


def refused(model: Any, *words: str) -> None:
    with pytest.raises(ValueError) as error:
        cc.onnx.load(model)
    assert str(error.value).startswith("onnx: "), error.value
    for word in words:
        assert word in str(error.value), error.value


def test_what_is_no_model() -> None:
    refused(b"", "no graph")
    refused(b"nonsense" * 9)
    refused(BYTES[: len(BYTES) // 2])
    with pytest.raises(TypeError, match="expected a path"):
        cc.onnx.load(3)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        cc.onnx.load("nowhere.onnx")


def test_opsets() -> None:
    relu = [helper.make_node("Relu", ["x"], ["y"])]
    refused(model_of(relu, opset=6), "opset 6", "7 to")
    refused(model_of(relu, opset=999), "opset 999")
    for opset in range(7, onnx.defs.onnx_opset_version() + 1):
        assert (cc.onnx.load(model_of(relu, opset=opset))(X) == np.maximum(X, 0)).all()


def test_cycles_and_names() -> None:
    a, b = helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])
    last = helper.make_node("Relu", ["b"], ["y"])
    refused(model_of([a, b, last]))
    refused(model_of([helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])]))
    refused(model_of([helper.make_node("Relu", ["x"], ["z"])]), "y")
    twice = small()
    twice.graph.initializer.append(twice.graph.initializer[0])
    refused(twice, "conv.weight", "name of its own")


@pytest.mark.parametrize("dims", [[4, 3, 3, 4], [4, 3, 3, -3], [1 << 40, 1 << 40], [0]])
def test_lengths_that_lie(dims: list[int]) -> None:
    model = small()
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    refused(model, "conv.weight")


def external(folder: Path, location: str, **entries: Any) -> Path:
    model = small()
    weight = model.graph.initializer[0]
    data = weight.raw_data
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in ({"location": location} | entries).items():
        weight.external_data.add(key=key, value=str(value))
    (folder / "inside").mkdir(parents=True)
    for place in (folder / "data.bin", folder / "inside" / "data.bin", folder.parent / "data.bin"):
        place.write_bytes(bytes(16) + data)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data(tmp_path: Path) -> None:
    expected = cc.onnx.load(BYTES)(X)
    for i, location in enumerate(("data.bin", "inside/data.bin")):
        path = external(tmp_path / str(i), location, offset=16, length=432)
        assert (cc.onnx.load(path)(X) == expected).all()


@pytest.mark.parametrize(
    ("location", "entries"),
    [
        ("../data.bin", {"offset": 16}),
        ("inside/../../data.bin", {"offset": 16}),
        ("/etc/passwd", {}),
        ("", {}),
        ("missing.bin", {}),
        ("inside", {}),
        ("data.bin", {"offset": 17}),
        ("data.bin", {"offset": -16}),
        ("data.bin", {"offset": 16, "length": 1 << 40}),
        ("data.bin", {"offset": "x"}),
        ("link.bin", {"offset": 16}),
        ("linked/data.bin", {"offset": 16}),
    ],
)
def test_external_data_outside(tmp_path: Path, location: str, entries: dict[str, Any]) -> None:
    folder = tmp_path / "model"
    path = external(folder, location, **entries)
    (folder / "link.bin").symlink_to(tmp_path / "data.bin")
    (folder / "linked").symlink_to(tmp_path)
    refused(path, "conv.weight")


def test_a_graph_in_two_fields() -> None:
    """protobuf joins them."""
    whole = larger()
    weight = onnx.ModelProto(graph=onnx.GraphProto(initializer=[tensor("other", 48, 3, 3, 3)]))
    whole.graph.node[0].input[1] = "other"
    expected = cc.onnx.load(onnx.ModelProto.FromString(whole.SerializeToString() + weight.SerializeToString()))(X)
    assert (cc.onnx.load(whole.SerializeToString() + weight.SerializeToString())(X) == expected).all()
    whole.graph.initializer.append(weight.graph.initializer[0])
    assert (cc.onnx.load(whole.SerializeToString())(X) == expected).all()


def test_external_data_without_a_folder(tmp_path: Path) -> None:
    refused(external(tmp_path / "a", "data.bin", offset=16).read_bytes(), "by its path")


def test_everything_unsupported_at_once() -> None:
    nodes = [
        helper.make_node("Sin", ["x"], ["a"], name="one"),
        helper.make_node("Relu", ["a"], ["b"], name="fine"),
        helper.make_node("Mine", ["b"], ["c"], name="two", domain="com.me"),
        helper.make_node("Resize", ["c", "", "s"], ["y"], name="three", mode="nearest"),
        helper.make_node("Cos", ["x"], ["unused"], name="four"),
    ]
    model = model_of(nodes, [tensor("s", 4)])
    model.opset_import.append(helper.make_opsetid("com.me", 1))
    with pytest.raises(UnsupportedError) as error:
        cc.onnx.load(model)
    assert error.value.problems == ["node 'one': op Sin", "node 'two': op com.me.Mine"]
    with pytest.raises(UnsupportedError, match="input 'x' of type STRING"):
        cc.onnx.load(model_of([helper.make_node("Identity", ["x"], ["y"])], kind=onnx.TensorProto.STRING, out=8))


def test_unsupported_types_and_settings() -> None:
    """Inside the graph, too, and before anything runs."""
    nodes = [
        helper.make_node("Cast", ["x"], ["text"], name="one", to=onnx.TensorProto.STRING),
        helper.make_node("Cast", ["text"], ["a"], name="two", to=FLOAT),
        helper.make_node("QuantizeLinear", ["a", "s", "z"], ["b"], name="three"),
        helper.make_node("DequantizeLinear", ["b", "s", "z"], ["c"], name="four"),
        helper.make_node("Dropout", ["c", "s", "on"], ["d"], name="five"),
        helper.make_node("Unsqueeze", ["d", "axis"], ["e"], name="six"),
        helper.make_node("MaxPool", ["e"], ["y", "i"], name="seven", kernel_shape=[1, 1, 1]),
    ]
    weights = [
        onnx.numpy_helper.from_array(np.float32(0.5), "s"),
        helper.make_tensor("z", onnx.TensorProto.FLOAT8E4M3FN, [], [0.0]),
        onnx.numpy_helper.from_array(np.array(True), "on"),
        onnx.numpy_helper.from_array(np.array([0]), "axis"),
    ]
    with pytest.raises(UnsupportedError) as error:
        cc.onnx.load(model_of(nodes, weights, opset=19))
    assert error.value.problems == [
        "node 'five': Dropout with training_mode on: whether a program trains is said when it is made",
        "node 'seven': MaxPool with Indices of windows of more than two axes",
        "node 'one': Cast with a result of type STRING",
        "node 'three': QuantizeLinear with a result of type FLOAT8E4M3FN",
    ]


@pytest.mark.parametrize(
    ("node", "values"),
    [
        (helper.make_node("Pad", ["x", "v"], ["y"]), [0, 0, 0, 0, 0, 0, 0, 1 << 40]),
        (helper.make_node("Tile", ["x", "v"], ["y"]), [1, 1, 1 << 40, 1 << 40]),
        (helper.make_node("Expand", ["x", "v"], ["y"]), [1 << 40, 1, 1, 1, 1]),
        (helper.make_node("Resize", ["x", "", "", "v"], ["y"]), [1, 3, 1 << 40, 8]),
        (helper.make_node("TopK", ["x", "v"], ["y", "i"]), [1 << 40]),
        (helper.make_node("ConstantOfShape", ["v"], ["y"]), [1 << 40]),
        (helper.make_node("ConvTranspose", ["x", "w"], ["y"], output_shape=[1 << 20, 1 << 20]), [0]),
        (helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[1 << 62, 1]), [0]),
        (helper.make_node("Unsqueeze", ["x", "v"], ["y"]), [5, 5]),
    ],
    ids=lambda v: v.op_type if hasattr(v, "op_type") else "",
)
def test_small_files_that_ask_for_what_cannot_be(node: Any, values: list[int]) -> None:
    weights = [onnx.numpy_helper.from_array(np.array(values), "v"), tensor("w", 3, 1, 1, 1)]
    with pytest.raises(ValueError):
        cc.onnx.load(model_of([node], weights, shape=[2, 3, 8, 8]))(X)


def run_anything(data: bytes) -> None:
    """Loading and running gives a result or a ValueError."""
    try:
        model = cc.onnx.load(data)
        ports = model._graph.inputs
        if len(ports) == 1 and np.prod([d or 2 for d in ports[0].shape or (2, 3, 8, 8)]) < 1 << 16:
            x = np.ones([2 if d is None else d for d in ports[0].shape or (2, 3, 8, 8)], ports[0].dtype)
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                model(x)
    except (ValueError, TypeError):
        pass


_WEIGHTS = LARGER.index(larger().graph.initializer[0].raw_data)
FILES = [  # and where to change them: not among the values of many weights
    (BYTES, range(len(BYTES))),
    (LARGER, [*range(_WEIGHTS + 8), *range(_WEIGHTS + 5184, len(LARGER))]),
]


@settings(
    max_examples=int(os.environ.get("CONVCORE_FUZZ", "150")), deadline=None, suppress_health_check=list(HealthCheck)
)
@given(st.data())
def test_mutated_files(data: st.DataObject) -> None:
    source, places = data.draw(st.sampled_from(FILES))
    mutated = bytearray(source)
    for _ in range(data.draw(st.integers(1, 4))):
        at = min(data.draw(st.sampled_from(places)), len(mutated) - 1)
        action = data.draw(st.sampled_from(["set", "flip", "cut", "repeat"]))
        if action == "set":
            mutated[at] = data.draw(st.integers(0, 255))
        elif action == "flip":
            mutated[at] ^= 1 << data.draw(st.integers(0, 7))
        elif action == "cut":
            del mutated[at : at + data.draw(st.integers(1, 8))]
        else:
            mutated[at:at] = mutated[at : at + data.draw(st.integers(1, 8))]
    run_anything(bytes(mutated))


INTS = st.integers(-3, 9) | st.sampled_from([1 << 31, -(1 << 31), (1 << 63) - 1])
NAMES = st.sampled_from(["kernel_shape", "strides", "pads", "dilations", "group", "axis", "epsilon", "perm", "transB"])


@settings(
    max_examples=int(os.environ.get("CONVCORE_FUZZ", "150")), deadline=None, suppress_health_check=list(HealthCheck)
)
@given(st.data())
def test_mutated_graphs(data: st.DataObject) -> None:
    """Sound files whose nodes have other ops, inputs and attributes."""
    model = onnx.ModelProto.FromString(BYTES)
    nodes = model.graph.node
    names = ["x", *(i.name for i in model.graph.initializer), *(n.output[0] for n in nodes), ""]
    for _ in range(data.draw(st.integers(1, 3))):
        node = nodes[data.draw(st.integers(0, len(nodes) - 1))]
        action = data.draw(st.sampled_from(["op", "input", "more", "attribute", "dims"]))
        if action == "op":
            node.op_type = data.draw(st.sampled_from(sorted(cc.onnx.registry.OPERATORS)))
        elif action == "input" and node.input:
            node.input[data.draw(st.integers(0, len(node.input) - 1))] = data.draw(st.sampled_from(names))
        elif action == "more":
            node.input.append(data.draw(st.sampled_from(names)))
        elif action == "attribute":
            value = data.draw(INTS | st.lists(INTS, min_size=1, max_size=5))
            node.attribute.append(helper.make_attribute(data.draw(NAMES), value))
        elif action == "dims":
            weight = model.graph.initializer[data.draw(st.integers(0, len(model.graph.initializer) - 1))]
            array = onnx.numpy_helper.to_array(weight)
            weight.CopyFrom(
                onnx.numpy_helper.from_array(array.reshape(-1, *[1] * data.draw(st.integers(0, 6))), weight.name)
            )
    run_anything(model.SerializeToString())
