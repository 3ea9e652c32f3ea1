# SPDX-License-Identifier: BSD-3-Clause
"""Large tensors of a file where they lie: protobuf would copy them three times.

The file is walked field by field as protobuf's encoding says (varint tags, lengths), down to the raw data of the
graph's initializers. These are left out of what protobuf then parses.
Source: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # field numbers in ModelProto, GraphProto, TensorProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types; groups are of the past
_LARGE = 4096  # bytes


def split(data: memoryview) -> tuple[bytes, dict[int, memoryview]]:
    """The file without the large raw data, and these by the initializer's number.

    Raises ValueError where the encoding is damaged.
    """
    found: dict[int, memoryview] = {}
    parts: list[bytes] = []
    numbers = count()  # protobuf joins what several fields say of the graph
    for number, whole, body in _fields(data):
        if number == _GRAPH and body is not None:
            parts.append(_message(number, _graph(body, found, numbers)))
        else:
            parts.append(bytes(whole))
    return b"".join(parts), found


def _graph(data: memoryview, found: dict[int, memoryview], numbers: Iterator[int]) -> bytes:
    parts = []
    for number, whole, body in _fields(data):
        if number != _INITIALIZER or body is None:
            parts.append(bytes(whole))
            continue
        index = next(numbers)
        parts.append(_message(number, _tensor(body, index, found)) if len(body) >= _LARGE else bytes(whole))
    return b"".join(parts)


def _tensor(data: memoryview, index: int, found: dict[int, memoryview]) -> bytes:
    parts = []
    for number, whole, body in _fields(data):
        if number == _RAW_DATA and body is not None:
            found[index] = body
        else:
            parts.append(bytes(whole))
    return b"".join(parts)


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview, memoryview | None]]:
    """Each field's number, its bytes with the tag, and its content if it is of the wire type BYTES."""
    at, end = 0, len(data)
    while at < end:
        start = at
        tag, at = _varint(data, at)
        kind, body = tag & 7, None
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind == _BYTES:
            length, at = _varint(data, at)
            if length > end - at:
                raise ValueError("a field is longer than the file")
            body = data[at : at + length]
            at += length
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of wire type {kind}")
        if at > end:
            raise ValueError("the file ends within a field")
        yield tag >> 3, data[start:at], body


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number that does not end")


def _message(number: int, content: bytes) -> bytes:
    head = bytearray()
    for value in (number << 3 | _BYTES, len(content)):
        while value > 0x7F:
            head.append(value & 0x7F | 0x80)
            value >>= 7
        head.append(value)
    return bytes(head) + content
