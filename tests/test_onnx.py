# SPDX-License-Identifier: BSD-3-Clause
"""Imported models: numbers, types and shapes, training, saving."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import convcore as cc  # noqa: E402
from convcore import nn, optim  # noqa: E402
from onnx_models import FLOAT, light, make  # noqa: E402

helper = onnx.helper
INT64, BOOL, UINT8 = onnx.TensorProto.INT64, onnx.TensorProto.BOOL, onnx.TensorProto.UINT8
RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def ort(model: Any, *inputs: Any) -> list[np.ndarray]:
    """What onnxruntime makes of it."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    made: list[np.ndarray] = session.run(None, {i.name: x for i, x in zip(session.get_inputs(), inputs, strict=True)})
    return made


def close(ours: Any, theirs: np.ndarray, bound: float = 1e-4) -> None:
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    assert np.abs(ours - theirs).max() <= bound * np.abs(theirs).max()


def convnet() -> Any:
    nodes = [
        helper.make_node(
            "Conv", ["x", "features.0.weight", "features.0.bias"], ["a"], name="conv1", auto_pad="SAME_UPPER"
        ),
        helper.make_node(
            "BatchNormalization", ["a", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"], ["b"]
        ),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("MaxPool", ["c"], ["d"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
        helper.make_node("Conv", ["d", "features.4.weight"], ["e"], name="conv2", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["e"], ["s"]),
        helper.make_node("Mul", ["e", "s"], ["f"]),
        helper.make_node("GlobalAveragePool", ["f"], ["g"]),
        helper.make_node("Flatten", ["g"], ["h"]),
        helper.make_node("Gemm", ["h", "fc.weight", "fc.bias"], ["y"], name="fc", transB=1),
    ]
    weights = {
        "features.0.weight": normal(8, 3, 3, 3) / 4,
        "features.0.bias": normal(8),
        "bn.weight": RNG.uniform(0.5, 1.5, 8).astype(np.float32),
        "bn.bias": normal(8),
        "bn.running_mean": normal(8),
        "bn.running_var": RNG.uniform(0.5, 1.5, 8).astype(np.float32),
        "features.4.weight": normal(16, 8, 3, 3) / 8,
        "fc.weight": normal(10, 16) / 4,
        "fc.bias": normal(10),
    }
    return make(nodes, {"x": (FLOAT, ["n", 3, "h", "w"])}, {"y": FLOAT}, weights)


def test_numbers_for_any_size() -> None:
    proto = convnet()
    model = cc.onnx.load(proto)
    for shape in ((2, 3, 16, 16), (1, 3, 21, 30)):
        x = normal(*shape)
        close(model(x), ort(proto, x)[0])
        close(model(x=x), ort(proto, x)[0])


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_networks(name: str) -> None:
    proto = light(name)
    model = cc.onnx.load(proto)
    x = normal(*[d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim])
    expected = ort(proto, x)[0]
    close(model(x), expected)
    assert model(x).argmax() == expected.argmax()


def test_state_has_pytorchs_names() -> None:
    model = cc.onnx.load(convnet())
    names = [
        *("features.0.weight", "features.0.bias", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"),
        *("features.4.weight", "fc.weight", "fc.bias"),
    ]
    assert sorted(model.state_dict()) == sorted(names)
    assert sorted(n for n, _ in model.named_buffers()) == ["bn.running_mean", "bn.running_var"]
    assert "conv1" in str(model.summary((3, 16, 16)))
    assert "10 nodes" in repr(model)


def test_training_from_an_imported_model() -> None:
    model = cc.onnx.load(convnet())
    x, y = normal(32, 3, 16, 16), RNG.integers(0, 10, 32)
    trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(lr=0.05, momentum=0.9))
    losses = [trainer.step(x, y) for _ in range(10)]
    assert losses[-1] < 0.8 * losses[0]


def test_gradients_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    model = cc.onnx.load(convnet())
    x, y = normal(8, 3, 16, 16), RNG.integers(0, 10, 8)
    state = {
        name: torch.from_numpy(array).requires_grad_("running" not in name)
        for name, array in model.state_dict().items()
    }
    f = torch.nn.functional
    t = f.conv2d(torch.from_numpy(x), state["features.0.weight"], state["features.0.bias"], padding=1)
    t = f.batch_norm(t, state["bn.running_mean"], state["bn.running_var"], state["bn.weight"], state["bn.bias"], True)
    t = f.max_pool2d(f.pad(f.relu(t), (0, 1, 0, 1), value=-torch.inf), 3, 2)
    t = f.silu(f.conv2d(t, state["features.4.weight"], None, 2, 1)).mean((2, 3))
    loss = f.cross_entropy(f.linear(t, state["fc.weight"], state["fc.bias"]), torch.from_numpy(y))
    loss.backward()
    ours, gradients = cc.value_and_grad(model, nn.CrossEntropyLoss())(x, y)
    assert abs(ours - loss.item()) < 1e-5
    for name, gradient in gradients.items():
        expected = state[name].grad.numpy()
        assert np.abs(gradient - expected).max() <= 1e-4 * np.abs(expected).max() + 1e-6, name


def test_saved_and_copied(tmp_path: Path) -> None:
    model = cc.onnx.load(convnet())
    x = normal(1, 3, 16, 16)
    expected = model(x)
    next(model.parameters()).requires_grad = False
    model.save(tmp_path / "m.safetensors")
    again = cc.load(tmp_path / "m.safetensors")
    assert type(again) is type(model)
    assert [p.requires_grad for p in again.parameters()] == [p.requires_grad for p in model.parameters()]
    for other in (again, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert (other(x) == expected).all()
    program = cc.compile(model, (1, 3, 16, 16))
    assert (program(x) == expected).all()
    model.load_state_dict({name: array * 0 for name, array in model.state_dict().items()})
    assert (model(x) != expected).any()


def test_names_that_modules_have() -> None:
    weights = {"forward": normal(3), "_programs": normal(3), "settings": normal(3), "graph": normal(3)}
    names = ["x", *weights]
    nodes = [helper.make_node("Add", [f"v{i}" if i else "x", n], [f"v{i + 1}"]) for i, n in enumerate(weights)]
    model = cc.onnx.load(make(nodes, {"x": (FLOAT, [2, 3])}, {f"v{len(names) - 1}": FLOAT}, weights))
    x = normal(2, 3)
    np.testing.assert_allclose(model(x), x + sum(weights.values()), rtol=1e-5, atol=1e-6)
    assert len(model.state_dict()) == 4


def test_static_inputs_and_types() -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
        helper.make_node("Shape", ["y"], ["s"]),
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Greater", ["x", "m"], ["b"]),
        helper.make_node("Cast", ["x"], ["i"], to=INT64),
    ]
    inputs = {"x": (FLOAT, ["a", "b"]), "shape": (INT64, ["r"])}
    model = cc.onnx.load(make(nodes, inputs, {"y": FLOAT, "s": INT64, "m": FLOAT, "b": BOOL, "i": INT64}))
    x = normal(4, 6) * 5
    for shape in ([24], [2, 12], [3, 2, 4]):
        y, s, m, b, i = model(x, np.array(shape))
        assert (y == x.reshape(shape)).all()
        assert s.tolist() == shape
        assert m.shape == ()
        assert m == x.max()
        assert b.dtype == bool
        assert not b.any()
        assert i.dtype == np.int64
        assert (i == x.astype(np.int64)).all()
    with pytest.raises(ValueError, match="values of shape"):
        cc.compile(model, [(4, 6), (2,)])
    with pytest.raises(ValueError, match="input x must be"):
        model(x[0], np.array([6]))
    with pytest.raises(TypeError, match="expected 2 inputs"):
        model(x)


def test_integers_that_are_too_large() -> None:
    model = cc.onnx.load(make([helper.make_node("Add", ["x", "x"], ["y"])], {"x": (INT64, ["n"])}, {"y": INT64}))
    assert model(np.array([1 << 24, -3])).tolist() == [1 << 25, -6]
    with pytest.raises(ValueError, match="must be from"):
        model(np.array([(1 << 24) + 1]))


@pytest.mark.parametrize("to", ["uint8", "int8", "uint16", "int16", "int32", "bool", "float32"])
def test_casts_of_integers_keep_the_low_bits(to: str) -> None:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(to))
    nodes = [
        helper.make_node("Cast", ["x"], ["narrow"], to=kind),
        helper.make_node("Cast", ["narrow"], ["f"], to=FLOAT),
    ]
    model = cc.onnx.load(make(nodes, {"x": (INT64, ["n"])}, {"f": FLOAT}))
    x = np.array([-70000, -32769, -300, -129, -128, -1, 0, 1, 127, 128, 255, 256, 300, 32768, 65536, 70000, 16777213])
    np.testing.assert_array_equal(model(x), x.astype(to).astype(np.float32))


def test_half_floats_become_integers() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=onnx.TensorProto.BFLOAT16),
        helper.make_node("Cast", ["half"], ["whole"], to=onnx.TensorProto.INT8),
        helper.make_node("Cast", ["whole"], ["f"], to=FLOAT),
    ]
    model = cc.onnx.load(make(nodes, {"x": (FLOAT, ["n"])}, {"f": FLOAT}))
    assert model(np.array([1.5, -1.5, 2.75, 100.5], np.float32)).tolist() == [1, -1, 2, 100]


def test_images_as_bytes() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=FLOAT),
        helper.make_node("Div", ["f", "scale"], ["g"]),
        helper.make_node("Conv", ["g", "w"], ["y"]),
    ]
    weights = {"scale": np.float32(255), "w": normal(4, 3, 3, 3)}
    proto = make(nodes, {"x": (UINT8, [1, 3, 8, 8])}, {"y": FLOAT}, weights)
    x = RNG.integers(0, 256, (1, 3, 8, 8)).astype(np.uint8)
    close(cc.onnx.load(proto)(x), ort(proto, x)[0])


def test_errors_name_the_node() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    model = cc.onnx.load(make(nodes, {"x": (FLOAT, None)}, {"y": FLOAT}, {"w": normal(3, 4)}))
    with pytest.raises(ValueError, match="product"):
        model(normal(2, 5))


def test_import_needs_no_onnx() -> None:
    code = "import sys, convcore as cc; assert 'onnx' not in sys.modules; sys.modules['onnx'] = None\ntry: cc.onnx\n"
    code += "except ImportError as e: assert \"pip install 'convcore[onnx]'\" in str(e), e\nelse: raise SystemExit(1)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_patterns_are_one_step() -> None:
    three, six, root, one, half = (np.float32(v) for v in (3, 6, 2**0.5, 1, 0.5))
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["a1"]),
        helper.make_node("Mul", ["a1", "x"], ["a"]),
        helper.make_node("Add", ["a", "three"], ["b1"]),
        helper.make_node("Clip", ["b1", "zero", "six"], ["b2"]),
        helper.make_node("Mul", ["a", "b2"], ["b3"]),
        helper.make_node("Div", ["b3", "six"], ["b"]),
        helper.make_node("HardSigmoid", ["b"], ["c1"], alpha=1 / 6, beta=0.5),
        helper.make_node("Mul", ["b", "c1"], ["c"]),
        helper.make_node("Div", ["c", "root"], ["d1"]),
        helper.make_node("Erf", ["d1"], ["d2"]),
        helper.make_node("Add", ["d2", "one"], ["d3"]),
        helper.make_node("Mul", ["c", "d3"], ["d4"]),
        helper.make_node("Mul", ["d4", "half"], ["d"]),
        helper.make_node("Reshape", ["d", "view"], ["e1"]),
        helper.make_node("Transpose", ["e1"], ["e2"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["e2", "back"], ["e"]),
        helper.make_node("Div", ["six", "e"], ["f1"]),
        helper.make_node("Sigmoid", ["e"], ["g1"]),
        helper.make_node("Mul", ["f1", "g1"], ["f"]),
    ]
    weights = {"three": three, "six": six, "root": root, "one": one, "half": half, "zero": np.float32(0)}
    weights |= {"view": np.array([0, 2, 3, 4, -1]), "back": np.array([0, 6, 4, 5])}
    proto = make(nodes, {"x": (FLOAT, ["n", 6, 4, 5])}, {"f": FLOAT}, weights)
    model = cc.onnx.load(proto)
    x = normal(2, 6, 4, 5)
    close(model(x), ort(proto, x)[0])
    steps = [step["kind"] for step in cc.compile(model, x.shape).steps]
    assert steps == ["silu", "hardswish", "hardswish", "gelu", "rearrange", "divide", "sigmoid", "multiply"]


@pytest.mark.parametrize("opset", [13, 21])
def test_quantized_weights(opset: int) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["w"], axis=0),
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        helper.make_node("Conv", ["xd", "w"], ["y"]),
    ]
    weights = {
        "q": RNG.integers(-128, 128, (4, 3, 3, 3)).astype(np.int8),
        "scale": RNG.uniform(0.01, 0.02, 4).astype(np.float32),
        "zero": np.array([0, 3, -5, 0], np.int8),
        "xs": np.float32(0.02),
        "xz": np.uint8(120),
    }
    proto = make(nodes, {"x": (FLOAT, [1, 3, 6, 6])}, {"y": FLOAT}, weights, opset)
    model, x = cc.onnx.load(proto), normal(1, 3, 6, 6)
    assert list(model.state_dict()) == ["w"]
    close(model(x), ort(proto, x)[0])


def test_weights_that_are_computed() -> None:
    nodes = [
        helper.make_node("Sigmoid", ["v"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["a"], group=2, strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2]),
        helper.make_node("ConvTranspose", ["a", "w"], ["b"], group=2, strides=[2, 3], output_padding=[1, 2]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("Transpose", ["d"], ["e"], perm=[1, 0]),
        helper.make_node("Gemm", ["d", "e", "d"], ["y"], alpha=0.5, beta=2.0),
    ]
    inputs = {"x": (FLOAT, [4, 4, 9, 8]), "v": (FLOAT, [4, 2, 3, 2])}
    proto = make(nodes, inputs, {"y": FLOAT, "b": FLOAT})
    x, v = normal(4, 4, 9, 8), normal(4, 2, 3, 2)
    for ours, theirs in zip(cc.onnx.load(proto)(x, v), ort(proto, x, v), strict=True):
        close(ours, theirs)


def test_which_constants_are_trained() -> None:
    nodes = [
        helper.make_node("Constant", [], ["grid"], value=onnx.numpy_helper.from_array(normal(3))),
        helper.make_node("Add", ["x", "grid"], ["a"]),
        helper.make_node("Transpose", ["half"], ["turned"]),
        helper.make_node("Mul", ["a", "turned"], ["b"]),
        helper.make_node("Mul", ["b", "one"], ["y"]),
    ]
    weights = {"half": normal(3, 1), "one": normal(1)}
    model = cc.onnx.load(make(nodes, {"x": (FLOAT, [2, 3])}, {"y": FLOAT}, weights))
    assert list(model.state_dict()) == ["turned"]


def test_unpooling_what_was_pooled() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("MaxPool", ["a"], ["b", "i"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("MaxUnpool", ["c", "i"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    proto = make(nodes, {"x": (FLOAT, ["n", 3, 8, 6])}, {"y": FLOAT, "i": INT64}, {"w": normal(4, 3, 3, 3)})
    x = normal(2, 3, 8, 6)
    for ours, theirs in zip(cc.onnx.load(proto)(x), ort(proto, x), strict=True):
        close(ours, theirs)


def test_half_precision_weights() -> None:
    half = onnx.TensorProto.FLOAT16
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    model = cc.onnx.load(
        make(nodes, {"x": (half, [1, 3, 8, 8])}, {"y": half}, {"w": normal(4, 3, 3, 3).astype(np.float16)})
    )
    y = model(normal(1, 3, 8, 8).astype(np.float16))
    assert y.dtype == np.float16
    assert list(model.state_dict()) == ["w"]


def test_patterns_of_what_is_known() -> None:
    """A grid that the map's size decides is computed when the model is traced, its parts one by one."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Cast", ["s"], ["f"], to=FLOAT),
        helper.make_node("Sigmoid", ["f"], ["g"]),
        helper.make_node("Mul", ["f", "g"], ["h"]),
        helper.make_node("Reshape", ["h", "two"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[1, 0]),
        helper.make_node("Reshape", ["b", "four"], ["c"]),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    weights = {"two": np.array([2, 2]), "four": np.array([1, 4, 1, 1])}
    proto = make(nodes, {"x": (FLOAT, ["n", 4, "h", "w"])}, {"y": FLOAT}, weights)
    model = cc.onnx.load(proto)
    for shape in ((2, 4, 3, 5), (1, 4, 2, 2)):
        x = normal(*shape)
        close(model(x), ort(proto, x)[0], 1e-6)


def test_absent_names_demand_nothing() -> None:
    """Outputs and inputs without a name are not the same value."""
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r"], ["", "h"], hidden_size=4),
        helper.make_node("Clip", ["h", "", "six"], ["y"]),
    ]
    weights = {"w": normal(1, 16, 3), "r": normal(1, 16, 4), "six": np.array(0.1, np.float32)}
    proto = make(nodes, {"x": (FLOAT, [5, 2, 3])}, {"y": FLOAT}, weights)
    model, x = cc.onnx.load(proto), normal(5, 2, 3)
    assert sorted(model.state_dict()) == ["r", "w"]
    close(model(x), ort(proto, x)[0], 1e-5)


def test_long_products_and_known_joins() -> None:
    nodes = [helper.make_node("Mul", [f"v{i}" if i else "x", "half"], [f"v{i + 1}"]) for i in range(1500)]
    proto = make(nodes, {"x": (FLOAT, [2])}, {"v1500": FLOAT}, {"half": np.array(0.999, np.float32)})
    np.testing.assert_allclose(cc.onnx.load(proto)(np.ones(2, np.float32)), 0.999**1500, rtol=1e-3)

    nodes = [helper.make_node("Mul", ["x", "one"], ["y"])]
    proto = make(nodes, {"x": (FLOAT, [2])}, {"y": FLOAT}, {"one": np.ones((1, 1), np.float32)})
    assert cc.onnx.load(proto)(np.ones(2, np.float32)).shape == (1, 2)


def test_a_shape_in_constant_use_outlives_the_others() -> None:
    proto = make([helper.make_node("Relu", ["x"], ["y"])], {"x": (FLOAT, ["n", 2])}, {"y": FLOAT})
    model = cc.onnx.load(proto)
    for n in range(1, 530):
        assert model(np.ones((n, 2), np.float32)).shape == (n, 2)
        assert model(np.ones((1, 2), np.float32)).shape == (1, 2)


def test_large_constants_are_computed_by_the_core() -> None:
    """ONNX's reference would take a loop of Python for each of 64,000 windows."""
    nodes = [
        helper.make_node("MaxPool", ["c"], ["m"], kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("ReduceMean", ["m"], ["r"], axes=[2, 3]),
        helper.make_node("Mul", ["x", "r"], ["y"]),
    ]
    constant = normal(1, 3, 300, 300)
    model = make(nodes, {"x": (FLOAT, ["n", 3, 4, 4])}, {"y": FLOAT}, {"c": constant}, opset=13)
    x = normal(2, 3, 4, 4)
    close(cc.onnx.load(model)(x), ort(model, x)[0])


def test_external_data_of_constants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read from where the process happens to stand."""
    (tmp_path / "secret.bin").write_bytes(np.ones(4, np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    tensor = onnx.TensorProto(name="t", data_type=FLOAT, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret.bin")
    nodes = [helper.make_node("Constant", [], ["t"], value=tensor), helper.make_node("Add", ["x", "t"], ["y"])]
    with pytest.raises(ValueError, match="external data"):
        cc.onnx.load(make(nodes, {"x": (FLOAT, [4])}, {"y": FLOAT}))
