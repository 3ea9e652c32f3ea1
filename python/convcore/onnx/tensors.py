# SPDX-License-Identifier: BSD-3-Clause
"""Tensors of a file as arrays: nothing in a file is believed before it was held against the bytes that are there."""

from __future__ import annotations

import os
import stat
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

MAX_BYTES = 1 << 34  # of one tensor

_RAW: dict[int, Any] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.FLOAT16: np.float16,
    TensorProto.INT64: np.int64,
    TensorProto.INT32: np.int32,
    TensorProto.INT16: np.int16,
    TensorProto.INT8: np.int8,
    TensorProto.UINT8: np.uint8,
    TensorProto.UINT16: np.uint16,
    TensorProto.UINT32: np.uint32,
    TensorProto.UINT64: np.uint64,
    TensorProto.BOOL: np.bool_,
}


def to_array(tensor: TensorProto, folder: str | None, raw: memoryview | None = None) -> NDArray[Any]:
    """The tensor's values. folder: where external data may lie, None: nowhere. raw: its data, where it holds none.

    Raises ValueError for a tensor whose shape, data and type do not belong together, and for external data that is
    not a plain file within the folder.
    """
    who = f"onnx: tensor {tensor.name!r}"
    dims = tuple(tensor.dims)
    count = 1
    for d in dims:
        count *= d
        if d < 0 or count > MAX_BYTES:
            raise ValueError(f"{who}: bad shape {dims[:8]}")
    if tensor.HasField("segment"):
        raise ValueError(f"{who}: segments are not supported")
    external = tensor.data_location == TensorProto.EXTERNAL
    if raw is not None:
        tensor = _with_data(tensor, raw) if tensor.data_type not in _RAW or external else tensor
    dtype = _RAW.get(tensor.data_type)
    if dtype is None:
        if external:
            raise ValueError(f"{who}: external data of type {tensor.data_type} is not supported")
        return _other(tensor, who)
    if not external and raw is None and not tensor.HasField("raw_data"):
        _check_length(tensor, count, who)
        return _other(tensor, who)
    kind = np.dtype(dtype).newbyteorder("<")
    if external:
        data: bytes | memoryview = _external(tensor, folder, count * kind.itemsize, who)
    else:
        data = tensor.raw_data if raw is None else raw
    if len(data) != count * kind.itemsize:
        raise ValueError(f"{who}: shape {dims} needs {count * kind.itemsize} bytes, the file gives {len(data)}")
    array = np.frombuffer(data, kind).reshape(dims)
    if kind.kind == "b":
        array = np.frombuffer(data, np.uint8).reshape(dims) != 0
    return array.astype(dtype, copy=False)


def _with_data(tensor: TensorProto, raw: memoryview) -> TensorProto:
    whole = TensorProto()
    whole.CopyFrom(tensor)
    whole.raw_data = bytes(raw)
    return whole


def _check_length(tensor: TensorProto, count: int, who: str) -> None:
    fields = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
    given = sum(len(getattr(tensor, field)) for field in fields)
    if given != count:
        raise ValueError(f"{who}: shape {tuple(tensor.dims)} needs {count} numbers, the file gives {given}")


def _other(tensor: TensorProto, who: str) -> NDArray[Any]:
    """By ONNX's own reader: small tensors in typed fields, and rare types."""
    try:
        with np.errstate(all="ignore"):
            array = onnx.numpy_helper.to_array(tensor)
    except Exception as error:  # whatever it makes of a damaged tensor
        raise ValueError(f"{who}: cannot be read: {error}") from None
    if array.shape != tuple(tensor.dims):
        raise ValueError(f"{who}: shape {tuple(tensor.dims)}, but the file gives {array.shape}")
    return array


def _external(tensor: TensorProto, folder: str | None, size: int, who: str) -> bytes:
    """Bytes of a file next to the model's. It must be a plain file, no link, below the folder."""
    entries = {e.key: e.value for e in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise ValueError(f"{who}: has external data {location!r}; load the model by its path")
    parts = location.replace("\\", "/").split("/")
    if not location or "\0" in location or os.path.isabs(location) or ".." in parts or ":" in location:
        raise ValueError(f"{who}: external data {location!r} must lie in the model's folder")
    path = folder
    for part in parts:
        path = os.path.join(path, part)
        try:
            mode = os.lstat(path).st_mode
        except (OSError, ValueError):
            raise ValueError(f"{who}: there is no external data {location!r}") from None
        if stat.S_ISLNK(mode):
            raise ValueError(f"{who}: external data {location!r} must not be a link")
    if not stat.S_ISREG(mode):
        raise ValueError(f"{who}: external data {location!r} must be a plain file")
    try:
        offset, length = int(entries.get("offset", "0")), int(entries.get("length", size))
    except ValueError:
        raise ValueError(f"{who}: external data {location!r}: offset and length must be numbers") from None
    total = os.path.getsize(path)
    if length != size or offset < 0 or offset + length > total:
        raise ValueError(
            f"{who}: shape {tuple(tensor.dims)} needs {size} bytes, external data {location!r} of {total} bytes gives "
            f"{length} at {offset}"
        )
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        file.seek(offset)
        return file.read(length)
