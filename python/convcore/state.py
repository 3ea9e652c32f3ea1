"""Weights from elsewhere: safetensors, NumPy archives, and PyTorch's zip files.

Nothing in a file is believed or run. Sizes and places are checked against the file's own length before memory is taken;
PyTorch's pickle is read, not run, by `unpickle.py`, which knows tensors and plain containers alone.
"""

from __future__ import annotations

import math
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .unpickle import Storage, Tensor, read_pickle

Array = NDArray[Any]

# Names of types, as safetensors and PyTorch's storages have them. bfloat16 is the upper half of a float32.
_SAFETENSORS = {
    "F64": "f8", "F32": "f4", "F16": "f2", "BF16": "bf16", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
_NESTED = ("state_dict", "model_state_dict", "model")  # where checkpoints keep the weights
_INFLATION = 1032  # what deflate makes of a byte at most
_DAMAGE = (
    AttributeError, ArithmeticError, EOFError, LookupError, MemoryError, NotImplementedError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, Warning, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def load_state(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Arrays by name, of a safetensors file, an .npz archive, or a zip file of torch.save, for `load_state_dict`.

    What the file is, it tells by its content. Types are kept, but for bfloat16, which becomes float32. A checkpoint
    that holds its weights under "state_dict", "model_state_dict" or "model" gives those. No code in a file is run:
    PyTorch's may hold tensors, parameters and plain containers, numbers and strings, and are refused by name otherwise.
    Raises FileNotFoundError, or ValueError for files that are damaged, of another kind, or hold other things.
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"load_state: there is no file {file}")
    if not file.is_file():
        raise ValueError(f"load_state: {file} is not a file")
    try:
        with file.open("rb") as stream:
            start = stream.read(9)
            stream.seek(0)
            if start[:2] == b"PK":
                return _read_zip(stream, file.stat().st_size)
            if start[:1] == b"\x80":
                raise ValueError("a pickle, or an old file of torch.save; PyTorch 1.6 and later save zip archives")
            if start[8:] != b"{":
                raise ValueError("neither a safetensors file nor a zip archive")
            return _read_safetensors(stream.read())
    except _DAMAGE as error:
        raise ValueError(f"load_state: {file}: {str(error) or type(error).__name__}") from None


def _array(data: bytes | bytearray, code: str, big: bool = False) -> Array:
    """A flat, writable array of the bytes."""
    if not data:
        return np.zeros(0, np.float32 if code == "bf16" else code)
    if code == "bf16":
        halves = np.frombuffer(data, ">u2" if big else "<u2")
        return (halves.astype(np.uint32) << 16).view(np.float32)
    dtype = np.dtype(code).newbyteorder(">" if big else "<")
    if code == "?" and data.strip(b"\0\1"):
        raise ValueError("bools must be 0 or 1")
    return np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))


def _size_of(code: str) -> int:
    return 2 if code == "bf16" else np.dtype(code).itemsize


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, (list, tuple)) and len(shape) <= 32 and all(type(n) is int and n >= 0 for n in shape)


# --- safetensors ----------------------------------------------------------------------------------------------------


def _read_safetensors(data: bytes) -> dict[str, Array]:
    from safetensors import SafetensorError, deserialize

    try:
        tensors = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise ValueError(f"not a sound safetensors file: {error}") from None
    arrays = {}
    for name, tensor in tensors:
        code = _SAFETENSORS.get(tensor["dtype"])
        if code is None:
            raise ValueError(f"tensor {name!r} has the unknown type {tensor['dtype']!r}")
        arrays[name] = _array(tensor["data"], code).reshape(tensor["shape"])
    return arrays


# --- zip archives -----------------------------------------------------------------------------------------------------


def _read_zip(stream: IO[bytes], size: int) -> dict[str, Array]:
    with zipfile.ZipFile(stream) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if len(members) != len(archive.infolist()):
            raise ValueError("two members of the archive have one name")
        if sum(info.compress_size for info in members.values()) > size:
            raise ValueError("the archive's members are larger than the file")
        for info in members.values():
            stored = info.compress_type == zipfile.ZIP_STORED
            if not stored and info.compress_type != zipfile.ZIP_DEFLATED:
                raise ValueError(f"member {info.filename!r} is compressed in an unknown way")
            if info.file_size > info.compress_size * (1 if stored else _INFLATION):
                raise ValueError(f"member {info.filename!r} says it is larger than it can be")
        pickles = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
        if pickles:
            return _TorchFile(archive, pickles[0]).arrays()
        arrays = {name: _read_npy(archive, info) for name, info in members.items() if name.endswith(".npy")}
        if not arrays:
            raise ValueError("the archive holds neither data.pkl, as PyTorch's, nor .npy files, as NumPy's")
        return {name.removesuffix(".npy"): array for name, array in arrays.items()}


def _read_npy(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{info.filename}: unknown version {version}")
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(stream)
        if dtype.kind not in "biuf" or not _is_shape(shape):
            raise ValueError(f"{info.filename}: arrays must be of numbers, got {str(dtype)[:40]!r}")
        data = stream.read()
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{info.filename}: {len(data)} bytes are not the array {shape} of {dtype}")
    array = _array(data, dtype.str[1:] if dtype.kind != "b" else "?", dtype.str[0] == ">")
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


class _TorchFile:
    """`<name>/data.pkl` describes the tensors, `<name>/data/<key>` hold the values. torch.save compresses nothing."""

    def __init__(self, archive: zipfile.ZipFile, pickle: str) -> None:
        self._archive = archive
        self._folder = pickle.removesuffix("data.pkl")
        order = self._read("byteorder") if f"{self._folder}byteorder" in archive.namelist() else b"little"
        self._big = order == b"big"
        self._storages: dict[tuple[str, str], Array] = {}
        self._root = read_pickle(self._read("data.pkl"))

    def arrays(self) -> dict[str, Array]:
        state = _weights(self._root)
        return {name: self._tensor(name, tensor) for name, tensor in state.items()}

    def _read(self, name: str) -> bytes:
        info = self._archive.getinfo(self._folder + name)
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"member {info.filename!r} is compressed")
        return self._archive.read(info)

    def _storage(self, storage: Storage) -> Array:
        key = (storage.key, storage.code)
        if key not in self._storages:
            if any(storage.key == known for known, _ in self._storages):
                raise ValueError(f"storage {storage.key!r} has two types")
            data = self._read(f"data/{storage.key}")
            if len(data) != storage.count * _size_of(storage.code):
                raise ValueError(f"storage {storage.key!r} says {storage.count} values, but holds {len(data)} bytes")
            self._storages[key] = _array(data, storage.code, self._big)
        return self._storages[key]

    def _tensor(self, name: str, tensor: Tensor) -> Array:
        """A view of its storage."""
        values = self._storage(tensor.storage)
        shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
        sound = _is_shape(shape) and _is_shape(strides) and _is_shape([offset]) and len(shape) == len(strides)
        count, last = 0, 0
        if sound:
            count = math.prod(shape)
            last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) if count else 0
        if not sound or count > values.size or last >= max(values.size, 1):
            raise ValueError(f"tensor {name!r} does not lie within its storage of {values.size} values")
        if count == 0:
            return np.zeros(shape, values.dtype)
        bytes_ = [stride * values.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(values[offset:], shape, bytes_)


def _weights(root: Any, depth: int = 0) -> Mapping[str, Tensor]:
    """The dict of tensors in a checkpoint."""
    if isinstance(root, Mapping) and any(isinstance(value, Tensor) for value in root.values()):
        for name, value in root.items():
            if not isinstance(name, str) or not isinstance(value, Tensor):
                raise ValueError(f"beside tensors there is {str(name)[:60]!r}, which is {type(value).__name__}")
        return root
    if isinstance(root, Mapping) and depth < 4:
        for key in _NESTED:
            if isinstance(root.get(key), Mapping):
                return _weights(root[key], depth + 1)
        if not root:
            return {}
    raise ValueError(f"holds no dict of tensors, as Module.state_dict gives it, by itself or as {', '.join(_NESTED)}")
