"""The compiled core. Private: use `convcore`. Arrays of any strides and of float32, float64, float16 or any integer
type are accepted for activations and parameters and converted once, in C++; labels are integer arrays.

Shapes are PyTorch's. Activations come back as NCHW views of channels-last memory.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Attributes = Mapping[str, bool | int | float | str | Sequence[int] | Sequence[float]]
Array = NDArray[Any]
FloatArray = NDArray[np.float32]

__version__: str

class ShapeError(ValueError): ...

# --- ops ---------------------------------------------------------------------------------------------------------
def op_kinds() -> list[str]: ...
def is_dense(kind: str, attributes: Attributes, input: int) -> bool:
    """Whether the op reads this input in the canonical layout (a weight, labels) rather than channels-last."""

def forward(
    kind: str,
    attributes: Attributes,
    inputs: Sequence[ArrayLike | None],
    training: bool = False,
    seed: int = 0,
    stream: int = 0,
) -> list[Array]:
    """Plans and runs one op. batch_norm in training updates running_mean and running_var in place: they must be
    writable C-contiguous float32 arrays."""

def backward(
    kind: str,
    attributes: Attributes,
    inputs: Sequence[ArrayLike | None],
    grad_outputs: Sequence[ArrayLike],
    mask: Sequence[bool],
    seed: int = 0,
    stream: int = 0,
) -> list[FloatArray | None]:
    """Gradients of the inputs whose mask is True, None for absent inputs. Runs forward first, in training mode, where
    the op needs what it saves; running statistics are left alone. Labels and uint8 inputs have no gradient."""

def conv_algorithms(
    attributes: Attributes, x_shape: Sequence[int], weight_shape: Sequence[int]
) -> dict[str, list[str]]:
    """Algorithms that accept this convolution, best first, by pass: forward, backward_input, backward_weight."""

# --- graphs and programs -----------------------------------------------------------------------------------------
class Graph:
    def __init__(self, training: bool = False) -> None: ...
    def add_input(self, name: str, shape: Sequence[int], dtype: str = "float32") -> int:
        """dtype: float32, uint8 (channels-last activations) or int64 (labels, dense)."""

    def add_parameter(self, name: str, shape: Sequence[int]) -> int: ...
    def add_buffer(self, name: str, shape: Sequence[int], channels_last: bool = False) -> int:
        """channels_last: bound to channels-last memory, for ops that read it so."""

    def add_node(self, kind: str, name: str, attributes: Attributes, inputs: Sequence[int]) -> int:
        """Returns the value id of the node's first output. An absent optional input is -1."""

    def outputs_of(self, value: int) -> list[int]:
        """All outputs of the node that computes this value."""

    def set_outputs(self, values: Sequence[int]) -> None: ...
    def shape(self, value: int) -> tuple[int, ...]: ...
    def dtype(self, value: int) -> str: ...
    def parameter_names(self) -> list[str]: ...
    def buffer_names(self) -> list[str]: ...

class PlannedOp:
    """An op that remembers the plans of its last eight input shapes."""

    def __init__(self, kind: str, attributes: Attributes) -> None: ...
    def forward(
        self, inputs: Sequence[ArrayLike | None], training: bool = False, seed: int = 0, stream: int = 0
    ) -> list[Array]: ...
    def backward(
        self,
        inputs: Sequence[ArrayLike | None],
        grad_outputs: Sequence[ArrayLike],
        mask: Sequence[bool],
        seed: int = 0,
        stream: int = 0,
    ) -> list[Array | None]: ...

class Optimizer:
    """kind: sgd, adam, adamw, rmsprop, adagrad; attributes: PyTorch's names, and max_grad_norm."""

    def __init__(self, kind: str, attributes: Attributes, sizes: Sequence[int]) -> None: ...
    def slot_names(self) -> list[str]: ...
    def slot(self, name: str, parameter: int) -> FloatArray:
        """A flat, writable view."""

    step_count: int
    @property
    def last_grad_norm(self) -> float: ...

class Program:
    """Compiles a Graph (a copy: later additions to the Graph do not change it). Running releases the GIL; concurrent
    runs of one Program wait for each other."""

    def __init__(self, graph: Graph) -> None: ...
    def bind(
        self, parameters: Sequence[FloatArray], buffers: Sequence[FloatArray], gradients: FloatArray | None = None
    ) -> None:
        """C-contiguous float32 arrays in the graph's order, kept alive and written in place by training (inference
        takes read-only ones). gradients: gradient_size floats, zeroed here. Anything else is a ValueError."""

    @property
    def gradient_size(self) -> int: ...
    def gradient_offset(self, parameter: int) -> int: ...
    def pack(self, release: Callable[[int], object], version: int = 0) -> None:
        """Inference: packs all weights for good, and calls release with the place of each parameter that no run reads
        any more, as soon as that is so. Runs with another version are a ValueError from then on."""

    def run(self, inputs: Sequence[ArrayLike], version: int = 0) -> list[Array]:
        """Inputs are checked against the graph's shapes; a changed version renews packed weights."""

    def forward_backward(self, inputs: Sequence[ArrayLike], seed: int = 0, step: int = 0) -> list[Array]:
        """The graph's outputs; the first is the loss. Gradients are in the bound block."""

    def update(self, optimizer: Optimizer, lr: float) -> None: ...
    def step(
        self, inputs: Sequence[ArrayLike], optimizer: Optimizer, lr: float, seed: int = 0, step: int = 0
    ) -> list[float]:
        """forward_backward and update in one call. The graph's scalar outputs as floats; the first is the loss."""

    def profile(
        self, inputs: Sequence[ArrayLike], optimizer: Optimizer | None = None, lr: float = 0.0
    ) -> list[dict[str, Any]]:
        """One run: steps() with seconds, and threads, the most that the step ran on. In training forward and backward,
        then, if there is an optimizer, its update."""

    def steps(self) -> list[dict[str, Any]]:
        """name, kind, pass ("forward", "backward", "update"), algorithm, output (shape), parameters, flops, bytes: of
        each node in order, then, in training, of each node's backward."""

    def memory(self) -> dict[str, int]:
        """Bytes: parameters, buffers, gradients, packed, activations, workspace, arena, total."""

# --- the machine -------------------------------------------------------------------------------------------------
def set_num_threads(threads: int) -> None: ...
def get_num_threads() -> int: ...
def num_threads_reason() -> str: ...
def set_winograd(enabled: bool) -> None:
    """Whether algorithm="auto" may choose Winograd, in the whole process: for calls, and for programs compiled from now
    on. Its results differ from the exact ones by up to 2e-5 of the largest. Raises TypeError unless given a bool."""

def get_winograd() -> bool:
    """What set_winograd was given last; True at first."""

def isa() -> str: ...
def available_isas() -> list[str]: ...
def force_isa(isa: str) -> None: ...
def cpu() -> dict[str, Any]:
    """model, l1d, l2, l3 (bytes), logical, physical."""

def peak_gflops(seconds: float = 0.05) -> float:
    """Measured fused multiply-add peak of one thread, with the ISA in use."""

def allocation_count() -> int: ...
