"""Readers, data sets and the loader: values, sizes, and one clear error for each kind of damage."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from convcore.data import (
    ArrayDataset,
    DataLoader,
    open_dataset,
    read_cifar10,
    read_idx,
    read_idx_pair,
    read_image,
    read_image_folder,
    read_npz,
)

MNIST5K = Path(__file__).parent.parent / "examples" / "data" / "mnist5k"
CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def idx_bytes(array):
    header = bytes([0, 0, CODES[array.dtype.name], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_idx(folder, images, labels, name="train", zipped=False):
    folder.mkdir(exist_ok=True)
    suffix, pack = (".gz", gzip.compress) if zipped else ("", bytes)
    file = folder / f"{name}-images-idx3-ubyte{suffix}"
    file.write_bytes(pack(idx_bytes(images)))
    (folder / f"{name}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx_bytes(labels)))
    return file


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (12, 5, 7), dtype=np.uint8)


@pytest.fixture
def labels():
    return (np.arange(12) % 3).astype(np.uint8)


# --- IDX -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", list(CODES))
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_types(tmp_path, dtype, zipped):
    array = (np.random.default_rng(1).standard_normal((2, 3, 4)) * 50).astype(dtype)
    file = tmp_path / "array.idx"
    file.write_bytes(gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array))
    got = read_idx(file)
    assert got.dtype == array.dtype
    np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_pair(tmp_path, pixels, labels, zipped):
    data = read_idx_pair(write_idx(tmp_path, pixels, labels, zipped=zipped))
    assert data.shape == (1, 5, 7)
    assert data.classes == ("0", "1", "2")
    np.testing.assert_array_equal(data.images[:, 0], pixels)
    np.testing.assert_array_equal(data.labels, labels)


def test_mnist5k_is_whole():
    data = open_dataset(MNIST5K)
    assert data.images.shape == (5000, 1, 28, 28)
    assert data.images.dtype == np.uint8
    assert np.bincount(data.labels).tolist() == [500] * 10


DAMAGED_IDX = {
    "empty": (lambda good: b"", "not an IDX file, it begins with nothing"),
    "other": (lambda good: b"\x89PNG" + good, "not an IDX file, it begins with 89 50 4e 47"),
    "header": (lambda good: good[:9], "truncated in its header, found 9 of 16 bytes"),
    "short": (lambda good: good[:-1], r"truncated, its header \(12, 5, 7\) asks for 420 bytes"),
    "long": (lambda good: good + b"\0", "longer than the 420 bytes"),
    "huge": (lambda good: good[:4] + b"\xff" * 12 + good[16:], r"truncated, its header \(4294967295, "),
    "gzip short": (lambda good: gzip.compress(good)[:-40], "truncated, the gzip data ends too early"),
    "gzip damaged": (lambda good: gzip.compress(good)[:20] + b"\xff" * 60, "damaged gzip data|truncated"),
    "gzip huge": (lambda good: gzip.compress(good[:4] + b"\xff" * 12 + good[16:]), "truncated, its header"),
    "gzip inner": (lambda good: gzip.compress(good[:-1]), r"asks for 420 bytes of data, found 419"),
}


@pytest.mark.parametrize("damage", list(DAMAGED_IDX))
def test_idx_damage(tmp_path, pixels, damage):
    change, message = DAMAGED_IDX[damage]
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(change(idx_bytes(pixels)))
    with pytest.raises(ValueError, match=message) as caught:
        read_idx(file)
    assert str(caught.value).startswith(str(file))


def test_idx_pair_errors(tmp_path, pixels, labels):
    file = write_idx(tmp_path, pixels, labels)
    beside = tmp_path / "train-labels-idx1-ubyte"
    with pytest.raises(ValueError, match="these are the labels"):
        read_idx_pair(beside)
    with pytest.raises(ValueError, match="holds 11 labels for the 12 images"):
        read_idx_pair(write_idx(tmp_path, pixels, labels[:11]))
    with pytest.raises(ValueError, match=r"images must be \(N, H, W\) bytes, found \(12,\)"):
        read_idx_pair(write_idx(tmp_path, labels, labels))
    with pytest.raises(ValueError, match=r"labels must be \(N,\) integers, found \(12, 5, 7\)"):
        read_idx_pair(write_idx(tmp_path, pixels, pixels))
    beside.unlink()
    with pytest.raises(FileNotFoundError, match=r"its labels train-labels-idx1-ubyte or .* are not beside it"):
        read_idx_pair(file)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_idx(tmp_path / "nothing")


# --- CIFAR-10 ------------------------------------------------------------------------------------------------------
def write_cifar(folder, name, count=4, label=0):
    records = np.random.default_rng(count).integers(0, 256, (count, 3073), dtype=np.uint8)
    records[:, 0] = (label + np.arange(count)) % 10 if label < 10 else label
    records.tofile(folder / name)
    return records


def test_cifar(tmp_path):
    parts = [write_cifar(tmp_path, f"data_batch_{i}.bin", 3 + i, i) for i in range(1, 6)]
    held = write_cifar(tmp_path, "test_batch.bin", 2)
    data = open_dataset(tmp_path)
    everything = np.concatenate(parts)
    np.testing.assert_array_equal(data.images, everything[:, 1:].reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(data.labels, everything[:, 0])
    assert data.classes[3] == "cat"
    np.testing.assert_array_equal(open_dataset(tmp_path, split="test").labels, held[:, 0])
    assert len(open_dataset(tmp_path / "data_batch_2.bin")) == 5


def test_cifar_errors(tmp_path):
    file = tmp_path / "data_batch_1.bin"
    write_cifar(tmp_path, file.name, label=17)
    with pytest.raises(ValueError, match=r"label 17 at index 0 is outside \[0, 10\)"):
        read_cifar10(file)
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(ValueError, match="records of 3073 bytes, found 12287 bytes"):
        read_cifar10([file])
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="found 0 bytes"):
        read_cifar10(file)
    with pytest.raises(ValueError, match="at least one file"):
        read_cifar10([])
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_cifar10(tmp_path / "nothing.bin")


# --- images by class -----------------------------------------------------------------------------------------------
def write_images(folder, modes=("RGB", "RGB"), size=(6, 4)):
    image = pytest.importorskip("PIL.Image")
    generator = np.random.default_rng(2)
    for name, mode in zip(("cat", "dog"), modes, strict=True):
        (folder / name).mkdir(parents=True)
        for i in range(3):
            picture = image.fromarray(generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
            picture.convert(mode).save(folder / name / f"{i}.png")
    return image


def test_image_folder(tmp_path):
    image = write_images(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    data = open_dataset(tmp_path)
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.shape == (3, 4, 6)
    with image.open(tmp_path / "dog" / "1.png") as picture:
        np.testing.assert_array_equal(data.images[4].transpose(1, 2, 0), np.asarray(picture))


def test_image_folder_channels(tmp_path):
    write_images(tmp_path / "grey", ("L", "1"))
    assert read_image_folder(tmp_path / "grey").shape == (1, 4, 6)
    write_images(tmp_path / "mixed", ("L", "RGBA"))
    assert read_image_folder(tmp_path / "mixed").shape == (3, 4, 6)
    assert read_image(tmp_path / "mixed" / "dog" / "0.png", channels=1, size=(8, 9)).shape == (1, 8, 9)


def test_image_folder_halves(tmp_path):
    write_images(tmp_path / "train")
    write_images(tmp_path / "test", size=(5, 5))
    assert open_dataset(tmp_path).shape == (3, 4, 6)
    assert open_dataset(tmp_path, split="test").shape == (3, 5, 5)


def test_image_folder_errors(tmp_path):
    image = write_images(tmp_path)
    odd = tmp_path / "dog" / "9.png"
    image.new("RGB", (3, 3)).save(odd)
    with pytest.raises(ValueError, match=r"9\.png: is 3 x 3 but 0\.png is 4 x 6: give a size"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, size=(10, 11)).shape == (3, 10, 11)
    odd.write_bytes((tmp_path / "dog" / "0.png").read_bytes()[:60])
    with pytest.raises(ValueError, match=r"9\.png: (truncated|not an image)"):
        open_dataset(tmp_path, size=(4, 4))
    odd.write_text("text")
    with pytest.raises(ValueError, match=r"9\.png: not an image that Pillow can read"):
        open_dataset(tmp_path)
    image.fromarray(np.zeros((4, 6), np.uint16)).save(odd)
    with pytest.raises(ValueError, match="expected 8-bit grey or colour"):
        open_dataset(tmp_path)
    odd.unlink()
    (tmp_path / "emu").mkdir()
    with pytest.raises(ValueError, match="emu: no image files in this class folder"):
        open_dataset(tmp_path)
    with pytest.raises(ValueError, match="1 or 3 channels, not 2"):
        read_image(odd, channels=2)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_image(odd)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_image_folder(odd)


# --- npz -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("x_train", "y_train")])
def test_npz(tmp_path, pixels, labels, names):
    file = tmp_path / "data.npz"
    np.savez(file, **{names[0]: pixels, names[1]: labels}, classes=np.array(["a", "b", "c"]))
    data = open_dataset(file)
    np.testing.assert_array_equal(data.images[:, 0], pixels)
    assert data.classes == ("a", "b", "c")


def test_npz_layouts(tmp_path):
    channels_last = np.random.default_rng(3).random((5, 8, 9, 3))
    np.savez(tmp_path / "last.npz", x=channels_last, y=np.zeros((5, 1), np.int32))
    np.savez(tmp_path / "both.npz", x_train=channels_last, y_train=np.zeros(5, int), x_test=[[[1]]], y_test=[0])
    data = open_dataset(tmp_path / "last.npz")
    assert data.images.dtype == np.float32
    np.testing.assert_array_equal(data.images, channels_last.transpose(0, 3, 1, 2).astype(np.float32))
    assert len(open_dataset(tmp_path / "both.npz", split="test")) == 1


def test_npz_errors(tmp_path, pixels, labels):
    file = tmp_path / "data.npz"
    np.savez(file, x=pixels)
    with pytest.raises(ValueError, match="expected arrays x and y, or images and labels, found x"):
        read_npz(file)
    np.savez(file, x=np.array([{}, []], dtype=object), y=np.zeros(2, int))
    with pytest.raises(ValueError, match=r"data\.npz: not a readable \.npz .*allow_pickle=False"):
        read_npz(file)
    np.savez(file, x=pixels, y=labels.astype(float))
    with pytest.raises(ValueError, match="labels must be integers, got float64"):
        read_npz(file)
    np.savez(file, x=pixels, y=labels[:5])
    with pytest.raises(ValueError, match=r"expected 12 labels for as many images, got shape \(5,\)"):
        read_npz(file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a readable"):
        read_npz(file)
    with file.open("wb") as stream:
        np.save(stream, pixels)
    with pytest.raises(ValueError, match="it holds a single array"):
        read_npz(file)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_npz(tmp_path / "nothing.npz")


# --- recognition ---------------------------------------------------------------------------------------------------
def test_open_chooses_the_set(tmp_path, pixels, labels):
    write_idx(tmp_path, pixels, labels, "train-5k", zipped=True)
    test = write_idx(tmp_path, pixels[:4], labels[:4], "t10k")
    assert len(open_dataset(tmp_path)) == 12
    assert len(open_dataset(tmp_path, split="test")) == 4
    assert len(open_dataset(test)) == 4
    write_idx(tmp_path, pixels, labels, "train")
    with pytest.raises(ValueError, match=r": holds 3 data sets \(t10k, train-5k, train\), give the path of one of"):
        open_dataset(tmp_path)


def test_open_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        open_dataset(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"no known kind of data, .* found nothing"):
        open_dataset(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"no known kind of data, .* found notes\.txt"):
        open_dataset(tmp_path)
    with pytest.raises(ValueError, match=r"notes\.txt: not a known kind of data"):
        open_dataset(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match="split must be"):
        open_dataset(tmp_path, split="validation")


# --- data set ------------------------------------------------------------------------------------------------------
def test_dataset_takes_channels_last_without_copy():
    pixels = np.zeros((4, 5, 6, 3), np.uint8)
    data = ArrayDataset(pixels.transpose(0, 3, 1, 2), [0, 1, 0, 1])
    assert np.shares_memory(data.images, pixels)
    assert data[1][0].shape == (3, 5, 6)
    assert data[1][1] == 1
    assert len(ArrayDataset(np.zeros((0, 1, 2, 2)), [])) == 0
    assert "4 images (3, 5, 6) uint8, 2 classes" in repr(data)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 3)), [0, 0], "images must be"),
        (np.zeros((2, 1, 0, 3)), [0, 0], "not empty"),
        (np.zeros((2, 1, 3, 3), complex), [0, 0], "real numbers, got complex128"),
        (np.zeros((2, 3, 3)), [0], r"expected 2 labels for as many images, got shape \(1,\)"),
        (np.zeros((2, 3, 3)), [0.0, 1.0], "labels must be integers"),
        (np.zeros((2, 3, 3)), [0, -1], r"label -1 at index 1 is outside \[0, 2\)"),
        (np.zeros((2, 3, 3)), [0, 2], r"label 2 at index 1 is outside \[0, 2\)"),
    ],
)
def test_dataset_errors(images, labels, message):
    with pytest.raises(ValueError, match=message):
        ArrayDataset(images, labels, ("a", "b"))
    with pytest.raises(ValueError, match="is no class number"):
        ArrayDataset(np.zeros((1, 2, 2)), [2**40])


def test_split_is_stratified_and_seeded():
    labels = np.repeat([0, 1, 2], [100, 30, 1])
    data = ArrayDataset(np.arange(131, dtype=np.float32).reshape(131, 1, 1), labels)
    rest, held = data.split(0.1, seed=4)
    assert np.bincount(held.labels).tolist() == [10, 3]
    assert np.bincount(rest.labels).tolist() == [90, 27, 1]
    assert sorted(np.concatenate([rest.images, held.images]).ravel()) == list(range(131))
    assert (np.diff(rest.images.ravel()) > 0).all()
    assert rest.classes == held.classes == data.classes
    np.testing.assert_array_equal(data.split(0.1, seed=4)[1].images, held.images)
    assert not np.array_equal(data.split(0.1, seed=5)[1].images, held.images)
    for fraction in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="must be between 0 and 1"):
            data.split(fraction)
    with pytest.raises(ValueError, match="too few to split off"):
        data.subset([130]).split(0.5)


def test_statistics():
    pixels = np.random.default_rng(5).integers(0, 256, (300, 3, 4, 5), dtype=np.uint8)
    pixels[:, 2] = 7
    mean, std = ArrayDataset(pixels, np.zeros(300, int)).mean_and_std()
    np.testing.assert_allclose(mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, [*pixels[:, :2].std(axis=(0, 2, 3)), 1.0], rtol=1e-9)
    values = np.zeros((4, 1, 2, 2))
    ArrayDataset(values, [0, 0, 0, 0]).check_finite()
    values[2, 0, 1, 1] = np.inf
    with pytest.raises(ValueError, match="the image at index 2 holds infinity or NaN"):
        ArrayDataset(values, [0, 0, 0, 0]).check_finite()


# --- loader --------------------------------------------------------------------------------------------------------
@pytest.fixture
def numbered():
    return ArrayDataset(np.arange(10, dtype=np.uint8).reshape(10, 1, 1), np.arange(10))


def order(loader):
    return [int(label) for _, labels in loader for label in labels]


def test_loader_in_order(numbered):
    batches = list(DataLoader(numbered, batch_size=4))
    assert [len(labels) for _, labels in batches] == [4, 4, 2]
    assert batches[0][0].dtype == np.uint8
    assert np.shares_memory(batches[0][0], numbered.images)
    assert len(DataLoader(numbered, 4)) == 3
    assert len(DataLoader(numbered, 4, drop_last=True)) == len(list(DataLoader(numbered, 4, drop_last=True))) == 2
    assert list(DataLoader(numbered.subset([]))) == []


def test_loader_shuffles_by_seed_and_epoch(numbered):
    loader = DataLoader(numbered, 3, shuffle=True, seed=7)
    first, second = order(loader), order(loader)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    loader.set_epoch(1)
    assert order(loader) == second
    assert order(DataLoader(numbered, 5, shuffle=True, seed=7)) == first
    assert order(DataLoader(numbered, 5, shuffle=True, seed=8)) != first
    kept = list(DataLoader(numbered, 3, shuffle=True))
    assert all(images.ravel().tolist() == labels.tolist() for images, labels in kept)


def test_loader_errors(numbered):
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        DataLoader(numbered, 0)
    with pytest.raises(ValueError, match="seed must not be negative"):
        DataLoader(numbered, seed=-1)
    with pytest.raises(ValueError, match="epoch must not be negative"):
        DataLoader(numbered).set_epoch(-1)
