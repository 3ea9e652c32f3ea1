"""Convolutions in float64, by loops over the taps of the kernel: slow, short and evidently right.

Formulas: PyTorch's torch.nn.Conv2d, ConvTranspose2d, Unfold, Fold and Linear pages.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .common import Array, Attributes, ReferenceOp, as_images, like, pair, sum_of_products


@dataclass(frozen=True)
class Windows:
    """Where a sliding kernel's taps fall in a padded map."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]  # top, bottom, left, right
    dilation: tuple[int, int]

    def output(self, h: int, w: int) -> tuple[int, int]:
        top, bottom, left, right = self.padding
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        return (h + top + bottom - dh * (kh - 1) - 1) // sh + 1, (w + left + right - dw * (kw - 1) - 1) // sw + 1

    def pad(self, x: Array) -> Array:
        top, bottom, left, right = self.padding
        return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))

    def crop(self, x: Array, h: int, w: int) -> Array:
        return x[:, :, self.padding[0] : self.padding[0] + h, self.padding[2] : self.padding[2] + w]

    def taps(self, output: tuple[int, int]) -> Iterator[tuple[int, int, tuple[slice, ...]]]:
        """(i, j, where the outputs see tap (i, j) in the padded map)."""
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        oh, ow = output
        for i in range(kh):
            for j in range(kw):
                rows = slice(i * dh, i * dh + (oh - 1) * sh + 1, sh)
                columns = slice(j * dw, j * dw + (ow - 1) * sw + 1, sw)
                yield i, j, (slice(None), slice(None), rows, columns)


def mode_padding(mode: str, size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """valid: none. full: every overlap. same: ceil(size / stride) outputs, the odd one of the padding at the end."""
    reach = dilation * (kernel - 1)
    if mode == "same":
        total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
        return total // 2, total - total // 2
    return (reach, reach) if mode == "full" else (0, 0)


def windows_of(a: Attributes, kernel: tuple[int, int], size: tuple[int, int] = (0, 0)) -> Windows:
    """size: of the map, which only the modes of padding need."""
    stride, dilation, padding = pair(a, "stride"), pair(a, "dilation"), a.get("padding", (0, 0, 0, 0))
    if isinstance(padding, str):
        rows, columns = (mode_padding(padding, size[i], kernel[i], stride[i], dilation[i]) for i in range(2))
        padding = (*rows, *columns)
    top, bottom, left, right = padding
    return Windows(kernel, stride, (top, bottom, left, right), dilation)


def conv2d(a: Attributes, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """y[n,o,p] = bias[o] + sum over c, i, j of w[o,c,i,j] x[n,c,p stride + (i,j) dilation - padding]."""
    images, kernels, groups = as_images(x), as_images(weight), a.get("groups", 1)
    n, c, h, w = images.shape
    o, per_group, kh, kw = kernels.shape
    windows = windows_of(a, (kh, kw), (h, w))
    oh, ow = windows.output(h, w)
    padded = windows.pad(images)
    y = np.zeros((n, groups, o // groups, oh * ow))
    grouped = kernels.reshape(groups, o // groups, per_group, kh, kw)
    for i, j, where in windows.taps((oh, ow)):
        y += grouped[..., i, j] @ padded[where].reshape(n, groups, c // groups, oh * ow)
    y = y.reshape(n, o, oh, ow)
    if bias is not None:
        y += bias[:, None, None]
    return like(y, x.ndim)


def conv2d_backward(a: Attributes, inputs: Sequence[Array | None], grad: Array) -> list[Array | None]:
    """dx scatters w^T dy to where each tap read; dw[..,i,j] = dy x_tap^T; db sums dy."""
    x, weight, bias = (*inputs, None)[:3]
    assert x is not None
    assert weight is not None
    images, kernels, groups = as_images(x), as_images(weight), a.get("groups", 1)
    n, c, h, w = images.shape
    o, per_group, kh, kw = kernels.shape
    windows = windows_of(a, (kh, kw), (h, w))
    dy4 = as_images(grad)
    oh, ow = dy4.shape[2:]
    dy = dy4.reshape(n, groups, o // groups, oh * ow)
    padded = windows.pad(images)
    grouped = kernels.reshape(groups, o // groups, per_group, kh, kw)
    dx, dw = np.zeros_like(padded), np.zeros_like(grouped)
    for i, j, where in windows.taps((oh, ow)):
        dx[where] += (grouped[..., i, j].swapaxes(1, 2) @ dy).reshape(n, c, oh, ow)
        tap = padded[where].reshape(n, groups, c // groups, oh * ow)
        dw[..., i, j] = (dy @ tap.swapaxes(2, 3)).sum(0)
    db = None if bias is None else dy4.sum((0, 2, 3))
    return [like(windows.crop(dx, h, w), x.ndim), dw.reshape(weight.shape), db]


def conv2d_lengths(a: Attributes, x: Array, weight: Array, bias: Array | None = None) -> tuple[float, list[float]]:
    kernels, images = as_images(weight), as_images(x)
    o, per_group, kh, kw = kernels.shape
    h, w = images.shape[2:]
    oh, ow = windows_of(a, (kh, kw), (h, w)).output(h, w)
    pixels = images.shape[0] * oh * ow
    return per_group * kh * kw, [o // a.get("groups", 1) * kh * kw, pixels, pixels]


def transpose_output(a: Attributes, h: int, w: int, kernel: tuple[int, int]) -> tuple[int, int]:
    (sh, sw), (dh, dw), (ph, pw) = pair(a, "stride"), pair(a, "dilation"), pair(a, "output_padding", (0, 0))
    top, bottom, left, right = a.get("padding", (0, 0, 0, 0))
    oh = (h - 1) * sh - top - bottom + dh * (kernel[0] - 1) + ph + 1
    return oh, (w - 1) * sw - left - right + dw * (kernel[1] - 1) + pw + 1


def conv_transpose2d(a: Attributes, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Every input pixel adds its weighted kernel to the output: y[n,o,p stride + (i,j) dilation - padding] += w x."""
    images, kernels, groups = as_images(x), as_images(weight), a.get("groups", 1)
    n, c, h, w = images.shape
    per_group, kh, kw = kernels.shape[1:]
    windows = windows_of(a, (kh, kw))
    oh, ow = transpose_output(a, h, w, (kh, kw))
    y = windows.pad(np.zeros((n, groups * per_group, oh, ow)))
    flat = images.reshape(n, groups, c // groups, h * w)
    grouped = kernels.reshape(groups, c // groups, per_group, kh, kw)
    for i, j, where in windows.taps((h, w)):
        y[where] += (grouped[..., i, j].swapaxes(1, 2) @ flat).reshape(n, groups * per_group, h, w)
    y = windows.crop(y, oh, ow)
    if bias is not None:
        y = y + bias[:, None, None]
    return like(y, x.ndim)


def conv_transpose2d_backward(a: Attributes, inputs: Sequence[Array | None], grad: Array) -> list[Array | None]:
    x, weight, bias = (*inputs, None)[:3]
    assert x is not None
    assert weight is not None
    images, kernels, groups = as_images(x), as_images(weight), a.get("groups", 1)
    n, c, h, w = images.shape
    per_group, kh, kw = kernels.shape[1:]
    windows = windows_of(a, (kh, kw))
    dy = windows.pad(as_images(grad))
    flat = images.reshape(n, groups, c // groups, h * w)
    grouped = kernels.reshape(groups, c // groups, per_group, kh, kw)
    dx, dw = np.zeros_like(flat), np.zeros_like(grouped)
    for i, j, where in windows.taps((h, w)):
        tap = dy[where].reshape(n, groups, per_group, h * w)
        dx += grouped[..., i, j] @ tap
        dw[..., i, j] = (flat @ tap.swapaxes(2, 3)).sum(0)
    db = None if bias is None else as_images(grad).sum((0, 2, 3))
    return [dx.reshape(x.shape), dw.reshape(weight.shape), db]


def conv_transpose2d_lengths(
    a: Attributes, x: Array, weight: Array, bias: Array | None = None
) -> tuple[float, list[float]]:
    kernels, images = as_images(weight), as_images(x)
    c, per_group, kh, kw = kernels.shape
    n, _, h, w = images.shape
    oh, ow = transpose_output(a, h, w, (kh, kw))
    return c // a.get("groups", 1) * kh * kw, [per_group * kh * kw, n * h * w, n * oh * ow]


def im2col(a: Attributes, x: Array) -> Array:
    """(N, C, H, W) -> (N, C kH kW, L): column l is the receptive field of output pixel l."""
    images = as_images(x)
    n, c, h, w = images.shape
    windows = windows_of(a, pair(a, "kernel_size"))
    oh, ow = windows.output(h, w)
    padded = windows.pad(images)
    columns = np.zeros((n, c, *windows.kernel, oh * ow))
    for i, j, where in windows.taps((oh, ow)):
        columns[:, :, i, j] = padded[where].reshape(n, c, oh * ow)
    return columns.reshape(n, c * windows.kernel[0] * windows.kernel[1], oh * ow)


def _fold(a: Attributes, columns: Array, h: int, w: int) -> Array:
    windows = windows_of(a, pair(a, "kernel_size"))
    oh, ow = windows.output(h, w)
    kh, kw = windows.kernel
    n, rows, _ = columns.shape
    split = columns.reshape(n, rows // (kh * kw), kh, kw, oh, ow)
    x = windows.pad(np.zeros((n, rows // (kh * kw), h, w)))
    for i, j, where in windows.taps((oh, ow)):
        x[where] += split[:, :, i, j]
    return windows.crop(x, h, w)


def im2col_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    h, w = as_images(inputs[0]).shape[2:]
    return [like(_fold(a, grad, h, w), inputs[0].ndim)]


def col2im(a: Attributes, columns: Array) -> Array:
    """Adds each column back to its receptive field: the transpose of im2col."""
    return _fold(a, columns, *pair(a, "output_size"))


def col2im_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    return [im2col(a, grad)]


def fold_lengths(a: Attributes, x: Array) -> tuple[float, list[float]]:
    kh, kw = pair(a, "kernel_size")
    return kh * kw, [kh * kw]


def linear(a: Attributes, x: Array, weight: Array, bias: Array | None = None) -> Array:
    y = x @ (weight if a.get("transposed") else weight.T)
    return y if bias is None else y + bias


def linear_backward(a: Attributes, inputs: Sequence[Array | None], grad: Array) -> list[Array | None]:
    x, weight, bias = (*inputs, None)[:3]
    assert x is not None
    assert weight is not None
    db = None if bias is None else grad.sum(0)
    return [grad @ weight.T, x.T @ grad, db] if a.get("transposed") else [grad @ weight, grad.T @ x, db]


def linear_lengths(a: Attributes, x: Array, weight: Array, bias: Array | None = None) -> tuple[float, list[float]]:
    return x.shape[1], [weight.size // x.shape[1], x.shape[0], x.shape[0]]


OPS: dict[str, ReferenceOp] = {
    "conv2d": sum_of_products(conv2d, conv2d_backward, conv2d_lengths),
    "conv_transpose2d": sum_of_products(conv_transpose2d, conv_transpose2d_backward, conv_transpose2d_lengths),
    "im2col": sum_of_products(im2col, im2col_backward, fold_lengths),
    "col2im": sum_of_products(col2im, col2im_backward, fold_lengths),
    "linear": sum_of_products(linear, linear_backward, linear_lengths),
}
