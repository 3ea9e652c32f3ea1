"""Weights from elsewhere: what others wrote is read, and what no one should have written is refused."""

import collections
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import convcore as cc
from convcore import nn
from convcore.unpickle import read_pickle

RNG = np.random.default_rng(0)
ARRAYS: dict[str, np.ndarray] = {
    "conv.weight": RNG.standard_normal((4, 3, 3, 3)).astype(np.float32),
    "conv.bias": np.zeros(4, np.float32),
    "double": RNG.standard_normal((2, 3)),
    "half": RNG.standard_normal(5).astype(np.float16),
    "count": np.array(7, np.int64),
    "bytes": np.arange(6, dtype=np.uint8).reshape(2, 3),
    "flags": np.array([True, False]),
    "none": np.zeros((0, 3), np.float32),
}


def read(data: bytes, path: Path) -> dict[str, np.ndarray]:
    path.write_bytes(data)
    return cc.load_state(path)


def expect(state: dict[str, np.ndarray], arrays: dict[str, np.ndarray]) -> None:
    assert list(state) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(state[name], array, name)
        assert state[name].dtype == array.dtype, name


# --- files, made by hand ---------------------------------------------------------------------------------------------


class _Named:
    """Pickled as a call of this name, with these arguments."""

    def __init__(self, name: str, arguments: Any = None) -> None:
        self.name, self.arguments = name, arguments


def _pickled(value: Any, out: bytearray) -> None:
    """Protocol 2, as torch.save writes it, for the few things a state holds."""
    if isinstance(value, _Named):
        module, _, name = value.name.rpartition(".")
        out += f"c{module}\n{name}\n".encode()
        if value.arguments is not None:
            _pickled(value.arguments, out)
            out += b"R"
    elif isinstance(value, pickle.PicklingError):  # stands for a persistent id
        _pickled(value.args, out)
        out += b"Q"
    elif isinstance(value, dict):
        out += b"}("
        for key, item in value.items():
            _pickled(key, out)
            _pickled(item, out)
        out += b"u"
    elif isinstance(value, tuple):
        out += b"("
        for item in value:
            _pickled(item, out)
        out += b"t"
    elif value is None or isinstance(value, bool):
        out += {None: b"N", True: b"\x88", False: b"\x89"}[value]
    elif isinstance(value, int):
        out += b"\x8a\x08" + value.to_bytes(8, "little", signed=True)
    else:
        text = str(value).encode()
        out += b"X" + struct.pack("<I", len(text)) + text


_TYPES = {"f8": "Double", "f4": "Float", "f2": "Half", "i8": "Long", "i4": "Int", "u1": "Byte", "b1": "Bool"}


def tensor(key: str, count: int, shape: Any, strides: Any, offset: Any = 0, kind: str = "Float") -> Any:
    storage = pickle.PicklingError("storage", _Named(f"torch.{kind}Storage"), key, "cpu", count)
    hooks = _Named("collections.OrderedDict", ())
    return _Named("torch._utils._rebuild_tensor_v2", (storage, offset, shape, strides, False, hooks))


def torch_file(root: Any, storages: dict[str, bytes], compressed: bool = False, order: str = "little") -> bytes:
    body = bytearray(b"\x80\x02")
    _pickled(root, body)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        archive.writestr("name/data.pkl", bytes(body) + b".")
        archive.writestr("name/byteorder", order)
        for key, data in storages.items():
            archive.writestr(f"name/data/{key}", data)
    return file.getvalue()


def torch_state(arrays: dict[str, np.ndarray]) -> bytes:
    root, storages = {}, {}
    for i, (name, array) in enumerate(arrays.items()):
        strides = tuple(s // array.itemsize for s in array.strides)
        kind = _TYPES[array.dtype.str[1:]]
        root[name] = tensor(str(i), array.size, array.shape, strides, kind=kind)
        storages[str(i)] = array.tobytes()
    return torch_file(root, storages)


def safetensors(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def npz(arrays: dict[str, np.ndarray], write: Callable[..., None] = np.savez) -> bytes:
    file = io.BytesIO()
    write(file, **arrays)
    return file.getvalue()


def stored(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def npy(header: str, data: bytes = b"", version: int = 1) -> bytes:
    text = header.encode("latin1")
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


# --- what is read ----------------------------------------------------------------------------------------------------


def test_safetensors(tmp_path: Path) -> None:
    from safetensors.numpy import save

    expect({k: v for k, v in sorted(read(save(ARRAYS), tmp_path / "s").items())}, dict(sorted(ARRAYS.items())))
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    model.save(tmp_path / "model")
    expect(dict(sorted(cc.load_state(tmp_path / "model").items())), dict(sorted(model.state_dict().items())))


def test_npz(tmp_path: Path) -> None:
    big = {**ARRAYS, "fortran": np.asfortranarray(ARRAYS["double"]), "big": ARRAYS["double"].astype(">f8")}
    for write in (np.savez, np.savez_compressed):
        expect(read(npz(big, write), tmp_path / "x.npz"), {**big, "big": ARRAYS["double"]})


def test_torch(tmp_path: Path) -> None:
    expect(read(torch_state(ARRAYS), tmp_path / "x.pth"), ARRAYS)
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    model.load_state_dict({f"0.{k[5:]}": v for k, v in cc.load_state(tmp_path / "x.pth").items() if k[:4] == "conv"})
    np.testing.assert_array_equal(model.state_dict()["0.weight"], ARRAYS["conv.weight"])


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5, 3.140625, np.inf, 1e-38], np.float32)
    halves = (values.view(np.uint32) >> 16).astype(np.uint16)
    rounded = (halves.astype(np.uint32) << 16).view(np.float32)
    header = {"x": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}}
    expect(read(safetensors(header, halves.tobytes()), tmp_path / "s"), {"x": rounded})
    file = torch_file({"x": tensor("0", 5, (5,), (1,), kind="BFloat16")}, {"0": halves.tobytes()})
    expect(read(file, tmp_path / "t"), {"x": rounded})


def test_views_of_a_storage(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32)
    root = {
        "all": tensor("0", 12, (3, 4), (4, 1)),
        "turned": tensor("0", 12, (4, 3), (1, 4)),
        "part": tensor("0", 12, (2, 2), (4, 1), 5),
        "same": tensor("0", 12, (3, 2), (0, 1), 10),
        "number": tensor("0", 12, (), (), 11),
    }
    x = values.reshape(3, 4)
    arrays = {"all": x, "turned": x.T, "part": x[1:, 1:3], "same": np.array([[10, 11]] * 3, np.float32)}
    expect(read(torch_file(root, {"0": values.tobytes()}), tmp_path / "x"), {**arrays, "number": x[2, 3]})
    swapped = torch_file({"all": root["all"]}, {"0": values.byteswap().tobytes()}, order="big")
    expect(read(swapped, tmp_path / "x"), {"all": x})


@pytest.mark.parametrize("keys", [("state_dict",), ("model",), ("model_state_dict",), ("model", "state_dict")])
def test_checkpoints(keys: tuple[str, ...], tmp_path: Path) -> None:
    root: Any = {"x": _Named("torch._utils._rebuild_parameter", (tensor("0", 2, (2,), (1,)), True, None))}
    for key in keys:
        root = {"epoch": 3, "args": (None, True, {"lr": "0.1"}), key: root}
    expect(read(torch_file(root, {"0": b"\0" * 8}), tmp_path / "x"), {"x": np.zeros(2, np.float32)})


def test_what_pytorch_writes(torch: ModuleType, tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Conv2d(8, 2, 1).half())
    optimizer = torch.optim.Adam(model.parameters())
    sum(p.float().sum() for p in model.parameters()).backward()
    optimizer.step()
    expected = {k: v.numpy() for k, v in model.state_dict().items()}
    torch.save(model.state_dict(), tmp_path / "plain")
    expect(cc.load_state(tmp_path / "plain"), expected)
    checkpoint = {"epoch": 3, "loss": 0.5, "state_dict": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(checkpoint, tmp_path / "checkpoint")
    expect(cc.load_state(tmp_path / "checkpoint"), expected)
    torch.save(
        {"p": torch.nn.Parameter(torch.ones(2).bfloat16()), "t": torch.arange(6).reshape(2, 3).T}, tmp_path / "p"
    )
    expect(cc.load_state(tmp_path / "p"), {"p": np.ones(2, np.float32), "t": np.arange(6).reshape(2, 3).T})
    torch.save(model, tmp_path / "whole")
    with pytest.raises(ValueError, match=r"holds torch\.nn\.modules\.container\.Sequential|NEWOBJ"):
        cc.load_state(tmp_path / "whole")
    torch.save(model.state_dict(), tmp_path / "old", _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match="an old file of torch"):
        cc.load_state(tmp_path / "old")


# --- what is refused -------------------------------------------------------------------------------------------------

X = ARRAYS["conv.bias"].tobytes()
ENTRY = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
SPHERE = "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }"
BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "neither a safetensors file nor a zip archive"),
    "text": (b"hello, this is no file of weights", "neither a safetensors file nor a zip archive"),
    "long header": (struct.pack("<Q", 2**63) + b"{}", "not a sound safetensors file: .*header too large"),
    "header of no JSON": (safetensors(b"{'x'}"), "."),
    "deep header": (safetensors(b'{"x":' + b"[" * 100_000), "."),
    "beyond the file": (
        safetensors({"x": {**ENTRY, "data_offsets": [16, 32]}}, X),
        "not a sound safetensors file: .*offset",
    ),
    "another size": (safetensors({"x": {**ENTRY, "shape": [5]}}, X), "not a sound safetensors file: .*shape"),
    "backwards": (safetensors({"x": {**ENTRY, "data_offsets": [16, 0]}}, X), "not a sound safetensors file: .*offset"),
    "negative": (safetensors({"x": {**ENTRY, "shape": [-2, -2]}}, X), "not a sound safetensors file: .*-2"),
    "enormous": (safetensors({"x": {**ENTRY, "shape": [0, 10**30], "data_offsets": [0, 0]}}, X), "."),
    "overlapping": (
        safetensors({k: ENTRY for k in "abcdefghijklmnopqrst"}, X),
        "not a sound safetensors file: .*offset",
    ),
    "unknown type": (safetensors({"x": {**ENTRY, "dtype": "F8_E4M3", "shape": [16]}}, X), "unknown type 'F8_E4M3'"),
    "no entry": (safetensors({"x": 3}, X), "not a sound safetensors file: .*integer `3`"),
    "bad flags": (safetensors({"x": {**ENTRY, "dtype": "BOOL", "shape": [16]}}, b"\2" * 16), "bools must be 0 or 1"),
    "empty archive": (stored({}), "neither data.pkl, as PyTorch's, nor .npy files, as NumPy's"),
    "other archive": (stored({"a.txt": b"hello"}), "neither data.pkl"),
    "objects": (stored({"a.npy": npy(SPHERE.replace("<f4", "|O"), X)}), "arrays must be of numbers"),
    "records": (stored({"a.npy": npy(SPHERE.replace("'<f4'", "[('a', '<f4')]"), X)}), "arrays must be of numbers"),
    "short array": (stored({"a.npy": npy(SPHERE, X[:-1])}), r"15 bytes are not the array \(4,\) of float32"),
    "huge array": (stored({"a.npy": npy(SPHERE.replace("(4,)", "(10**12,)"), X)}), "."),
    "huge shape": (stored({"a.npy": npy(SPHERE.replace("(4,)", "(9999999999999,)"), X)}), "16 bytes are not the array"),
    "code": (stored({"a.npy": npy("__import__('os').system('false')", X)}), "malformed node"),
    "deep array": (stored({"a.npy": npy("-" * 9990 + "1", X)}), "."),
    "long array header": (stored({"a.npy": npy(SPHERE + " " * 20_000, X)}), "Header info length"),
    "version 9": (stored({"a.npy": npy(SPHERE, X, 9)}), "."),
    "bzip2": (stored({"a.npy": npy(SPHERE, X)}, zipfile.ZIP_BZIP2), "compressed in an unknown way"),
    "bomb": (stored({"a.npy": npy(SPHERE, bytes(10**7))}, zipfile.ZIP_DEFLATED), "10000000 bytes are not the array"),
    "a pickle": (pickle.dumps({"x": 1}), "a pickle, or an old file of torch.save"),
    "compressed torch": (torch_file({}, {}, compressed=True), "is compressed"),
    "no tensors": (torch_file({"a": 3}, {}), "holds no dict of tensors"),
    "a list": (torch_file((), {}), "holds no dict of tensors"),
    "mixed": (
        torch_file({"x": tensor("0", 4, (4,), (1,)), "n": 3}, {"0": X}),
        "beside tensors there is 'n', which is int",
    ),
    "no storage": (torch_file({"x": tensor("0", 4, (4,), (1,))}, {}), "no item named 'name/data/0'"),
    "short storage": (torch_file({"x": tensor("0", 5, (4,), (1,))}, {"0": X}), "says 5 values, but holds 16 bytes"),
    "beyond the storage": (torch_file({"x": tensor("0", 4, (4,), (1,), 1)}, {"0": X}), "'x' does not lie within its"),
    "wide strides": (torch_file({"x": tensor("0", 4, (2, 2), (3, 2))}, {"0": X}), "'x' does not lie within its"),
    "negative strides": (torch_file({"x": tensor("0", 4, (4,), (-1,), 3)}, {"0": X}), "'x' does not lie within its"),
    "negative offset": (torch_file({"x": tensor("0", 4, (4,), (1,), -1)}, {"0": X}), "'x' does not lie within its"),
    "expanded": (torch_file({"x": tensor("0", 4, (2**40,), (0,))}, {"0": X}), "'x' does not lie within its"),
    "no sizes": (torch_file({"x": tensor("0", 4, ("a",), (1,))}, {"0": X}), "'x' does not lie within its"),
    "sizes and strides": (torch_file({"x": tensor("0", 4, (4,), ())}, {"0": X}), "'x' does not lie within its"),
    "two types": (
        torch_file({"x": tensor("0", 4, (4,), (1,)), "y": tensor("0", 4, (4,), (1,), kind="Int")}, {"0": X}),
        "storage '0' has two types",
    ),
    "complex": (
        torch_file({"x": tensor("0", 4, (4,), (1,), kind="ComplexFloat")}, {"0": X}),
        "holds torch.ComplexFloatStorage, which is no storage of a known type",
    ),
    "a call": (torch_file({"x": _Named("os.system", ("false",))}, {}), "holds os.system, which is no tensor"),
    "eval": (torch_file(_Named("builtins.eval", ("1",)), {}), "holds builtins.eval, which is no tensor"),
    "a tensor of a call": (
        torch_file(_Named("torch._utils._rebuild_tensor_v2", ((), 0, (), ())), {}),
        "without a storage",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(name: str, tmp_path: Path) -> None:
    data, message = BAD[name]
    with pytest.raises(ValueError, match=rf"(?s)load_state: .*{message}"):
        read(data, tmp_path / "file")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"load_state: there is no file .*nowhere"):
        cc.load_state(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is not a file"):
        cc.load_state(tmp_path)


def test_two_members_of_one_name(tmp_path: Path) -> None:
    data = stored({"a.npy": npy(SPHERE, X), "b.npy": npy(SPHERE, X)}).replace(b"b.npy", b"a.npy")
    with pytest.raises(ValueError, match="two members of the archive have one name"):
        read(data, tmp_path / "file")


def test_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    data = bytearray(stored({"a.npy": npy(SPHERE, X)}))
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = struct.pack("<I", 2**31)
    with pytest.raises(ValueError, match="says it is larger than it can be"):
        read(bytes(data), tmp_path / "file")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "."),
        (b"}", "."),
        (b"0.", "does what weights need not: POP"),
        (b".", "."),
        (b"h\5.", "takes what it has not put down"),
        (b"u.", "takes what it has not put down"),
        (b"(u.", "takes what it has not put down"),
        (b"](NNe}s.", "."),
        (b"}(Nu.", "a key without a value"),
        (b"}(" + b"(" * 3 + b"t" * 3 + b"Nu.", "a key that is tuple"),
        (b"Na.", "."),
        (b"(NN\x86.", "."),
        (b"NQ.", "gives what is no tuple"),
        (b")Q.", "."),
        (b"N)R.", "holds a call of NoneType"),
        (b"\x8c\1aN\x93.", "names what is no name"),
        (b"cos\nsystem\n)\x81.", "does what weights need not: NEWOBJ"),
        (b"N}b.", "adds to what is no dict"),
        (b"r\xff\xff\xff\xff.", "takes what it has not put down"),
        (b"S'a\\", "."),
    ],
)
def test_unsound_pickles(body: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"(?s)load_state: .*{message}"):
        read(stored({"a/data.pkl": b"\x80\x02" + body}), tmp_path / "file")


def test_deep_pickles_are_no_recursion(tmp_path: Path) -> None:
    deep = b"\x80\x02N" + b"\x85" * 100_000 + b"."
    value = read_pickle(deep)
    assert type(value) is tuple
    with pytest.raises(ValueError, match="holds no dict of tensors"):
        read(stored({"a/data.pkl": deep}), tmp_path / "file")
    with pytest.raises(ValueError, match="a key that is tuple"):
        read_pickle(b"\x80\x02}N" + b"\x85" * 100_000 + b"Ns.")


def test_memos_of_pickle_4() -> None:
    """What pickle itself writes, with framing and memos, is read."""
    value = {"a": [1, 2, (3, 4.5, None)], "b": True, "c": "x" * 300, "d": collections.OrderedDict(e=-3)}
    for protocol in (2, 4, 5):
        assert read_pickle(pickle.dumps({**value, "again": value["a"]}, protocol)) == {**value, "again": value["a"]}


# --- what no one thought of ------------------------------------------------------------------------------------------

SMALL = {k: ARRAYS[k] for k in ("conv.bias", "half", "count", "flags")}
FILES = [
    safetensors(
        {k: {"dtype": "F32", "shape": [4], "data_offsets": [16 * i, 16 * i + 16]} for i, k in enumerate("ab")}, X * 2
    ),
    npz(SMALL),
    npz(SMALL, np.savez_compressed),
    torch_state(SMALL),
    torch_file({"model": {"state_dict": {"x": tensor("0", 4, (2, 2), (2, 1))}}}, {"0": X}),
]


def tried(data: bytes, path: Path) -> None:
    """It is a state, or a ValueError."""
    try:
        state = read(data, path)
    except ValueError as error:
        assert str(error).startswith("load_state: ")  # noqa: PT017
    else:
        assert all(isinstance(array, np.ndarray) for array in state.values())


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "file"


@pytest.mark.parametrize("data", FILES, ids=range(len(FILES)))
def test_truncated_files(data: bytes, file: Path) -> None:
    for end in range(len(data)):
        with pytest.raises(ValueError, match="load_state: "):
            read(data[:end], file)


@pytest.mark.parametrize("data", FILES, ids=range(len(FILES)))
@settings(deadline=None, derandomize=True, max_examples=300)
@given(edits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
def test_mutated_files(data: bytes, edits: list[tuple[int, int]], file: Path) -> None:
    changed = bytearray(data)
    for at, value in edits:
        changed[at % len(data)] = value
    tried(bytes(changed), file)


@settings(deadline=None, derandomize=True, max_examples=500)
@given(cut=st.integers(0, 10**6), end=st.integers(0, 10**6), insert=st.binary(max_size=20), which=st.integers(0, 4))
def test_spliced_files(cut: int, end: int, insert: bytes, which: int, file: Path) -> None:
    data = FILES[which]
    first, last = sorted((cut % len(data), end % len(data)))
    tried(data[:first] + insert + data[last:], file)


OPCODES = [bytes([b]) for b in b"()}]NtuesabQR.0012h\x85\x86\x87\x88\x89\x94\x93\x81\x8f\x90\x91"]
PIECES = [
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ccollections\nOrderedDict\n",
    b"ctorch\nFloatStorage\n",
    b"h\0",
    b"q\0",
]
PIECES += [b"K\4", b"\x8c\7storage", b"\x8c\1x", b"\x8c\x010", b"cos\nsystem\n", b"\x8a\1\xff", b"r\xff\xff\xff\x7f"]


@settings(deadline=None, derandomize=True, max_examples=600)
@given(st.lists(st.one_of(st.sampled_from(OPCODES + PIECES), st.binary(min_size=1, max_size=3)), max_size=40))
def test_pickles_of_any_instructions(file: Path, pieces: list[bytes]) -> None:
    tried(stored({"a/data.pkl": b"\x80\x02" + b"".join(pieces) + b".", "a/data/0": X}), file)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes(file: Path, data: bytes) -> None:
    tried(data, file)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "BF16", "BOOL", "I64", "F99"]) | json_values,
        "shape": st.lists(st.integers(-1, 5) | st.integers(), max_size=3) | json_values,
        "data_offsets": st.lists(st.integers(0, 40), min_size=2, max_size=2) | json_values,
    },
)


@settings(deadline=None, derandomize=True, max_examples=500)
@given(st.dictionaries(st.text(max_size=3), entries | json_values, max_size=4))
def test_any_headers(file: Path, header: dict[str, Any]) -> None:
    tried(safetensors(header, X * 2), file)
