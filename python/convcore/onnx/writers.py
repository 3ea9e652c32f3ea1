# SPDX-License-Identifier: BSD-3-Clause
"""How each op of the core is written in ONNX: a function of the op to the names of its results."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray

OPSET = 21


@dataclass(frozen=True)
class Step:
    """One node of the core's graph. inputs: names in ONNX, "" where absent."""

    name: str
    kind: str
    attributes: dict[str, Any]
    inputs: list[str]
    shapes: list[tuple[int, ...]]
    outputs: list[tuple[int, ...]]


class Writer:
    """Nodes and initializers as they come. fold: batch norms and dropout are for inference alone."""

    def __init__(self, fold: bool) -> None:
        self.fold = fold
        self.values: dict[int, str] = {}
        self.readers: dict[str, int] = {}
        self.arrays: dict[str, NDArray[Any]] = {}
        self.nodes: list[onnx.NodeProto] = []
        self._names: set[str] = set()

    def claim(self, name: str) -> str:
        """The name, with a number behind it where it is taken."""
        unique, count = name, 1
        while unique in self._names:
            count += 1
            unique = f"{name}_{count}"
        self._names.add(unique)
        return unique

    def name(self, value: int, tensor: str, readers: Mapping[int, int]) -> None:
        """What a value of the core's graph is called."""
        self.values[value] = tensor
        self.readers[tensor] = self.readers.get(tensor, 0) + readers[value]

    def constant(self, data: ArrayLike, name: str = "constant") -> str:
        unique = self.claim(name)
        self.arrays[unique] = np.array(data, order="C")
        return unique

    def ints(self, values: Sequence[int]) -> str:
        return self.constant(np.array(values, np.int64), "shape")

    def number(self, value: float) -> str:
        return self.constant(np.float32(value), "number")

    def node(self, op: str, inputs: Sequence[str], *, name: str, output: str | None = None, **attributes: Any) -> str:
        tensor = output or self.claim(name)
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        self.nodes.append(onnx.helper.make_node(op, list(inputs), [tensor], name=tensor, **attributes))
        return tensor

    def several(self, op: str, inputs: Sequence[str], count: int, *, name: str, **attributes: Any) -> list[str]:
        """A node of several results."""
        tensors = [self.claim(name) for _ in range(count)]
        self.nodes.append(onnx.helper.make_node(op, list(inputs), tensors, name=tensors[0], **attributes))
        return tensors

    def finished(self) -> list[onnx.NodeProto]:
        return self.nodes

    def initializers(self) -> list[onnx.TensorProto]:
        """Those that are read."""
        read = {name for node in self.nodes for name in node.input}
        return [onnx.numpy_helper.from_array(a, name) for name, a in self.arrays.items() if name in read]


Write = Callable[[Writer, Step], "str | Sequence[str]"]
WRITERS: dict[str, Write] = {}


def writes(*kinds: str) -> Callable[[Write], Write]:
    def register(write: Write) -> Write:
        WRITERS.update(dict.fromkeys(kinds, write))
        return write

    return register


# --- one op, one node ---------------------------------------------------------------------------------------------

_SAME = {
    "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "hardswish": "HardSwish", "mish": "Mish",
    "softsign": "Softsign", "erf": "Erf", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "abs": "Abs", "neg": "Neg",
    "reciprocal": "Reciprocal", "floor": "Floor", "ceil": "Ceil", "round": "Round", "sign": "Sign",
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "power": "Pow", "prelu": "PRelu",
    "minimum": "Min", "maximum": "Max", "matmul": "MatMul", "channels_last": "Identity",
}  # fmt: skip
_WITH_ATTRIBUTES: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "leaky_relu": ("LeakyRelu", {"negative_slope": "alpha"}, {"negative_slope": 0.01}),
    "elu": ("Elu", {"alpha": "alpha"}, {"alpha": 1.0}),
    "selu": ("Selu", {"alpha": "alpha", "gamma": "gamma"}, {}),
    "celu": ("Celu", {"alpha": "alpha"}, {}),
    "hardsigmoid": ("HardSigmoid", {"alpha": "alpha", "beta": "beta"}, {}),
    "gelu": ("Gelu", {"approximate": "approximate"}, {}),
    "concat": ("Concat", {"axis": "axis"}, {"axis": 1}),
    "softmax": ("Softmax", {"axis": "axis"}, {"axis": 1}),
    "log_softmax": ("LogSoftmax", {"axis": "axis"}, {"axis": 1}),
    "hardmax": ("Hardmax", {"axis": "axis"}, {"axis": 1}),
    "instance_norm": ("InstanceNormalization", {"eps": "epsilon"}, {}),
}  # fmt: skip
_COMPARISONS = {
    "equal": "Equal", "less": "Less", "less_equal": "LessOrEqual", "greater": "Greater",
    "greater_equal": "GreaterOrEqual", "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor",
    "logical_not": "Not",
}  # fmt: skip


@writes(*_SAME)
def _same(w: Writer, s: Step) -> str:
    return w.node(_SAME[s.kind], s.inputs, name=s.name)


@writes(*_WITH_ATTRIBUTES)
def _with_attributes(w: Writer, s: Step) -> str:
    op, renamed, defaults = _WITH_ATTRIBUTES[s.kind]
    attributes = {new: s.attributes.get(old, defaults.get(old)) for old, new in renamed.items()}
    if s.kind == "instance_norm":
        channels = s.shapes[0][1]
        ones = [np.ones(channels, np.float32), np.zeros(channels, np.float32)]
        weights = [n or w.constant(a) for n, a in zip((*s.inputs[1:], "", "")[:2], ones, strict=True)]
        return w.node(op, [s.inputs[0], *weights], name=s.name, **attributes)
    return w.node(op, s.inputs, name=s.name, **{k: v for k, v in attributes.items() if v is not None})


@writes(*_COMPARISONS)
def _compared(w: Writer, s: Step) -> str:
    """bool in ONNX, 0 or 1 here."""
    inputs = s.inputs
    if s.kind.startswith("logical"):
        inputs = [w.node("Cast", [x], name=f"{s.name}.bool", to=onnx.TensorProto.BOOL) for x in inputs]
    chosen = w.node(_COMPARISONS[s.kind], inputs, name=f"{s.name}.bool")
    return w.node("Cast", [chosen], name=s.name, to=onnx.TensorProto.FLOAT)


@writes("where")
def _where(w: Writer, s: Step) -> str:
    condition = w.node("Cast", [s.inputs[0]], name=f"{s.name}.bool", to=onnx.TensorProto.BOOL)
    return w.node("Where", [condition, *s.inputs[1:]], name=s.name)


@writes("remainder", "fmod")
def _modulo(w: Writer, s: Step) -> str:
    """ONNX has no remainder of floats with the divisor's sign: x - floor(x / y) y."""
    if s.kind == "fmod":
        return w.node("Mod", s.inputs, name=s.name, fmod=1)
    times = w.node("Floor", [w.node("Div", s.inputs, name=f"{s.name}.quotient")], name=f"{s.name}.floor")
    return w.node("Sub", [s.inputs[0], w.node("Mul", [times, s.inputs[1]], name=f"{s.name}.whole")], name=s.name)


@writes("relu6", "clamp")
def _clip(w: Writer, s: Step) -> str:
    low, high = (0.0, 6.0) if s.kind == "relu6" else (s.attributes.get("min"), s.attributes.get("max"))
    ends = ["" if v is None or math.isinf(v) else w.number(v) for v in (low, high)]
    return w.node("Clip", [s.inputs[0], *ends], name=s.name)


@writes("silu")
def _silu(w: Writer, s: Step) -> str:
    return w.node("Mul", [s.inputs[0], w.node("Sigmoid", s.inputs, name=f"{s.name}.sigmoid")], name=s.name)


@writes("softplus")
def _softplus(w: Writer, s: Step) -> str:
    """log(1 + exp(beta x)) / beta"""
    beta = s.attributes.get("beta", 1.0)
    if beta == 1:
        return w.node("Softplus", s.inputs, name=s.name)
    scaled = w.node("Mul", [s.inputs[0], w.number(beta)], name=f"{s.name}.scaled")
    return w.node("Div", [w.node("Softplus", [scaled], name=f"{s.name}.soft"), w.number(beta)], name=s.name)


@writes("threshold")
def _threshold(w: Writer, s: Step) -> str:
    """x where x > threshold, value elsewhere"""
    above = w.node("Greater", [s.inputs[0], w.number(s.attributes.get("threshold", 0.0))], name=f"{s.name}.above")
    return w.node("Where", [above, s.inputs[0], w.number(s.attributes.get("value", 0.0))], name=s.name)


@writes("dropout")
def _dropout(w: Writer, s: Step) -> str:
    if w.fold:
        return s.inputs[0]
    return w.node("Dropout", [s.inputs[0], w.number(s.attributes.get("p", 0.5))], name=s.name)


@writes("normalize")
def _normalize(w: Writer, s: Step) -> str:
    """(x scale - mean) / std, of bytes or floats"""
    side = (1, -1, 1, 1)
    std = np.array(s.attributes.get("std", [1.0]), np.float64).reshape(side)
    mean = np.array(s.attributes.get("mean", [0.0]), np.float64).reshape(side)
    scale = np.float64(s.attributes.get("scale", 1.0))
    floats = w.node("Cast", s.inputs, name=f"{s.name}.float", to=onnx.TensorProto.FLOAT)
    scaled = w.node("Mul", [floats, w.constant((scale / std).astype(np.float32))], name=f"{s.name}.scaled")
    return w.node("Add", [scaled, w.constant((-mean / std).astype(np.float32))], name=s.name)


# --- products, normalisations -------------------------------------------------------------------------------------


def _space(s: Step) -> int:
    return len(s.shapes[0]) - 2


def _sides(s: Step, name: str, default: int = 1) -> list[int]:
    """A setting of both axes for as many as the image has."""
    values = list(s.attributes.get(name) or [default, default])
    return values[2 - _space(s) :]


def _pads(s: Step) -> list[int]:
    """[top, bottom, left, right], [h, w] or a rule's name as [begins..., ends...]"""
    space, given = _space(s), s.attributes.get("padding", [0, 0])
    if isinstance(given, str):
        reach = [d * (k - 1) for d, k in zip(_sides(s, "dilation"), s.shapes[1][2:], strict=True)]
        if given == "same":
            total = [
                max((-(-size // stride) - 1) * stride + r + 1 - size, 0)
                for size, stride, r in zip(s.shapes[0][2:], _sides(s, "stride"), reach, strict=True)
            ]
            return [t // 2 for t in total] + [t - t // 2 for t in total]
        return [0] * (2 * space) if given == "valid" else reach * 2
    sides = list(given) if len(given) == 4 else [given[0], given[0], given[1], given[1]]
    sides = sides[4 - 2 * space :]
    return sides[::2] + sides[1::2]


@writes("conv2d", "conv_transpose2d")
def _conv(w: Writer, s: Step) -> str:
    attributes = {
        "strides": _sides(s, "stride"),
        "dilations": _sides(s, "dilation"),
        "pads": _pads(s),
        "group": s.attributes.get("groups", 1),
        "kernel_shape": list(s.shapes[1][2:]),
    }
    if s.kind == "conv2d":
        return w.node("Conv", s.inputs[:3], name=s.name, **attributes)
    return w.node(
        "ConvTranspose", s.inputs[:3], name=s.name, output_padding=_sides(s, "output_padding", 0), **attributes
    )


@writes("linear")
def _linear(w: Writer, s: Step) -> str:
    return w.node("Gemm", s.inputs[:3], name=s.name, transB=1)


@writes("col2im")
def _col2im(w: Writer, s: Step) -> str:
    """As a map of two axes."""
    sides = list(s.attributes.get("padding", [0, 0]))
    sides = sides if len(sides) == 4 else [sides[0], sides[0], sides[1], sides[1]]
    size, kernel = w.ints(s.attributes["output_size"]), w.ints(s.attributes["kernel_size"])
    y = w.node(
        "Col2Im",
        [s.inputs[0], size, kernel],
        name=s.name,
        strides=list(s.attributes.get("stride", [1, 1])),
        dilations=list(s.attributes.get("dilation", [1, 1])),
        pads=sides[::2] + sides[1::2],
    )
    return y


@writes("batch_norm")
def _batch_norm(w: Writer, s: Step) -> str:
    channels = s.shapes[0][1]
    weight = s.inputs[1] or w.constant(np.ones(channels, np.float32))
    bias = s.inputs[2] or w.constant(np.zeros(channels, np.float32))
    eps, inputs = s.attributes.get("eps", 1e-5), [s.inputs[0], weight, bias, *s.inputs[3:5]]
    if w.fold and (folded := _folded(w, s, inputs, eps)):
        return folded
    return w.node(
        "BatchNormalization", inputs, name=s.name, epsilon=eps, momentum=1 - s.attributes.get("momentum", 0.1)
    )


def _folded(w: Writer, s: Step, inputs: Sequence[str], eps: float) -> str | None:
    """The convolution or linear layer that alone computes x, which is read once, with this norm in its weights."""
    before = next((n for n in w.nodes if n.output[0] == inputs[0]), None)
    if before is None or before.op_type not in ("Conv", "Gemm") or w.readers.get(inputs[0], 0) != 1:
        return None
    if any(name not in w.arrays for name in (*before.input[1:], *inputs[1:])):
        return None
    if any(w.readers.get(name, 0) != 1 for name in before.input[1:]):
        return None
    gamma, beta, mean, var = (w.arrays[name].astype(np.float64) for name in inputs[1:])
    factor = gamma / np.sqrt(var + eps)
    weight = w.arrays[before.input[1]]
    old = w.arrays[before.input[2]].astype(np.float64) if len(before.input) > 2 else 0.0
    w.arrays[before.input[1]] = (weight * factor.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32)
    bias = (beta + (old - mean) * factor).astype(np.float32)
    if len(before.input) > 2:
        w.arrays[before.input[2]] = bias
    else:
        before.input.append(w.constant(bias, f"{before.name}.bias"))
    return inputs[0]


@writes("local_response_norm")
def _local_response_norm(w: Writer, s: Step) -> str:
    a = s.attributes
    return w.node(
        "LRN",
        s.inputs,
        name=s.name,
        size=a["size"],
        alpha=a.get("alpha", 1e-4),
        beta=a.get("beta", 0.75),
        bias=a.get("k", 1.0),
    )


@writes("layer_norm")
def _layer_norm(w: Writer, s: Step) -> str:
    axis = s.attributes.get("axis", -1)
    scale = s.inputs[1] if len(s.inputs) > 1 and s.inputs[1] else w.constant(np.ones(s.shapes[0][axis:], np.float32))
    rest = s.inputs[2:3]
    return w.node(
        "LayerNormalization", [s.inputs[0], scale, *rest], name=s.name, axis=axis, epsilon=s.attributes.get("eps", 1e-5)
    )


@writes("group_norm")
def _group_norm(w: Writer, s: Step) -> str:
    channels = s.shapes[0][1]
    ones = [np.ones(channels, np.float32), np.zeros(channels, np.float32)]
    weights = [n or w.constant(a) for n, a in zip((*s.inputs[1:], "", "")[:2], ones, strict=True)]
    a = s.attributes
    return w.node(
        "GroupNormalization",
        [s.inputs[0], *weights],
        name=s.name,
        num_groups=a["num_groups"],
        epsilon=a.get("eps", 1e-5),
    )


# --- windows ------------------------------------------------------------------------------------------------------


def _window(s: Step) -> dict[str, Any]:
    kernel = _sides(s, "kernel_size")
    attributes = {
        "kernel_shape": kernel,
        "strides": _sides(s, "stride") if s.attributes.get("stride") else kernel,
        "pads": _sides(s, "padding", 0) * 2,
        "ceil_mode": int(s.attributes.get("ceil_mode", False)),
    }
    if "dilation" in s.attributes:
        attributes["dilations"] = _sides(s, "dilation")
    return attributes


@writes("max_pool2d")
def _max_pool(w: Writer, s: Step) -> str:
    return w.node("MaxPool", s.inputs, name=s.name, **_window(s))


@writes("max_pool2d_indices")
def _max_pool_indices(w: Writer, s: Step) -> str:
    """Places in each map, where ONNX counts through the whole array."""
    _, places = w.several("MaxPool", s.inputs, 2, name=f"{s.name}.all", **_window(s))
    return w.node("Mod", [places, w.ints([math.prod(s.shapes[0][2:])])], name=s.name)


@writes("avg_pool2d")
def _avg_pool(w: Writer, s: Step) -> str:
    include = int(s.attributes.get("count_include_pad", True))
    return w.node("AveragePool", s.inputs, name=s.name, count_include_pad=include, **_window(s))


@writes("sum_pool2d")
def _sum_pool(w: Writer, s: Step) -> str:
    """The p-norms of |x| would lose signs: a convolution of each channel with ones."""
    window = _window(s)
    kernel, strides = window["kernel_shape"], window["strides"]
    pads, space, channels = window["pads"], _space(s), s.shapes[0][1]
    for i in range(space):  # what ceil_mode hangs over
        needed = (s.outputs[0][2 + i] - 1) * strides[i] + kernel[i] - s.shapes[0][2 + i] - pads[i]
        pads[space + i] = max(needed, 0)
    ones = w.constant(np.ones((channels, 1, *kernel), np.float32))
    return w.node(
        "Conv", [s.inputs[0], ones], name=s.name, group=channels, strides=strides, pads=pads, kernel_shape=kernel
    )


@writes("lp_pool2d")
def _lp_pool(w: Writer, s: Step) -> str:
    return w.node("LpPool", s.inputs, name=s.name, p=int(s.attributes["p"]), **_window(s))


@writes("adaptive_avg_pool2d", "adaptive_max_pool2d")
def _adaptive(w: Writer, s: Step) -> str:
    """Windows of one size where the output's divides the input's; else the means, or maxima, of slices."""
    average, space = s.kind == "adaptive_avg_pool2d", _space(s)
    sizes, outputs = s.shapes[0][2:], s.outputs[0][2:]
    if all(o == 1 for o in outputs):
        return w.node("GlobalAveragePool" if average else "GlobalMaxPool", s.inputs, name=s.name)
    if all(size % o == 0 for size, o in zip(sizes, outputs, strict=True)):
        kernel = [size // o for size, o in zip(sizes, outputs, strict=True)]
        return w.node(
            "AveragePool" if average else "MaxPool", s.inputs, name=s.name, kernel_shape=kernel, strides=kernel
        )
    x = s.inputs[0]
    for axis in range(2, 2 + space):
        size, count = s.shapes[0][axis], s.outputs[0][axis]
        parts = []
        for i in range(count):
            first, last = i * size // count, -(-(i + 1) * size // count)
            part = w.node("Slice", [x, w.ints([first]), w.ints([last]), w.ints([axis])], name=f"{s.name}.slice")
            parts.append(
                w.node(
                    "ReduceMean" if average else "ReduceMax", [part, w.ints([axis])], name=f"{s.name}.part", keepdims=1
                )
            )
        x = w.node("Concat", parts, name=s.name, axis=axis)
    return x


@writes("max_unpool2d")
def _max_unpool(w: Writer, s: Step) -> str:
    """Places in each map, as places in the whole array; values go there, and zeros elsewhere."""
    n, c, *space = s.outputs[0]
    area = math.prod(space)
    planes = np.arange(n * c, dtype=np.int64).reshape(n, c, *[1] * len(space)) * area
    places = w.node("Cast", [s.inputs[1]], name=f"{s.name}.places", to=onnx.TensorProto.INT64)
    flat = w.node(
        "Reshape",
        [w.node("Add", [places, w.constant(planes)], name=f"{s.name}.all"), w.ints([-1])],
        name=f"{s.name}.at",
    )
    values = w.node("Reshape", [s.inputs[0], w.ints([-1])], name=f"{s.name}.values")
    zeros = w.constant(np.zeros(n * c * area, np.float32))
    filled = w.node("ScatterElements", [zeros, flat, values], name=f"{s.name}.filled")
    return w.node("Reshape", [filled, w.ints(s.outputs[0])], name=s.name)
