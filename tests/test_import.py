"""What `import convcore` brings along, and what its package holds."""

import ast
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import convcore as cc
from convcore import _core

PACKAGE = Path(_core.__file__).parent
SOURCES = Path(cc.__file__).parent
Python = Callable[..., str]


def test_import_loads_no_third_party_package_but_numpy(python: Python) -> None:
    code = """
import sys
import numpy
before = set(sys.modules)
import convcore
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""
    loaded = set(python(code).split())
    assert loaded - set(sys.stdlib_module_names) <= {"convcore", "numpy"}


def test_the_package_is_typed() -> None:
    assert (SOURCES / "py.typed").exists()
    assert (SOURCES / "_core.pyi").exists()


def _stub() -> ast.Module:
    return ast.parse((SOURCES / "_core.pyi").read_text())


def _declared(body: list[ast.stmt]) -> set[str]:
    names = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def test_the_stubs_name_what_the_core_has() -> None:
    public = {name for name in dir(_core) if not name.startswith("_")} | {"__version__"}
    assert _declared(_stub().body) == public


def test_the_stubs_name_what_the_classes_have() -> None:
    for node in _stub().body:
        if isinstance(node, ast.ClassDef) and node.name != "ShapeError":
            members = {m for m in vars(getattr(_core, node.name)) if not m.startswith("_")}
            assert _declared(node.body) - {"__init__"} == members, node.name


def test_the_version() -> None:
    assert cc.__version__ == _core.__version__


def test_everything_public_is_documented() -> None:
    undocumented = []
    for module in (cc, cc.functional, cc.nn, cc.optim):
        for name in module.__all__:
            item = getattr(module, name)
            if (inspect.isclass(item) or inspect.isfunction(item)) and not inspect.getdoc(item):
                undocumented.append(f"{module.__name__}.{name}")
    assert not undocumented


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (module, name)
        for module, base in ((cc.functional, None), (cc.nn, cc.nn.Module))
        for name in module.__all__
        if base is None
        or (inspect.isclass(item := getattr(module, name)) and issubclass(item, base) and item is not base)
    ],
)
def test_docstrings_give_errors_and_source(module: ModuleType, name: str) -> None:
    text = inspect.getdoc(getattr(module, name)) or ""
    assert "Raises" in text
    assert "Source: " in text


@pytest.mark.parametrize("name", [n for n, f in vars(cc.nn.init).items() if n.endswith("_") and not n.startswith("_")])
def test_docstrings_of_initial_values_give_the_source(name: str) -> None:
    assert "Source: " in (inspect.getdoc(getattr(cc.nn.init, name)) or "")


def test_functional_holds_the_agreed_names() -> None:
    """Names that others rely on."""
    agreed = [
        "conv2d", "conv2d_backward", "conv1d", "conv1d_backward", "conv_transpose2d", "conv_transpose2d_backward",
        "im2col", "col2im", "max_pool2d", "max_pool2d_backward", "avg_pool2d", "avg_pool2d_backward", "sum_pool2d",
        "sum_pool2d_backward", "convolve", "linear", "relu", "sigmoid", "softmax", "cross_entropy"
    ]  # fmt: skip
    assert set(agreed) <= set(cc.functional.__all__)


def test_every_kind_of_op_is_known() -> None:
    agreed = [
        "conv2d", "conv_transpose2d", "im2col", "col2im", "max_pool2d", "max_pool2d_indices", "avg_pool2d",
        "sum_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "linear", "flatten", "rearrange",
        "channels_last", "slice", "pad", "expand", "tile", "gather", "max_unpool2d", "lp_pool2d", "nll_loss",
        "resize", "batch_norm", "layer_norm", "group_norm", "instance_norm", "lstm",
        "local_response_norm", "dropout", "concat", "add", "multiply", "relu", "leaky_relu", "relu6", "sigmoid",
        "tanh", "silu", "gelu", "hardswish", "softmax", "log_softmax", "normalize", "cross_entropy", "hinge_loss",
        "multi_margin_loss", "mse_loss", "l1_loss", "huber_loss", "bce_with_logits", "correct_count",
        "hardsigmoid", "elu", "selu", "celu", "mish", "softplus", "softsign", "threshold", "erf", "exp", "log", "sqrt",
        "abs", "neg", "reciprocal", "floor", "ceil", "round", "sign", "clamp", "logical_not", "subtract", "divide",
        "power", "minimum", "maximum", "remainder", "fmod", "prelu", "equal", "less", "less_equal", "greater",
        "greater_equal", "logical_and", "logical_or", "logical_xor", "where",
        "reduce", "argmax", "argmin", "hardmax", "topk", "matmul"
    ]  # fmt: skip
    assert set(agreed) == set(_core.op_kinds())


def test_info() -> None:
    info = cc.info()
    text = str(info)
    for item in (_core.isa(), _core.__version__, str(_core.get_num_threads())):
        assert item in text
