"""What a model is made of, and what it will need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import functional as F
from .arguments import integer
from .compiled import CompiledProgram, Spec, dtype_name, trace
from .nn.module import Module
from .symbol import Symbol
from .table import format_bytes, format_count, format_table

_PRODUCTS = ("conv2d", "conv_transpose2d", "linear")  # ops whose work is multiply-adds


@dataclass(frozen=True)
class Layer:
    """One step of the network. parameters: how many numbers; macs: multiply-adds for the whole batch."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    algorithm: str


@dataclass(frozen=True, repr=False)
class Summary:
    """Printed by `Module.summary`. inference, training: bytes by use, as `CompiledProgram.memory`; training is
    without the optimizer's state, and empty where the model cannot be trained on this batch: `note` says why."""

    inputs: tuple[tuple[int, ...], ...]
    layers: tuple[Layer, ...]
    parameters: int
    trainable: int
    macs: int
    inference: dict[str, int]
    training: dict[str, int]
    note: str = ""

    def __str__(self) -> str:
        rows = [
            [
                layer.name,
                layer.kind,
                str(layer.output),
                f"{layer.parameters:,}" if layer.parameters else "-",
                format_count(layer.macs) if layer.macs else "-",
                layer.algorithm or "-",
            ]
            for layer in self.layers
        ]
        table = format_table(["layer", "op", "output", "parameters", "MACs", "algorithm"], rows, left=2)
        return "\n".join(
            [
                f"input {', '.join(map(str, self.inputs))}",
                table,
                f"parameters: {self.parameters:,} ({self.trainable:,} trained)",
                f"multiply-adds: {format_count(self.macs)}",
                f"memory, inference: {_memory(self.inference)}",
                f"memory, training: {self.note or _memory(self.training) + ', and the state of the optimizer'}",
            ]
        )

    def __repr__(self) -> str:
        return f"<Summary: {len(self.layers)} layers, {self.parameters:,} parameters>"


def summarize(model: Module, *input_shapes: Sequence[int], batch_size: int = 1, dtype: str = "float32") -> Summary:
    """As `Module.summary`, without printing."""
    if not input_shapes:
        raise TypeError("summary: give the input's shape without the batch, such as (1, 28, 28)")
    if not all(isinstance(shape, Sequence) and not isinstance(shape, str) for shape in input_shapes):
        shown = ", ".join(map(repr, input_shapes))
        raise TypeError(f"summary: input_shapes must be tuples such as (1, 28, 28), got {shown}")
    batch_size = integer("summary", "batch_size", batch_size)
    dtype = dtype_name("summary", dtype)
    specs: list[Spec] = [((batch_size, *shape), dtype) for shape in input_shapes]
    program = CompiledProgram(model, specs)
    layers = tuple(
        Layer(
            s["name"],
            s["kind"],
            tuple(s["output"]),
            s["parameters"],
            s["flops"] // 2 if s["kind"] in _PRODUCTS else 0,
            s["algorithm"],
        )
        for s in program.steps
    )
    parameters = list(model.parameters())
    training, note = _training_memory(model, specs)
    return Summary(
        inputs=tuple(shape for shape, _ in specs),
        layers=layers,
        parameters=sum(p.size for p in parameters),
        trainable=sum(p.size for p in parameters if p.requires_grad),
        macs=sum(layer.macs for layer in layers),
        inference=program.memory,
        training=training,
        note=note,
    )


def _training_memory(model: Module, specs: list[Spec]) -> tuple[dict[str, int], str]:
    """Under a loss that fits any output (a classifier's own differs by its labels' bytes); or why there is none."""

    def forward(*inputs: Symbol) -> Any:
        output = model(*inputs)
        first = output if isinstance(output, Symbol) else output[0]
        return F.mse_loss(first, first.tracer.input("y", first.shape, "float32"))

    if not any(p.requires_grad for p in model.parameters()):
        return {}, "nothing to train"
    names = ["x"] if len(specs) == 1 else [f"x{i}" for i in range(len(specs))]
    try:
        traced = trace({"": model}, forward, list(zip(names, specs, strict=True)), training=True)
    except ValueError as error:  # batch norm on a single value, say
        return {}, str(error)
    return traced.program.memory(), ""


def _memory(memory: dict[str, int]) -> str:
    parts = [f"{name} {format_bytes(memory[name])}" for name in ("parameters", "gradients", "arena") if memory[name]]
    return f"{format_bytes(memory['total'])} ({', '.join(parts)})"
