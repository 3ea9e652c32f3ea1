"""Model files: safetensors, with the architecture as JSON in the metadata.

The architecture names layers of a closed list with their constructor's arguments and frozen parameters, nested; a
layer used again is named by the path of its first use. Reading a file builds
layers of that list and nothing else; no name in a file is ever imported, and no size in it is believed before the
file's own length has been checked against it.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import _core, nn
from .nn.init import blank
from .nn.module import Module
from .parameter import Parameter, Variable

FORMAT = "1"
MAX_DEPTH = 64  # of nested layers
MAX_LAYERS = 100_000
MAX_JSON = 16 << 20  # characters

_CONTAINERS: dict[str, type[Module]] = {c.__name__: c for c in (nn.Sequential, nn.ModuleList, nn.Parallel, nn.Residual)}
_LAYERS: dict[str, type[Module]] = {
    layer.__name__: layer
    for layer in (
        nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Flatten, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d,
        nn.AvgPool2d, nn.SumPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.GlobalAvgPool2d, nn.GlobalMaxPool2d,
        nn.BatchNorm1d, nn.BatchNorm2d, nn.LocalResponseNorm, nn.Dropout, nn.Normalize, nn.ReLU, nn.LeakyReLU,
        nn.ReLU6, nn.Sigmoid, nn.Tanh, nn.SiLU, nn.GELU, nn.Hardswish, nn.Softmax, nn.LogSoftmax, nn.Upsample,
        nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d,
        nn.LSTM,
    )
}  # fmt: skip


def _layer_type(name: str) -> type[Module] | None:
    """Of a layer by its name; one that an extra adds is imported when it is asked for."""
    if name == "OnnxModel":
        from .onnx import OnnxModel

        return OnnxModel
    return _LAYERS.get(name)


def architecture(model: Module) -> dict[str, Any] | None:
    """The model as JSON, or None if that would not give it back: it holds a module that is not of the library,
    parameters that its layers' constructors do not make, or one parameter in two layers."""
    variables = [id(v) for m in model.modules() for v in _own(m).values()]
    return _describe(model, "", {}) if len(variables) == len(set(variables)) else None


def _describe(model: Module, path: str, seen: dict[int, str]) -> dict[str, Any] | None:
    if id(model) in seen:
        return {"shared": seen[id(model)]}
    seen[id(model)] = path
    name = type(model).__name__
    if _CONTAINERS.get(name) is type(model) and not _own(model):
        children = {key: _describe(child, _join(path, key), seen) for key, child in model.named_children()}
        return None if None in children.values() else {"type": name, "children": children}
    if _layer_type(name) is not type(model) or any(model.children()) or not _is_as_made(model):
        return None
    frozen = [key for key, v in _own(model).items() if isinstance(v, Parameter) and not v.requires_grad]
    return {"type": name, "config": model.config(), **({"frozen": frozen} if frozen else {})}


def _own(module: Module) -> dict[str, Variable]:
    return {key: value for key, value in vars(module).items() if isinstance(value, Variable)}


def _is_as_made(layer: Module) -> bool:
    """Whether the layer's constructor makes variables of the same names, kinds and shapes."""
    own = _own(layer)
    try:
        with blank(sum(v.size for v in own.values())):
            made = _own(type(layer)(**layer.config()))
    except (TypeError, ValueError, OverflowError):
        return False
    return {k: (type(v), v.shape) for k, v in own.items()} == {k: (type(v), v.shape) for k, v in made.items()}


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def build(description: Any) -> Module:
    """The model that `architecture` described. Raises ValueError for anything else."""
    return _Builder().build(description, "", 0)


class _Builder:
    """Builds one description. Shared layers are counted as often as they come: a few lines could name 2**60."""

    def __init__(self) -> None:
        self._count = 0
        self._built: dict[str, tuple[Module, int]] = {}  # by path: the module, and how many layers it is

    def build(self, description: Any, path: str, depth: int) -> Module:
        if isinstance(description, dict) and set(description) == {"shared"}:
            first = description["shared"]
            if not isinstance(first, str) or first not in self._built:
                raise ValueError(f"{_named(path)}: there is no layer {first!r} before it to be shared")
            module, size = self._built[first]
            self._add(size, path, depth)
            return module
        before = self._count
        self._add(1, path, depth)
        module = self._layer(description, path, depth)
        self._built[path] = module, self._count - before
        return module

    def _add(self, layers: int, path: str, depth: int) -> None:
        self._count += layers
        if depth > MAX_DEPTH or self._count > MAX_LAYERS:
            raise ValueError(f"{_named(path)}: more than {MAX_DEPTH} levels or {MAX_LAYERS} layers")

    def _layer(self, description: Any, path: str, depth: int) -> Module:
        where = _named(path)
        if not isinstance(description, dict) or not isinstance(description.get("type"), str):
            raise ValueError(f"{where}: a layer must be an object with a type")
        name = description["type"]
        if name in _CONTAINERS:
            children = description.get("children")
            if set(description) != {"type", "children"} or not isinstance(children, dict):
                raise ValueError(f"{where}: {name} must have children, and nothing else")
            modules = {key: self.build(child, _join(path, key), depth + 1) for key, child in children.items()}
            return _fill(name, modules, where)
        layer_type = _layer_type(name)
        if layer_type is None:
            raise ValueError(f"{where}: {name!r} is no layer of this version of convcore")
        config, frozen = description.get("config"), description.get("frozen", [])
        if set(description) - {"frozen"} != {"type", "config"} or not isinstance(config, dict):
            raise ValueError(f"{where}: {name} must have a config, and nothing else but frozen")
        try:
            layer = layer_type(**config)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{where}: {error}") from None
        _freeze(layer, frozen, where)
        return layer


def _named(path: str) -> str:
    return _join("model", path) if path else "model"


def _freeze(layer: Module, names: Any, path: str) -> None:
    own = _own(layer)
    for name in names if isinstance(names, list) else [names]:
        parameter = own.get(name) if isinstance(name, str) else None
        if not isinstance(parameter, Parameter):
            raise ValueError(f"{path}: frozen must hold names of parameters, got {name!r}")
        parameter.requires_grad = False


def _fill(name: str, modules: Mapping[str, Module], path: str) -> Module:
    try:
        if name == "Residual":
            return nn.Residual(**modules)
        if name == "ModuleList":
            if list(modules) != [str(i) for i in range(len(modules))]:
                raise ValueError("a ModuleList's layers must be numbered")
            return nn.ModuleList(modules.values())
        return nn.Parallel(modules) if name == "Parallel" else nn.Sequential(modules)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def save(model: Module, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Writes the model's weights, and its architecture if it is made of library layers alone, to a safetensors file.

    Layers used twice and frozen parameters come back as such. A model that the architecture could not give back (with
    layers or parameters of your own, or one parameter in two layers) is saved without it: `load` then needs the model.
    The file appears whole or not at all. metadata: more strings to keep in the file; "convcore", "format" and
    "architecture" are taken.
    """
    if not isinstance(model, Module):
        raise TypeError(f"save: expected a Module, got {type(model).__name__}")
    own = {
        "convcore": _core.__version__,
        "format": FORMAT,
        "architecture": json.dumps(architecture(model), separators=(",", ":")),
    }
    more = dict(metadata or {})
    if set(more) & set(own):
        raise ValueError(f"save: metadata must not hold {', '.join(sorted(set(more) & set(own)))}")
    _write(model.state_dict(), more | own, path)


def load(path: str | os.PathLike[str], model: Module | None = None) -> Module:
    """The model that `save` wrote, or `model` filled with the file's weights.

    A file of library layers needs no model. Raises FileNotFoundError, or ValueError where the file is damaged, is of
    something else, or does not hold its architecture.
    """
    if model is not None and not isinstance(model, Module):
        raise TypeError(f"load: model must be a Module, got {type(model).__name__}")
    arrays, metadata = read(path)
    if model is not None:
        model.load_state_dict(arrays)
        return model
    try:
        return _model(arrays, metadata)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"load: {os.fspath(path)}: {error}") from None


def _model(arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> Module:
    text = metadata.get("architecture")
    if text is None:
        raise ValueError("holds weights but no architecture; build the model and give it: load(path, model)")
    if len(text) > MAX_JSON:
        raise ValueError(f"its architecture is longer than {MAX_JSON} characters")
    description = json.loads(text)
    if description is None:
        raise ValueError(
            "holds a model with layers or parameters of your own, whose code is not in the file; build it and give "
            "it: load(path, model)"
        )
    with blank(sum(array.size for array in arrays.values())):
        model = build(description)
    model.load_state_dict(arrays)
    return model


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, str]]:
    """Arrays and metadata of any safetensors file. Raises FileNotFoundError, or ValueError if it is damaged."""
    from safetensors import SafetensorError, safe_open

    name = os.fspath(path)
    if not os.path.exists(name):
        raise FileNotFoundError(f"load: there is no file {name}")
    if not os.path.isfile(name):
        raise ValueError(f"load: {name} is not a file")
    try:
        with safe_open(name, framework="numpy") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, TypeError, ValueError) as error:
        raise ValueError(f"load: {name} is not a sound safetensors file: {error}") from None


def _write(arrays: Mapping[str, Any], metadata: Mapping[str, str], path: str | os.PathLike[str]) -> None:
    from safetensors.numpy import save

    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        # Not save_file: its files can be read by their owner alone, whatever the umask.
        temporary.write_bytes(save({key: np.asarray(a, order="C") for key, a in arrays.items()}, dict(metadata)))
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if not target.parent.is_dir():
            raise FileNotFoundError(f"save: there is no folder {target.parent}") from error
        raise


# --- nested states ------------------------------------------------------------------------------------------------

_KIND = "convcore-state"


def save_state(state: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Writes a nested dict of arrays and plain values (a Trainer's state) to a safetensors file, atomically."""
    arrays: dict[str, Any] = {}
    tree = _detach(state, "", arrays)
    _write(arrays, {"kind": _KIND, "convcore": _core.__version__, "state": json.dumps(tree)}, path)


def load_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads what `save_state` wrote. Raises FileNotFoundError, or ValueError for other or damaged files."""
    arrays, metadata = read(path)
    if metadata.get("kind") != _KIND:
        raise ValueError(f"load: {os.fspath(path)} is not a saved training state")
    try:
        state = _attach(json.loads(metadata["state"]), arrays)
    except (ValueError, KeyError, RecursionError) as error:
        raise ValueError(f"load: {os.fspath(path)}: damaged state: {error}") from None
    if not isinstance(state, dict):
        raise ValueError(f"load: {os.fspath(path)}: damaged state")
    return state


def _detach(value: Any, path: str, arrays: dict[str, Any]) -> Any:
    """value with each array replaced by {"array": its name in arrays}."""
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"array": path}
    if isinstance(value, Mapping):
        return {"dict": {key: _detach(v, f"{path}/{key}" if path else key, arrays) for key, v in value.items()}}
    return {"value": value}


def _attach(tree: Any, arrays: Mapping[str, Any]) -> Any:
    if not isinstance(tree, dict) or len(tree) != 1:
        raise ValueError("unexpected node")
    ((kind, content),) = tree.items()
    if kind == "array":
        return arrays[content]
    if kind == "dict" and isinstance(content, dict):
        return {key: _attach(v, arrays) for key, v in content.items()}
    if kind == "value":
        return content
    raise ValueError("unexpected node")
