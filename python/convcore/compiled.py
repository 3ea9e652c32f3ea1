"""Compiling a model: trace it, let the core plan it, bind it to the model's memory."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakSet

import numpy as np

from ._core import Program, get_num_threads, get_winograd
from .arguments import integer
from .locks import new_lock
from .nn.module import Module, latest_edit, newest_edit
from .parameter import Variable, clock
from .symbol import Array, Symbol, Tracer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from .parameter import Parameter
    from .profile import Profile

Spec: TypeAlias = tuple[tuple[int, ...], str]  # shape and dtype ("float32", "uint8", "int64") of an input

_KEPT = 8  # programs per model; the least recently used goes first
_UINT8 = np.dtype(np.uint8).num


@dataclass(frozen=True, slots=True)
class Traced:
    """A planned program, and the memory it is to be bound to."""

    program: Program
    parameters: list[Parameter]
    buffers: list[Variable]
    names: list[str]  # of the parameters
    single: bool  # forward returned a symbol, not a tuple

    def bind(self, gradients: NDArray[np.float32] | None = None) -> None:
        self.program.bind([p.memory for p in self.parameters], [b.memory for b in self.buffers], gradients)


def trace(
    roots: Mapping[str, object],
    forward: Callable[..., Any],
    inputs: Sequence[tuple[str, Spec]],
    training: bool = False,
) -> Traced:
    """Runs forward on symbols of the inputs and plans what came out.

    roots: modules by the prefix of their names ("" for the model); what is no module is passed over.
    Raises what the ops raise, with the layer's name, and TypeError if forward returns something else than symbols.
    """
    tracer = Tracer(training, _names(roots))
    outputs = forward(*[tracer.input(name, shape, dtype) for name, (shape, dtype) in inputs])
    single = isinstance(outputs, Symbol)
    symbols = [outputs] if single else outputs
    if not isinstance(symbols, (tuple, list)) or not symbols or not all(isinstance(s, Symbol) for s in symbols):
        who = type(roots.get("", forward)).__name__
        raise TypeError(f"{who}: forward must return a symbol or a tuple of symbols, got {outputs!r}")
    tracer.graph.set_outputs([s.value for s in symbols])
    names = tracer.graph.parameter_names()
    return Traced(Program(tracer.graph), tracer.parameters, tracer.buffers, names, single)


def _names(roots: Mapping[str, object]) -> dict[int, str]:
    """Of all modules and variables, by identity; the first name of those that have several."""
    names: dict[int, str] = {}
    for prefix, root in roots.items():
        if not isinstance(root, Module):
            continue
        for path, module in root.named_modules(prefix):
            names.setdefault(id(module), path)
            for name, value in vars(module).items():
                if isinstance(value, Variable):
                    names.setdefault(id(value), f"{path}.{name}" if path else name)
    return names


class CompiledProgram:
    """A model compiled for inference on inputs of one shape. Made by `convcore.compile`.

    It stays bound to the model's parameters: training the model changes what the program computes. Layers added,
    removed or set differently afterwards are not seen.
    """

    def __init__(self, model: Module, specs: Sequence[Spec], keep_weights: bool = True) -> None:
        names = ["x"] if len(specs) == 1 else [f"x{i}" for i in range(len(specs))]
        traced = trace({"": model}, model, list(zip(names, specs, strict=True)))
        traced.bind()
        self._program = traced.program
        self._run = traced.program.run
        self._single = traced.single
        self._variables = [*traced.parameters, *traced.buffers]
        self._seen = -1
        self._version = 0
        if not keep_weights:
            self._refresh()
            self._program.pack(lambda i: traced.parameters[i].release(), self._version)

    def __call__(self, *inputs: ArrayLike) -> Any:
        """Arrays of the compiled shapes in; the model's output array (or tuple of arrays) out."""
        if clock.now != self._seen:
            self._refresh()
        outputs = self._run(inputs, self._version)
        return outputs[0] if self._single else tuple(outputs)

    def _refresh(self) -> None:
        """Some parameter of the process changed: perhaps one of these."""
        now = clock.now
        self._version = max((variable.version for variable in self._variables), default=0)
        self._seen = now

    @property
    def memory(self) -> dict[str, int]:
        """Bytes: parameters, buffers, gradients, packed, activations, workspace, arena, total."""
        return self._program.memory()

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The model's ops in order: name, kind, algorithm, output shape, parameters, flops. Algorithm "fused": a
        convolution or linear layer before it does this one's work."""
        return self._program.steps()

    def profile(self, *inputs: ArrayLike, rounds: int = 10) -> Profile:
        """Runs some rounds on inputs as for a call, and times each step: median seconds, GFLOP/s, % of this machine's
        peak, bytes, algorithm. Raises as a call does, and ValueError for less than one round."""
        from .profile import Profile

        if integer("profile", "rounds", rounds) < 1:
            raise ValueError(f"profile: rounds must be at least 1, got {rounds}")
        self(*inputs)
        return Profile([self._program.profile(inputs) for _ in range(rounds)])


class CompiledBatches:
    """One `CompiledProgram` per batch size, in `programs`; the input's batch chooses. `memory` and `steps` are by batch
    size too."""

    def __init__(self, programs: Mapping[int, CompiledProgram]) -> None:
        self.programs = dict(programs)

    def __call__(self, *inputs: ArrayLike) -> Any:
        return self._program(inputs)(*inputs)

    @property
    def memory(self) -> dict[int, dict[str, int]]:
        return {batch: program.memory for batch, program in self.programs.items()}

    @property
    def steps(self) -> dict[int, list[dict[str, Any]]]:
        return {batch: program.steps for batch, program in self.programs.items()}

    def profile(self, *inputs: ArrayLike, rounds: int = 10) -> Profile:
        """Of the program of the inputs' batch size."""
        return self._program(inputs).profile(*inputs, rounds=rounds)

    def _program(self, inputs: tuple[ArrayLike, ...]) -> CompiledProgram:
        batch = np.shape(inputs[0])[:1] if inputs else ()
        program = self.programs.get(batch[0]) if batch else None
        if program is None:
            shape = np.shape(inputs[0]) if inputs else "nothing"
            raise ValueError(f"program: compiled for batches of {', '.join(map(str, self.programs))}, got {shape}")
        return program


def compile(
    model: Module,
    shape: Sequence[Any],
    *,
    dtype: DTypeLike | Sequence[DTypeLike] = "float32",
    keep_weights: bool = True,
) -> CompiledProgram | CompiledBatches:
    """Compiles a model for inference: shapes checked, batch norms and ReLUs fused into the convolutions and linear
    layers before them, algorithms chosen, memory laid out once.

    shape: of the input, batch included: (1, 3, 224, 224). ((1, 32), 3, 224, 224) compiles for batches of 1 and of 32.
    A list of shapes is for models of several inputs.
    dtype: "float32" or "uint8" (images that a Normalize layer takes as they are), or one for each input; NumPy's types
    will do.
    keep_weights: False gives the memory of the model's weights back where the program holds them packed, one by one
    while it packs them. The model itself can then no longer be run, trained or saved. For one batch size only.
    Raises ShapeError naming the layer that does not fit.
    """
    if not isinstance(model, Module):
        raise TypeError(f"compile: model must be a Module, got {type(model).__name__}")
    if not isinstance(shape, Sequence) or isinstance(shape, str) or not shape:
        raise TypeError(f"compile: shape must be a tuple such as (1, 3, 224, 224), got {shape!r}")
    shapes = list(shape) if all(isinstance(s, Sequence) for s in shape) else [shape]
    if any(len(s) == 0 for s in shapes):
        raise ValueError(f"compile: shape must be of one dimension or more, got {shape!r}")
    given = dtype if isinstance(dtype, (tuple, list)) else [dtype] * len(shapes)
    dtypes = [dtype_name("compile", d) for d in given]
    if len(dtypes) != len(shapes):
        raise ValueError(f"compile: dtype must be given once or for each of {len(shapes)} inputs, got {dtype!r}")
    batches = [s[0] for s in shapes if isinstance(s[0], Sequence)]
    if any(len(b) == 0 for b in batches):
        raise ValueError(f"compile: shape must hold at least one batch size, got {shape!r}")
    if not batches:
        return CompiledProgram(model, [_spec(s, d) for s, d in zip(shapes, dtypes, strict=True)], keep_weights)
    if not keep_weights:
        raise ValueError(f"compile: keep_weights=False is for one batch size, got {shape!r}")
    if len(batches) != len(shapes) or any(tuple(b) != tuple(batches[0]) for b in batches):
        raise ValueError(f"compile: every input must have the same batch sizes, got {shape!r}")
    return CompiledBatches(
        {
            n: CompiledProgram(model, [_spec((n, *s[1:]), d) for s, d in zip(shapes, dtypes, strict=True)])
            for n in batches[0]
        }
    )


def dtype_name(op: str, value: Any) -> str:
    """The name of a type, given as NumPy's dtype(value) takes it (but for its None)."""
    try:
        name = "" if value is None else str(np.dtype(value))
    except TypeError:
        name = ""
    if name not in ("float32", "uint8"):
        raise ValueError(f'{op}: dtype must be "float32" or "uint8", got {value!r}')
    return name


def _spec(shape: Sequence[Any], dtype: str) -> Spec:
    if any(isinstance(d, bool) or not isinstance(d, (int, np.integer)) for d in shape):
        raise TypeError(f"compile: shape must hold ints, got {tuple(shape)!r}")
    return tuple(int(d) for d in shape), dtype


def spec_of(array: Array) -> Spec:
    """Bytes stay bytes; all else becomes float32 in the core."""
    return array.shape, "uint8" if array.dtype.num == _UINT8 else "float32"


class ProgramCache:
    """A model's inference programs by input shape: what `model(x)` runs. Safe to call from several threads."""

    def __init__(self, model: Module) -> None:
        self._model = model
        self._programs: OrderedDict[Any, CompiledProgram] = OrderedDict()
        self._lock = new_lock()
        self._seen = latest_edit()
        self._edit = newest_edit(model)
        _caches.add(self)

    def __call__(self, inputs: tuple[Any, ...]) -> Any:
        if not inputs:
            raise TypeError(f"{type(self._model).__name__}: expected an array, got nothing")
        arrays = [x if type(x) is np.ndarray else np.asarray(x) for x in inputs]
        return self._program(arrays)(*arrays)

    def _program(self, arrays: list[Array]) -> CompiledProgram:
        # Programs are planned for a number of threads.
        key = (get_num_threads(), get_winograd(), *[(x.shape, x.dtype.num == _UINT8) for x in arrays])
        with self._lock:
            if self._seen != latest_edit():
                self._forget_if_edited()
            program = self._programs.get(key)
            if program is not None:
                self._programs.move_to_end(key)
                return program
            program = CompiledProgram(self._model, self._specs(arrays))
            self._seen, self._edit = latest_edit(), newest_edit(self._model)  # forward may set attributes
            self._programs[key] = program
            if len(self._programs) > _KEPT:
                self._programs.popitem(last=False)
            return program

    def _specs(self, arrays: list[Array]) -> list[Spec]:
        return [spec_of(x) for x in arrays]

    def _forget_if_edited(self) -> None:
        """Some module of the process was edited: perhaps one of these."""
        self._seen = latest_edit()
        edit = newest_edit(self._model)
        if edit != self._edit:
            self._edit = edit
            self._programs.clear()

    def forget(self) -> None:
        """Programs are compiled anew when they are next asked for."""
        self._programs.clear()


_caches: WeakSet[ProgramCache] = WeakSet()


def _forget_all() -> None:
    """In a forked child: one of the parent's threads may have been running any of these programs."""
    for cache in _caches:
        cache.forget()


os.register_at_fork(after_in_child=_forget_all)
