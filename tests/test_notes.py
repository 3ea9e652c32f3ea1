"""The worked example of the teaching notes ("Implementation as Matrix Multiplication")."""

import numpy as np

from checks import EPS
from convcore import functional as F


def test_convolution_as_one_matrix_product() -> None:
    """227x227x3 under 96 filters of 11x11x3 at stride 4: X_col [363 x 3025], W_row [96 x 363], output 55x55x96."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal((227, 227, 3)).astype(np.float32)
    filters = rng.standard_normal((96, 3, 11, 11)).astype(np.float32)
    x = image.transpose(2, 0, 1)[None]

    x_col = F.im2col(x, 11, stride=4)[0]
    w_row = filters.reshape(96, 363)
    assert x_col.shape == (363, 3025)

    product = w_row.astype(np.float64) @ x_col
    bound = EPS * (363 + 4) * (np.abs(w_row) @ np.abs(x_col))
    for algorithm in ("auto", "direct", "im2col"):
        y = F.conv2d(x, filters, stride=4, algorithm=algorithm)
        assert y.shape == (1, 96, 55, 55)
        assert y[0].transpose(1, 2, 0).shape == (55, 55, 96)
        assert (np.abs(y.reshape(96, 3025) - product) <= bound).all()


def test_a_column_is_a_stretched_receptive_field() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 12, 13)).astype(np.float32)
    columns = F.im2col(x, (3, 4), stride=(2, 3))
    assert columns.shape == (2, 36, 5 * 4)
    np.testing.assert_array_equal(columns[1, :, 2 * 4 + 3], x[1, :, 4:7, 9:13].ravel())


def test_overlapping_values_are_duplicated() -> None:
    """col2im adds the copies up: every pixel comes back times the number of windows over it."""
    ones = np.ones((1, 1, 5, 5), np.float32)
    counts = F.col2im(F.im2col(ones, 3), 5, 3)[0, 0]
    np.testing.assert_array_equal(counts, np.outer([1, 2, 3, 2, 1], [1, 2, 3, 2, 1]))


def test_the_binary_image_example() -> None:
    """The notes' 5x5 image of zeros and ones under the 3x3 filter gives the 3x3 map with a 4 in its corner."""
    image = np.array([[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]])
    kernel = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]])
    y = F.conv2d(image[None, None], kernel[None, None])[0, 0]
    np.testing.assert_array_equal(y, [[4, 3, 4], [2, 4, 3], [2, 3, 4]])
