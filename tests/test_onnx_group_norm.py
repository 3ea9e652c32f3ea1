# SPDX-License-Identifier: BSD-3-Clause
"""Group norm as PyTorch's exporters write it before opset 21, in parts, is put together again."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import helper, numpy_helper  # noqa: E402

import convcore as cc  # noqa: E402
from convcore import nn  # noqa: E402
from onnx_models import FLOAT, make  # noqa: E402
from test_onnx import close, normal, ort  # noqa: E402


def group_norm_parts(affine: str, *, view: Any = (0, 3, -1), back: Any = None, channels: int = 6) -> Any:
    """As PyTorch's exporters write nn.GroupNorm(3, channels), behind a convolution. back: None: computed by Shape."""
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight"], ["a"]),
        helper.make_node("Shape", ["a"], ["back"]),
        helper.make_node("Reshape", ["a", "view"], ["b"]),
        helper.make_node("InstanceNormalization", ["b", "ones", "zeros"], ["c"], name="norm", epsilon=1e-3),
        helper.make_node("Reshape", ["c", "back"], ["d"]),
        helper.make_node("Mul", ["d", "weight"] if "swapped" not in affine else ["weight", "d"], ["e"]),
        helper.make_node("Add", ["e", "bias"] if "swapped" not in affine else ["bias", "e"], ["f"]),
        helper.make_node("Relu", ["f"], ["y"]),
    ]
    weights = {"conv.weight": normal(channels, 3, 3, 3), "view": np.array(view)}
    weights |= {"ones": np.ones(view[1], np.float32), "zeros": np.zeros(view[1], np.float32)}
    weights |= {"weight": normal(channels, 1, 1), "bias": normal(channels, 1, 1)}
    if back is not None:
        weights["back"] = np.array(back)
        del nodes[1]
    for op, name in (("Mul", "weight"), ("Add", "bias")):
        if affine == "none" or (affine == "weight" and op == "Add") or (affine == "bias" and op == "Mul"):
            i = next(i for i, node in enumerate(nodes) if node.op_type == op)
            nodes[i + 1].input[0] = nodes[i].input[0]
            del nodes[i], weights[name]
    return make(nodes, {"x": (FLOAT, ["n", 3, "h", "w"])}, {"y": FLOAT}, weights, 17)


def part_by_part(proto: Any) -> Any:
    """The same with what is between the parts as outputs too, so that nobody joins them."""
    proto = copy.deepcopy(proto)
    for node in proto.graph.node[1:-1]:
        if node.op_type != "Shape":
            proto.graph.output.append(helper.make_tensor_value_info(node.output[0], FLOAT, None))
    return proto


def in_order(program: Any) -> list[tuple[str, str]]:
    """Kind and algorithm of the steps on maps: all but those that make ready the norm's weight."""
    return [(s["kind"], s["algorithm"]) for s in program.steps if not s["name"].startswith("norm.weight")]


@pytest.mark.parametrize("back", [None, (0, 6, 5, 4), (2, -1, 5, 4)])
@pytest.mark.parametrize("affine", ["both", "swapped", "weight", "bias", "none"])
def test_group_norm_in_parts(affine: str, back: Any) -> None:
    proto = group_norm_parts(affine, back=back)
    model, parts = cc.onnx.load(proto), cc.onnx.load(part_by_part(proto))
    state = model.state_dict()
    assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in parts.state_dict().items()}
    x = normal(2, 3, 7, 6)
    close(model(x), ort(proto, x)[0], 1e-5)
    assert [kind for kind, _ in in_order(cc.compile(model, x.shape))] == ["conv2d", "group_norm", "relu"]
    assert "strided" not in {step["algorithm"] for step in cc.compile(model, x.shape).steps}
    for name in ("ones", "zeros"):  # they are parameters, which nobody keeps at 1 and 0
        state[name] = normal(3)
    model.load_state_dict(state)
    parts.load_state_dict(state)
    close(model(x), parts(x)[0], 1e-5)


def test_group_norm_in_parts_of_any_size() -> None:
    proto = group_norm_parts("both")
    model = cc.onnx.load(proto)
    for shape in ((1, 3, 3, 3), (4, 3, 8, 5), (2, 3, 4, 9)):
        x = normal(*shape)
        close(model(x), ort(proto, x)[0], 1e-5)


def test_group_norm_in_parts_is_trained_and_exported() -> None:
    proto = group_norm_parts("both")
    x = normal(2, 3, 7, 6)
    gradients = []
    for model in (cc.onnx.load(proto), cc.onnx.load(part_by_part(proto))):
        assert {n for n, _ in model.named_parameters()} == {"conv.weight", "ones", "zeros", "weight", "bias"}
        first = model if len(model.output_names) == 1 else First(model)
        loss, made = cc.value_and_grad(first, nn.MSELoss())(x, np.ones((2, 6, 5, 4), np.float32))
        gradients.append({name.removeprefix("model."): gradient for name, gradient in made.items()} | {"": loss})
    for name, gradient in gradients[0].items():
        np.testing.assert_allclose(gradient, gradients[1][name], atol=1e-5, err_msg=name)
    model = cc.onnx.load(proto)
    written = cc.onnx.export(model, None, x.shape)
    assert "GroupNormalization" in {node.op_type for node in written.graph.node}
    close(model(x), ort(written, x)[0], 1e-5)
    close(model(x), cc.onnx.load(written)(x), 1e-5)
    close(pickle.loads(pickle.dumps(model))(x), model(x), 1e-6)


class First(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Any) -> Any:
        return self.model(x)[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"view": (1, 6, -1)},  # the batch is normalised with the map
        {"view": (0, 4, -1)},  # groups of one channel and a half
        {"back": (2, 6, 4, 5)},  # another map
        {"back": (2, 6, 20, 1)},
        {"view": (0, 12, -1)},  # halves of channels
    ],
)
def test_parts_that_are_no_group_norm(wrong: dict[str, Any]) -> None:
    proto = group_norm_parts("both", **wrong)
    model, x = cc.onnx.load(proto), normal(2, 3, 7, 6)
    close(model(x), ort(proto, x)[0], 1e-5)
    kinds = [kind for kind, _ in in_order(cc.compile(model, x.shape))]
    assert "group_norm" not in kinds
    assert "instance_norm" in kinds


@pytest.mark.parametrize("shape", [(1,), (4,), (5, 4), (1, 6, 5, 4), (2, 6, 1, 1)])
def test_group_norm_times_what_is_no_weight(shape: tuple[int, ...]) -> None:
    proto = group_norm_parts("both")
    tensor = next(t for t in proto.graph.initializer if t.name == "weight")
    tensor.CopyFrom(numpy_helper.from_array(normal(*shape), "weight"))
    model, x = cc.onnx.load(proto), normal(2, 3, 7, 6)
    close(model(x), ort(proto, x)[0], 1e-5)
    kinds = [kind for kind, _ in in_order(cc.compile(model, x.shape))]
    assert [kind for kind in kinds if kind not in ("rearrange", "channels_last")][:4] == [
        "conv2d",
        "group_norm",
        "multiply",
        "add",
    ]
    assert "instance_norm" not in kinds


def test_group_norm_of_given_scales() -> None:
    """Scales that are inputs of the graph, and a gate that is computed."""
    proto = group_norm_parts("both")
    kept = [t for t in proto.graph.initializer if t.name not in ("ones", "weight")]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    proto.graph.input.append(helper.make_tensor_value_info("ones", FLOAT, [3]))
    proto.graph.input.append(helper.make_tensor_value_info("weight", FLOAT, [6, 1, 1]))
    model = cc.onnx.load(proto)
    for _ in range(2):
        given = normal(2, 3, 7, 6), normal(3), normal(6, 1, 1)
        close(model(*given), ort(proto, *given)[0], 1e-5)


@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 5), (2, 6, 3, 2, 4), (2, 6, 2, 3, 1, 2)])
def test_group_norm_in_parts_of_any_rank(shape: tuple[int, ...]) -> None:
    proto = group_norm_parts("both")
    del proto.graph.node[0], proto.graph.input[:]
    proto.graph.input.append(helper.make_tensor_value_info("a", FLOAT, ["n", *shape[1:]]))
    for tensor in proto.graph.initializer:
        if tensor.name in ("weight", "bias"):
            tensor.CopyFrom(numpy_helper.from_array(normal(6, *[1] * (len(shape) - 2)), tensor.name))
    model, x = cc.onnx.load(proto), normal(*shape)
    close(model(x), ort(proto, x)[0], 1e-5)
    assert [kind for kind, _ in in_order(cc.compile(model, shape))] == ["group_norm", "relu"]
    assert model(x[:0]).shape == (0, *shape[1:])


@pytest.mark.parametrize("pattern", ["swish", "group norm"])
def test_patterns_of_what_tracing_makes_known(pattern: str) -> None:
    """A choice that shapes decide gives an array, of which nobody knew before."""
    nodes = [
        helper.make_node("Constant", [], ["chosen"], value=numpy_helper.from_array(np.ones((2, 6), bool))),
        helper.make_node("Constant", [], ["grid"], value=numpy_helper.from_array(normal(2, 6))),
        helper.make_node("Where", ["chosen", "grid", "x"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["s"]),
        helper.make_node("Mul", ["a", "s"], ["b"]),
    ]
    inputs, weights = {"x": (FLOAT, [2, 6])}, {}
    if pattern == "group norm":
        nodes[3:] = [
            helper.make_node("Reshape", ["a", "view"], ["s"]),
            helper.make_node("InstanceNormalization", ["s", "scale", "offset"], ["t"]),
            helper.make_node("Reshape", ["t", "back"], ["b"]),
        ]
        weights = {"view": np.array([0, 3, -1]), "back": np.array([2, 6])}
        inputs |= {"scale": (FLOAT, [3]), "offset": (FLOAT, [3])}
    proto = make([*nodes, helper.make_node("Add", ["b", "x"], ["y"])], inputs, {"y": FLOAT}, weights, 17)
    given = [normal(*shape) for _, shape in inputs.values()]
    close(cc.onnx.load(proto)(*given), ort(proto, *given)[0], 1e-5)
