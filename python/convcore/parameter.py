"""Trained and kept arrays: what layers hold and programs are bound to.

A parameter's memory never moves, so that compiled programs can hold on to it. Its version tells them when to renew
what they derived from it (packed weights).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .locks import new_lock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, DTypeLike

_lock = new_lock()


class Clock:
    """Counts the changes to all parameters of the process: an unchanged clock means unchanged parameters."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0

    def stamp(self, variables: Iterable[Variable]) -> None:
        """Gives the variables, just changed, one new version."""
        with _lock:
            version = self.now + 1
            for variable in variables:
                variable.version = version
            self.now = version


clock = Clock()


class Edits:
    """Counts the changes to the modules of the process that a compiled program does not follow: to layers, to their
    settings, to which parameters are trained."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0

    def next(self) -> int:
        with _lock:
            self.now += 1
            return self.now


edits = Edits()


class Variable:
    """A float32 C-contiguous array with a version. Base of `Parameter` and `Buffer`."""

    __slots__ = ("__weakref__", "_array", "_released", "version")

    def __init__(self, data: ArrayLike) -> None:
        self._array: NDArray[np.float32] = np.array(data, dtype=np.float32, order="C")
        self._released = False
        self.version = 0
        clock.stamp((self,))

    @property
    def data(self) -> NDArray[np.float32]:
        """A read-only view. Assigning copies the values (of the same shape) into the memory in place."""
        view = self.memory.view()
        view.flags.writeable = False
        return view

    @data.setter
    def data(self, values: ArrayLike) -> None:
        array = np.asarray(values)
        if array.shape != self._array.shape:
            raise ValueError(f"{type(self).__name__.lower()}: data must have shape {self.shape}, got {array.shape}")
        self.memory[...] = array
        clock.stamp((self,))

    @property
    def memory(self) -> NDArray[np.float32]:
        """The writable memory, for programs; whoever writes calls `clock.stamp`. Raises ValueError once released."""
        if self._released:
            raise ValueError(f"{self!r}: its values are gone; its model was compiled with keep_weights=False")
        return self._array

    def release(self) -> None:
        """Lets go of the memory. The shape is kept; asking for values is a ValueError."""
        self._array = np.broadcast_to(np.float32(0), self.shape)
        self._released = True

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def size(self) -> int:
        return self._array.size

    @property
    def dtype(self) -> np.dtype[np.float32]:
        return self._array.dtype

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy:
            return np.array(self.data, dtype=dtype)
        return np.asarray(self.data, dtype=dtype)

    def __len__(self) -> int:
        return len(self._array)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.memory,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape})"


class Parameter(Variable):
    """An array that training changes.

    requires_grad: False freezes it: training programs treat it as a constant. To be set before a Trainer's first step.
    """

    __slots__ = ("_requires_grad", "edit")

    def __init__(self, data: ArrayLike, requires_grad: bool = True) -> None:
        super().__init__(data)
        self._requires_grad = bool(requires_grad)
        self.edit = 0

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if bool(value) != self._requires_grad:
            self._requires_grad = bool(value)
            self.edit = edits.next()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.memory, self.requires_grad)


class Buffer(Variable):
    """An array that is saved with the model but has no gradient: running statistics, class weights."""

    __slots__ = ()


class Constant(Variable):
    """An array of a model's code, in channels-last memory: an operand like any activation."""

    __slots__ = ()

    def __init__(self, data: NDArray[Any]) -> None:
        super().__init__(data)
        if data.ndim in (3, 4):
            self._array = np.moveaxis(np.ascontiguousarray(np.moveaxis(self._array, 1, -1)), -1, 1)
