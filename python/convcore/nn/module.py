"""Module: a layer or a network. It holds parameters and says, in `forward`, which ops to run on what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..locks import new_lock
from ..parameter import Buffer, Parameter, Variable, clock, edits
from ..symbol import Symbol
from ..table import format_table
from .settings import check_settings

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from typing_extensions import Self

    from ..compiled import ProgramCache
    from ..summary import Summary
    from ..symbol import Array

_lock = new_lock()


class Module:
    """Base of all layers and networks: assign parameters and layers as attributes, and define `forward`.

    Calling a module with NumPy arrays compiles it for their shapes (the eight last used are kept) and runs it in
    inference mode. `forward` itself only ever sees symbols: it is traced once per shape, so it may branch on `.shape`
    and on the module's attributes, not on values.
    Source: torch.nn.Module.
    """

    # Names of the attributes that are the constructor's arguments: for printing, and for model files.
    settings: ClassVar[tuple[str, ...]] = ()

    _edit: int = 0
    _programs: ProgramCache | None = None

    def forward(self, *inputs: Any) -> Any:
        """Symbols in, symbol (or tuple of symbols) out."""
        raise NotImplementedError(f"{type(self).__name__}: define forward(self, x)")

    def __call__(self, *inputs: Any) -> Any:
        """Arrays in, array (or tuple of arrays) out, in inference mode. Inside `forward`: symbols in, symbols out."""
        for x in inputs:
            if isinstance(x, Symbol):
                with x.tracer.layer(self, is_leaf=next(self.children(), None) is None):
                    return self.forward(*inputs)
        programs = self._programs
        if programs is None:
            programs = self._new_programs()
        return programs(inputs)

    def _new_programs(self) -> ProgramCache:
        from ..compiled import ProgramCache

        with _lock:
            if self._programs is None:
                object.__setattr__(self, "_programs", ProgramCache(self))
            assert self._programs is not None
            return self._programs

    # --- structure ------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        old = vars(self).get(name)
        if isinstance(old, Variable) and value is not None and not isinstance(value, Variable):
            kind = type(old).__name__
            raise TypeError(
                f"{type(self).__name__}: {name} must stay a {kind} or become None, got {type(value).__name__}; "
                f"to set its values, assign {name}.data"
            )
        object.__setattr__(self, name, value)
        self._edited()

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._edited()

    def _edited(self) -> None:
        """Attributes may be settings: programs compiled before must not be used again."""
        object.__setattr__(self, "_edit", edits.next())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def children(self) -> Iterator[Module]:
        for _, child in self.named_children():
            yield child

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module (named "") and all below, each once."""
        return self._named_modules(prefix, set())

    def _named_modules(self, prefix: str, seen: set[int]) -> Iterator[tuple[str, Module]]:
        if id(self) in seen:
            return
        seen.add(id(self))
        yield prefix, self
        for name, child in self.named_children():
            yield from child._named_modules(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self) -> Iterator[Module]:
        for _, module in self.named_modules():
            yield module

    def _variables(self, kind: type[Variable], unique: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules() if unique else self._every_path(""):
            for name, value in vars(module).items():
                if isinstance(value, kind) and not (unique and id(value) in seen):
                    seen.add(id(value))
                    yield f"{path}.{name}" if path else name, value

    def _every_path(self, prefix: str) -> Iterator[tuple[str, Module]]:
        """As named_modules, but a module that is used twice comes twice."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child._every_path(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Name ("layer1.conv.weight") and parameter, each parameter once."""
        return self._variables(Parameter, unique=True)

    def parameters(self) -> Iterator[Parameter]:
        for _, parameter in self.named_parameters():
            yield parameter

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        return self._variables(Buffer, unique=True)

    def buffers(self) -> Iterator[Buffer]:
        for _, buffer in self.named_buffers():
            yield buffer

    def num_parameters(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.size for parameter in self.parameters())

    def apply(self, function: Callable[[Module], object]) -> Self:
        """Calls the function for every module below and then for this one. Source: torch.nn.Module.apply."""
        for module in reversed(list(self.modules())):
            function(module)
        return self

    # --- state ----------------------------------------------------------------------------------------------------

    def set_algorithm(self, algorithm: str) -> Self:
        """Gives every convolution in this module this algorithm: "auto", "exact" (any but Winograd), "direct", ...

        Raises ValueError for a name that `functional.conv2d` does not know; nothing is changed then.
        """
        for layer in self.modules():
            if "algorithm" not in layer.settings:
                continue
            before = layer.__dict__["algorithm"]
            layer.algorithm = algorithm
            try:
                check_settings(type(layer).__name__, layer.forward)
            except ValueError:
                layer.algorithm = before
                raise
        return self

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and buffers by name, with PyTorch's names and shapes."""
        return {name: np.array(variable.data) for name, variable in self._variables(Variable, unique=False)}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copies arrays (or CPU tensors of PyTorch) into the parameters and buffers of the same names.

        strict: every name of both sides must have its partner; PyTorch's `num_batches_tracked` is passed over.
        Raises ValueError, and changes nothing, for missing, unexpected or wrongly shaped entries: one table of all.
        Source: torch.nn.Module.load_state_dict.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict: expected a dict of arrays, got {type(state).__name__}")
        variables = dict(self._variables(Variable, unique=False))
        given = {name: value for name, value in state.items() if name.rpartition(".")[2] != "num_batches_tracked"}
        rows: list[tuple[str, str, str, str]] = []  # name, problem, what is given, what the model has
        if strict:
            rows += [(name, "missing", "", str(v.shape)) for name, v in variables.items() if name not in given]
            rows += [(name, "unexpected", _kind_of(v), "") for name, v in given.items() if name not in variables]
        arrays = {}
        for name, value in given.items():
            if name not in variables:
                continue
            shape = str(variables[name].shape)
            try:
                array = np.asarray(value)
            except (TypeError, ValueError):  # a ragged list, say
                rows.append((name, "no array", type(value).__name__, shape))
                continue
            arrays[name] = array
            if array.shape != variables[name].shape:
                rows.append((name, "misshapen", str(array.shape), shape))
            elif array.dtype.kind not in "fiu":
                rows.append((name, "no numbers", str(array.dtype), shape))
        if rows:
            table = format_table(("name", "problem", "given", "model"), rows, left=4)
            raise ValueError(f"load_state_dict: the state does not fit the model, nothing was changed\n{table}")
        for name, array in arrays.items():
            variables[name].memory[...] = array
        clock.stamp([variables[name] for name in arrays])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes weights, and the architecture where it is made of library layers. See `convcore.save`."""
        from ..serialization import save

        save(self, path)

    def summary(self, *input_shapes: Sequence[int], batch_size: int = 1, dtype: str = "float32") -> Summary:
        """Prints layers, shapes, parameters, multiply-adds, algorithms and the memory of inference and of training.

        input_shapes: without the batch, e.g. (1, 28, 28). Returns what was printed, for programs to read.
        """
        from ..summary import summarize

        result = summarize(self, *input_shapes, batch_size=batch_size, dtype=dtype)
        print(result)
        return result

    # --- copying and printing -------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_programs", "_edit")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._edited()

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, of JSON's types: type(module)(**module.config()) has the same shape."""
        return {name: _plain(getattr(self, name)) for name in self.settings}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.config().items())
        children = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        if not children:
            return f"{type(self).__name__}({arguments})"
        return "\n  ".join([f"{type(self).__name__}({arguments}", *children]) + "\n)"


def latest_edit() -> int:
    """Grows with every change to an attribute of any module, or to which parameters are trained."""
    return edits.now


def newest_edit(module: Module) -> int:
    """The latest change within the module: an unchanged value means an unchanged network."""
    newest = 0
    for m in module.modules():
        newest = max(newest, m._edit, *(v.edit for v in vars(m).values() if isinstance(v, Parameter)))
    return newest


def _kind_of(value: Any) -> str:
    """The shape of an array, the type of anything else."""
    return str(tuple(value.shape)) if hasattr(value, "shape") else type(value).__name__


def _plain(value: Any) -> Any:
    """Arrays, variables and tuples as JSON knows them."""
    if isinstance(value, Variable):
        return value.data.tolist()
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value
