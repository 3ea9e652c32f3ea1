"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from .. import functional as F
from ..symbol import Symbol
from .module import Module


class _Children(Module):
    """Children under the names "0", "1", ..., so that names are those of PyTorch."""

    def __init__(self, modules: Iterable[Module] | Mapping[str, Module] = ()) -> None:
        items = modules.items() if isinstance(modules, Mapping) else ((str(i), m) for i, m in enumerate(modules))
        for name, module in items:
            self._add(name, module)

    def _add(self, name: str, module: Module) -> None:
        kind = type(self).__name__
        if not isinstance(module, Module):
            raise TypeError(f"{kind}: expected modules, got {type(module).__name__}")
        if not isinstance(name, str) or not name or "." in name or hasattr(self, name):
            raise ValueError(f"{kind}: {name!r} cannot be a layer's name")
        setattr(self, name, module)

    def append(self, module: Module) -> None:
        number = len(self)
        while hasattr(self, str(number)):  # a slice keeps its numbers
            number += 1
        self._add(str(number), module)

    def __len__(self) -> int:
        return len(list(self.children()))

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, index: int) -> Module:
        return list(self.children())[index]


class Sequential(_Children):
    """Layers one after the other: Sequential(a, b, c), or Sequential({"name": a, ...}).

    Indexing gives a layer, slicing a Sequential that shares its layers. Source: torch.nn.Sequential.
    Raises TypeError for what is no module, ValueError for a name that cannot be a layer's.
    """

    @overload
    def __init__(self, modules: Mapping[str, Module], /) -> None: ...
    @overload
    def __init__(self, *modules: Module) -> None: ...
    def __init__(self, *modules: Any) -> None:
        super().__init__(modules[0] if len(modules) == 1 and isinstance(modules[0], Mapping) else modules)

    def forward(self, x: Symbol) -> Symbol:
        for child in self.children():
            x = child(x)
        return x

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            return Sequential(dict(list(self.named_children())[index]))
        return list(self.children())[index]


class ModuleList(_Children):
    """A list of layers that its owner calls one by one.

    Raises NotImplementedError when called, TypeError for what is no module. Source: torch.nn.ModuleList.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__(modules)

    def forward(self, *inputs: Any) -> Any:
        raise NotImplementedError("ModuleList: has no forward; call its layers, or use nn.Sequential")


class Residual(Module):
    """body(x) + shortcut(x), then the activation.

    shortcut: None is x itself; body and shortcut must give the same shape.
    Raises, in use, ShapeError where body and shortcut give other shapes.
    Source: He et al., "Deep Residual Learning for Image Recognition".
    """

    def __init__(self, body: Module, shortcut: Module | None = None, activation: Module | None = None) -> None:
        self.body = body
        self.shortcut = shortcut
        self.activation = activation

    def forward(self, x: Symbol) -> Symbol:
        y: Symbol = self.body(x) + (x if self.shortcut is None else self.shortcut(x))
        if self.activation is not None:
            y = self.activation(y)
        return y


class Parallel(_Children):
    """Branches on the same input, their results joined along the channels: Parallel([a, b]) or Parallel({"a": a}).

    Raises TypeError for what is no module; in use, what `functional.concat` raises.
    Source: Szegedy et al., "Going Deeper with Convolutions".
    """

    def forward(self, x: Symbol) -> Symbol:
        branches: list[Symbol] = [child(x) for child in self.children()]
        return F.concat(branches)
