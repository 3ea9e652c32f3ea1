"""True convolution against NumPy and SciPy in float64, and its relation to filtering."""

import numpy as np
import pytest
import scipy.signal

from checks import EPS
from convcore import functional as F

MODES = ("full", "same", "valid")
LENGTHS = [(1, 1), (7, 1), (7, 2), (7, 3), (7, 4), (8, 3), (8, 4), (3, 8), (4, 4), (100, 17), (17, 100), (5000, 64)]
SIZES = [
    ((1, 1), (1, 1)),
    ((5, 5), (3, 3)),
    ((5, 6), (2, 3)),
    ((6, 5), (4, 1)),
    ((8, 7), (4, 4)),
    ((3, 4), (3, 4)),
    ((3, 2), (5, 4)),
    ((40, 31), (7, 9)),
]


def signal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_1d_equals_numpy_and_scipy(lengths: tuple[int, int], mode: str) -> None:
    x, w = signal(lengths[0]), signal(lengths[1], seed=1)
    expected = np.convolve(x.astype(np.float64), w.astype(np.float64), mode)
    bound = np.convolve(np.abs(x), np.abs(w), mode) * (min(lengths) + 4)
    y = F.convolve(x, w, mode)
    assert y.shape == expected.shape
    assert (np.abs(y - expected) <= EPS * bound).all()
    if mode != "same" or lengths[0] >= lengths[1]:  # SciPy's "same" has x's length, NumPy's the longer one's
        assert (np.abs(y - scipy.signal.convolve(x.astype(np.float64), w, mode)) <= EPS * bound).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_2d_equals_scipy(sizes: tuple[tuple[int, int], tuple[int, int]], mode: str) -> None:
    x, w = signal(*sizes[0]), signal(*sizes[1], seed=1)
    expected = scipy.signal.convolve2d(x.astype(np.float64), w.astype(np.float64), mode)
    bound = scipy.signal.convolve2d(np.abs(x), np.abs(w), mode) * (w.size + 4)
    y = F.convolve(x, w, mode)
    assert y.shape == expected.shape
    assert (np.abs(y - expected) <= EPS * bound).all()


@pytest.mark.parametrize("mode", ["same", "full"])
@pytest.mark.parametrize("sizes", [((3, 9), (5, 2)), ((9, 3), (2, 5))], ids=str)
def test_2d_where_neither_is_the_larger(sizes: tuple[tuple[int, int], tuple[int, int]], mode: str) -> None:
    x, w = signal(*sizes[0]), signal(*sizes[1], seed=1)
    np.testing.assert_allclose(F.convolve(x, w, mode), scipy.signal.convolve2d(x, w, mode), rtol=1e-4, atol=1e-5)


def test_the_definition() -> None:
    """(x * w)[t] = sum over tau of x[t - tau] w[tau]: copies of x, translated and scaled by w."""
    np.testing.assert_array_equal(F.convolve([1, 2, 3], [10, 0, 1]), [10, 20, 31, 2, 3])


def test_convolution_is_filtering_with_the_kernel_flipped() -> None:
    x, w = signal(9, 8), signal(3, 2, seed=1)
    filtered = F.conv2d(x[None, None], w[None, None, ::-1, ::-1], padding="full")[0, 0]
    np.testing.assert_array_equal(F.convolve(x, w), filtered)
    symmetric = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32)
    np.testing.assert_array_equal(
        F.convolve(x, symmetric, "valid"), F.conv2d(x[None, None], symmetric[None, None])[0, 0]
    )


def test_convolution_commutes() -> None:
    x, w = signal(20), signal(6, seed=1)
    np.testing.assert_allclose(F.convolve(x, w), F.convolve(w, x), rtol=1e-5, atol=1e-6)
