"""The true convolution of signal processing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..symbol import Array
from .conv import conv2d

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def convolve(x: ArrayLike, w: ArrayLike, mode: str = "full") -> Array:
    """The true convolution (x * w)[i] = sum_k x[k] w[i - k], in one or two dimensions, in float32.

    The kernel is flipped and slid over x: a convolution is the filtering (cross-correlation, which is what
    `conv2d` and the layers of a network compute) of x with w turned by 180 degrees. For a symmetric kernel both are
    the same. Unlike cross-correlation, convolution is commutative and associative; a network that learns its kernels
    does not notice the difference, since it learns them flipped.

    x, w: both of shape (L,) as for numpy.convolve, or both (H, W) as for scipy.signal.convolve2d; neither empty.
    mode: "full": every place of overlap, length L + K - 1 per axis. "valid": complete overlap only,
    max(L, K) - min(L, K) + 1; in 2-D one operand must be at least as large as the other on both axes. "same": the
    centre of "full", as long as the longer operand in 1-D (as NumPy) and as x in 2-D (as SciPy).
    Raises ValueError for other shapes and modes. Source: numpy.convolve, scipy.signal.convolve2d.
    """
    a, b = np.asarray(x), np.asarray(w)
    if a.ndim != b.ndim or a.ndim not in (1, 2):
        raise ValueError(f"convolve: x and w must both be 1-D or both be 2-D, got {a.shape} and {b.shape}")
    if not a.size or not b.size:
        raise ValueError(f"convolve: x and w must not be empty, got {a.shape} and {b.shape}")
    if mode not in ("full", "same", "valid"):
        raise ValueError(f'convolve: mode must be "full", "same" or "valid", got {mode!r}')
    one_dimensional = a.ndim == 1
    if one_dimensional:
        a, b = a[None], b[None]
    if mode != "same" or one_dimensional:
        a, b = _larger_first(a, b, mode)
    if mode == "full":
        padding = [(k - 1, k - 1) for k in b.shape]
    elif mode == "same":
        padding = [(k - 1 - (k - 1) // 2, (k - 1) // 2) for k in b.shape]
    else:
        padding = [(0, 0), (0, 0)]
    y: Array = conv2d(a[None, None], b[None, None, ::-1, ::-1], padding=padding)[0, 0]
    return y[0] if one_dimensional else y


def _larger_first(a: Array, b: Array, mode: str) -> tuple[Array, Array]:
    """Convolution commutes, so the smaller operand can be the kernel."""
    if all(m >= n for m, n in zip(a.shape, b.shape, strict=True)):
        return a, b
    if all(m <= n for m, n in zip(a.shape, b.shape, strict=True)):
        return b, a
    if mode == "valid":
        raise ValueError(
            f'convolve: for "valid", one operand must be at least as large on both axes, got {a.shape} and {b.shape}'
        )
    return a, b
