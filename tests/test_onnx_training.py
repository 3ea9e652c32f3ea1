# SPDX-License-Identifier: BSD-3-Clause
"""Training of imported networks: the loss falls, and the first step's gradients are PyTorch's."""

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import convcore as cc  # noqa: E402
from convcore import nn, optim  # noqa: E402
from onnx_models import light  # noqa: E402


def without_softmax(name: str) -> Any:
    """The network up to its logits, which are small: as random weights give them, they would decide every class."""
    model = light(name)
    last = model.graph.node[-1]
    assert last.op_type == "Softmax"
    model.graph.output[0].name = last.input[0]
    del model.graph.node[-1]
    weights = {t.name: t for t in model.graph.initializer}
    head = next(n for n in reversed(model.graph.node) if n.op_type in ("Gemm", "Conv"))
    tensor = weights[head.input[1]]
    tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) / 10, tensor.name))
    return model


def in_pytorch(torch: Any, model: Any, x: np.ndarray, state: dict[str, Any]) -> Any:
    """The nodes one after the other, in training mode and float64."""
    f, values = torch.nn.functional, {**state, model.graph.input[0].name: torch.from_numpy(x).double()}
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer if t.name not in state}
    for node in model.graph.node:
        a = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        given = [values.get(name) for name in node.input]
        pads, strides = a.get("pads", [0, 0, 0, 0]), a.get("strides", [1, 1])
        sides = (pads[1], pads[3], pads[0], pads[2])
        if node.op_type == "Conv":
            y = f.conv2d(f.pad(given[0], sides), *given[1:], stride=strides, groups=a.get("group", 1))
        elif node.op_type == "BatchNormalization":
            w, b, mean, var = given[1:]
            y = f.batch_norm(given[0], mean.clone(), var.clone(), w, b, True, eps=a.get("epsilon", 1e-5))
        elif node.op_type == "MaxPool":
            y = f.max_pool2d(f.pad(given[0], sides, value=-torch.inf), a["kernel_shape"], strides)
        elif node.op_type == "AveragePool":
            y = f.avg_pool2d(given[0], a["kernel_shape"], strides)
        elif node.op_type == "Gemm":
            y = f.linear(given[0], given[1], given[2])
        elif node.op_type == "Reshape":
            y = given[0].reshape(len(x), *constants[node.input[1]][1:].tolist())
        else:
            y = {
                "Relu": lambda given: given[0].relu(),
                "Sum": sum,
                "Concat": lambda given: torch.cat(given, 1),
                "GlobalAveragePool": lambda given: given[0].mean((2, 3), keepdim=True),
                "Identity": lambda given: given[0],
            }[node.op_type](given)
        values[node.output[0]] = y
    return values[model.graph.output[0].name].reshape(len(x), -1)


def loaded(name: str) -> tuple[Any, Any, nn.Module]:
    """The file, its model without dropout, and that as a classifier of (N, classes)."""
    proto = without_softmax(name)
    for node in proto.graph.node:
        if node.op_type == "Dropout":
            node.op_type = "Identity"
            del node.attribute[:], node.output[1:]
        if node.op_type == "Reshape":  # to a batch of 1
            shape = next(t for t in proto.graph.initializer if t.name == node.input[1])
            shape.CopyFrom(onnx.numpy_helper.from_array(np.array([0, -1]), shape.name))
    proto.graph.input[0].type.tensor_type.shape.dim[0].ClearField("dim_value")
    model = cc.onnx.load(proto)
    return proto, model, nn.Sequential(model, nn.Flatten()) if name == "squeezenet" else model


@pytest.mark.parametrize("name", ["squeezenet", "resnet50"])
def test_ten_steps(name: str) -> None:
    _, _, network = loaded(name)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 3, 224, 224)).astype(np.float32), rng.integers(0, 1000, 4)
    rate = 0.003 if name == "squeezenet" else 0.0001
    trainer = cc.Trainer(network, nn.CrossEntropyLoss(), optim.SGD(lr=rate))
    losses = [trainer.step(x, y) for _ in range(10)]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.95 * losses[0], losses


@pytest.mark.parametrize("name", ["squeezenet", "resnet50"])
def test_gradients_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    proto, model, network = loaded(name)
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 3, 224, 224)).astype(np.float32), rng.integers(0, 1000, 2)
    trained = {key for key, _ in model.named_parameters()}
    state = {k: torch.from_numpy(v).double().requires_grad_(k in trained) for k, v in model.state_dict().items()}
    expected = torch.nn.functional.cross_entropy(in_pytorch(torch, proto, x, state), torch.from_numpy(y))
    expected.backward()
    loss, gradients = cc.value_and_grad(network, nn.CrossEntropyLoss())(x, y)
    assert loss == pytest.approx(expected.item(), rel=1e-4)
    for key, gradient in gradients.items():
        wanted = state[key.removeprefix("0.")].grad.numpy()
        error = np.linalg.norm(gradient - wanted) / max(np.linalg.norm(wanted), 1e-6)
        assert error <= 0.01, (key, error)  # roundings grow through 50 batch norms of 2 images
