"""Reads the pickle in PyTorch's files without running it: a machine that knows a few instructions and no code.

pickletools takes the bytes apart; of the instructions, those that make plain values and containers are followed. A name
of a class is a name: calls are known of OrderedDict and of PyTorch's functions that put a tensor together, and give
descriptions. Everything else is refused, by its name.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "bf16", "LongStorage": "i8",
    "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip


@dataclass(frozen=True)
class Global:
    """A name that the file uses; nothing is imported."""

    name: str


@dataclass(frozen=True)
class Storage:
    key: str
    code: str  # of NumPy's types, or bf16
    count: int


@dataclass(frozen=True)
class Tensor:
    storage: Storage
    offset: Any
    shape: tuple[Any, ...]
    strides: tuple[Any, ...]


class _Mark:
    pass


def read_pickle(data: bytes) -> Any:
    """The value that the pickle describes: tensors as `Tensor`, dicts, lists, tuples and plain values as they are.

    Raises ValueError, or another exception of Python's where the pickle is unsound, and never more.
    """
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "STOP":
            (value,) = machine.stack
            return value
        machine.follow(opcode.name, argument)
    raise ValueError("the pickle has no end")


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def follow(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _TUPLES:
            count = _TUPLES[name]
            self._require(count)
            self.stack[len(self.stack) - count :] = [tuple(self.stack[len(self.stack) - count :])]
        elif name not in _IGNORED:
            step = _STEPS.get(name)
            if step is None:
                raise ValueError(f"the pickle does what weights need not: {name}")
            step(self, argument)

    def _require(self, count: int) -> None:
        if len(self.stack) < count or any(type(v) is _Mark for v in self.stack[len(self.stack) - count :]):
            raise ValueError("the pickle takes what it has not put down")

    def pop(self) -> Any:
        self._require(1)
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        for i in range(len(self.stack) - 1, -1, -1):
            if type(self.stack[i]) is _Mark:
                items = self.stack[i + 1 :]
                del self.stack[i:]
                return items
        raise ValueError("the pickle takes what it has not put down")

    def top(self, kind: type) -> Any:
        self._require(1)
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"the pickle adds to what is no {kind.__name__}")
        return self.stack[-1]

    def put(self, key: int) -> None:
        self._require(1)
        self._memo[key] = self.stack[-1]

    def memoize(self, _: Any) -> None:
        self.put(len(self._memo))

    def get(self, key: int) -> None:
        if key not in self._memo:
            raise ValueError("the pickle takes what it has not put down")
        self.stack.append(self._memo[key])

    def set_items(self, items: list[Any]) -> None:
        target = self.top(dict)
        if len(items) % 2:
            raise ValueError("the pickle has a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, (str, int, float, type(None))):  # whose hashes need no recursion
                raise ValueError(f"the pickle has a key that is {type(key).__name__}")
            target[key] = value

    def set_item(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def append(self, _: Any) -> None:
        value = self.pop()
        self.top(list).append(value)

    def named(self, name: str) -> None:
        self.stack.append(Global(name.replace(" ", ".")))

    def stack_named(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("the pickle names what is no name")
        self.named(f"{module}.{name}")

    def persistent(self, _: Any) -> None:
        """("storage", torch.FloatStorage, key, device, number of values)"""
        kind, storage, key, _device, count = self._tuple(self.pop())
        name = storage.name if isinstance(storage, Global) else ""
        code = _STORAGES.get(name.removeprefix("torch."))
        if kind != "storage" or code is None:
            raise ValueError(f"holds {_shown(storage)}, which is no storage of a known type")
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise ValueError("the pickle has a storage without key or size")
        self.stack.append(Storage(key, code, count))

    def call(self, _: Any) -> None:
        arguments, function = self._tuple(self.pop()), self.pop()
        name = function.name if isinstance(function, Global) else ""
        if name == "collections.OrderedDict" and not arguments:
            self.stack.append({})
        elif name == "torch._utils._rebuild_tensor_v2" and len(arguments) >= 4:
            storage, offset, shape, strides = arguments[:4]
            if not isinstance(storage, Storage):
                raise ValueError("the pickle has a tensor without a storage")
            self.stack.append(Tensor(storage, offset, self._tuple(shape), self._tuple(strides)))
        elif name == "torch._utils._rebuild_parameter" and arguments and isinstance(arguments[0], Tensor):
            self.stack.append(arguments[0])
        else:
            raise ValueError(f"holds {_shown(function)}, which is no tensor: only weights are read")

    def build(self, _: Any) -> None:
        """State of an object: an OrderedDict's attributes, which nobody needs."""
        self.pop()
        self.top(dict)

    @staticmethod
    def _tuple(value: Any) -> tuple[Any, ...]:
        if type(value) is not tuple:
            raise ValueError("the pickle gives what is no tuple")
        return value


def _shown(function: Any) -> str:
    return function.name[:80] if isinstance(function, Global) else f"a call of {type(function).__name__}"


_VALUES = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES",
    "SHORT_BINBYTES", "BINSTRING", "SHORT_BINSTRING",
}  # fmt: skip
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "EMPTY_DICT": dict, "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple, "MARK": _Mark,
}  # fmt: skip
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = {"PROTO", "FRAME"}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "TUPLE": lambda m, _: m.stack.append(tuple(m.pop_to_mark())),
    "APPENDS": lambda m, _: (lambda items: m.top(list).extend(items))(m.pop_to_mark()),
    "SETITEMS": lambda m, _: m.set_items(m.pop_to_mark()),
    "APPEND": _Machine.append,
    "SETITEM": _Machine.set_item,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": _Machine.named,
    "STACK_GLOBAL": _Machine.stack_named,
    "BINPERSID": _Machine.persistent,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
}
