"""Pooling in float64, one output pixel at a time. Formulas: PyTorch's MaxPool2d, AvgPool2d, Adaptive*Pool2d pages."""

from collections.abc import Iterator, Sequence

import numpy as np

from .common import SMALL, Array, Attributes, ReferenceOp, as_images, like, pair, sum_of_products


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """A window that ceil mode adds must start inside the map or its leading padding."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    out = (-(-span // stride) if ceil_mode else span // stride) + 1
    if ceil_mode and (out - 1) * stride >= size + padding:
        out -= 1
    return out


def pooled_size(a: Attributes, h: int, w: int) -> tuple[int, int]:
    kernel = pair(a, "kernel_size")
    stride, padding, dilation = pair(a, "stride", kernel), pair(a, "padding", (0, 0)), pair(a, "dilation")
    ceil_mode = bool(a.get("ceil_mode", False))
    oh, ow = (output_size(s, kernel[i], stride[i], padding[i], dilation[i], ceil_mode) for i, s in enumerate((h, w)))
    return oh, ow


def _regions(a: Attributes, h: int, w: int) -> Iterator[tuple[int, int, list[int], list[int]]]:
    """(output row, output column, rows, columns of the window inside the map)."""
    kernel = pair(a, "kernel_size")
    stride, padding, dilation = pair(a, "stride", kernel), pair(a, "padding", (0, 0)), pair(a, "dilation")

    def inside(axis: int, out: int, size: int) -> list[int]:
        positions = (out * stride[axis] - padding[axis] + k * dilation[axis] for k in range(kernel[axis]))
        return [p for p in positions if 0 <= p < size]

    oh, ow = pooled_size(a, h, w)
    for i in range(oh):
        for j in range(ow):
            yield i, j, inside(0, i, h), inside(1, j, w)


def _bins(a: Attributes, h: int, w: int) -> Iterator[tuple[int, int, list[int], list[int]]]:
    """Adaptive pooling: bin i of O covers floor(i size / O) up to ceil((i + 1) size / O)."""
    oh, ow = pair(a, "output_size")
    for i in range(oh):
        for j in range(ow):
            rows = range(i * h // oh, -(-(i + 1) * h // oh))
            columns = range(j * w // ow, -(-(j + 1) * w // ow))
            yield i, j, list(rows), list(columns)


def _windows(a: Attributes, h: int, w: int) -> Iterator[tuple[int, int, list[int], list[int]]]:
    return _bins(a, h, w) if "output_size" in a else _regions(a, h, w)


def _pooled(a: Attributes, h: int, w: int) -> tuple[int, int]:
    return pair(a, "output_size") if "output_size" in a else pooled_size(a, h, w)


def max_positions(a: Attributes, x: Array) -> Array:
    """h W + w of each window's first maximum, (N, C, oH, oW)."""
    images = as_images(x)
    n, c, h, w = images.shape
    positions = np.zeros((n, c, *_pooled(a, h, w)), np.int64)
    for i, j, rows, columns in _windows(a, h, w):
        window = images[:, :, rows][:, :, :, columns].reshape(n, c, len(rows) * len(columns))
        flat = np.add.outer(np.asarray(rows) * w, np.asarray(columns)).ravel()
        positions[:, :, i, j] = flat[window.argmax(-1)]
    return like(positions, x.ndim)


def max_pool(a: Attributes, x: Array) -> Array:
    images, positions = as_images(x), as_images(max_positions(a, x))
    n, c, h, w = images.shape
    oh, ow = positions.shape[2:]
    y = np.take_along_axis(images.reshape(n, c, h * w), positions.reshape(n, c, oh * ow), -1)
    return like(y.reshape(positions.shape), x.ndim)


def max_pool_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    x = inputs[0]
    positions = as_images(max_positions(a, x))
    n, c, oh, ow = positions.shape
    dx = np.zeros((n, c, int(np.prod(x.shape[2:]))))
    index = (np.arange(n)[:, None, None], np.arange(c)[None, :, None], positions.reshape(n, c, oh * ow))
    np.add.at(dx, index, grad.reshape(n, c, oh * ow))
    return [dx.reshape(x.shape)]


def max_backward_error(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    """Each element sums at most as many gradients as there are windows over it."""
    overlap = max_pool_backward(a, inputs, np.ones_like(grad))[0]
    magnitude = max_pool_backward(a, inputs, np.abs(grad))[0]
    assert overlap is not None
    return [overlap * magnitude]


def _divisor(a: Attributes, kind: str, i: int, j: int, h: int, w: int, count: int) -> int:
    if kind == "sum_pool2d":
        return 1
    if "output_size" in a or not a.get("count_include_pad", True):
        return max(count, 1)
    kernel = pair(a, "kernel_size")
    stride, padding, dilation = pair(a, "stride", kernel), pair(a, "padding", (0, 0)), pair(a, "dilation")
    sizes = []
    for axis, (out, size) in enumerate(((i, h), (j, w))):
        taps = out * stride[axis] - padding[axis] + np.arange(kernel[axis]) * dilation[axis]
        sizes.append(int((taps < size + padding[axis]).sum()))
    return sizes[0] * sizes[1]


def _average(kind: str) -> ReferenceOp:
    def forward(a: Attributes, x: Array) -> Array:
        images = as_images(x)
        n, c, h, w = images.shape
        y = np.zeros((n, c, *_pooled(a, h, w)))
        for i, j, rows, columns in _windows(a, h, w):
            total = images[:, :, rows][:, :, :, columns].sum((2, 3))
            y[:, :, i, j] = total / _divisor(a, kind, i, j, h, w, len(rows) * len(columns))
        return like(y, x.ndim)

    def backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
        x = inputs[0]
        images, dy = as_images(x), as_images(grad)
        h, w = images.shape[2:]
        dx = np.zeros_like(images)
        for i, j, rows, columns in _windows(a, h, w):
            share = dy[:, :, i, j] / _divisor(a, kind, i, j, h, w, len(rows) * len(columns))
            dx[:, :, np.asarray(rows, int)[:, None], np.asarray(columns, int)] += share[:, :, None, None]
        return [like(dx, x.ndim)]

    def lengths(a: Attributes, x: Array) -> tuple[float, list[float]]:
        h, w = as_images(x).shape[2:]
        window = max((len(r) * len(c) for _, _, r, c in _windows(a, h, w)), default=1)
        oh, ow = _pooled(a, h, w)
        return window, [min(oh * ow, window)]

    return sum_of_products(forward, backward, lengths)


def lp_pool(a: Attributes, x: Array) -> Array:
    images, p = np.abs(as_images(x)), a.get("p", 2)
    n, c, h, w = images.shape
    y = np.zeros((n, c, *pooled_size(a, h, w)))
    for i, j, rows, columns in _regions(a, h, w):
        y[:, :, i, j] = (images[:, :, rows][:, :, :, columns] ** p).sum((2, 3)) ** (1 / p)
    return like(y, x.ndim)


def _lp_terms(a: Attributes) -> float:
    """Roundings of a power, of the sum of a window, and of its root."""
    return 2 * (int(np.prod(pair(a, "kernel_size"))) + a.get("p", 2) + SMALL)


def lp_pool_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    x, p = inputs[0], a.get("p", 2)
    images, y, dy = as_images(x), as_images(lp_pool(a, x)), as_images(grad)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.where(y > 0, dy * y ** (1 - p), 0.0)
    dx = np.zeros_like(images)
    for i, j, rows, columns in _regions(a, *images.shape[2:]):
        dx[:, :, np.asarray(rows, int)[:, None], np.asarray(columns, int)] += scaled[:, :, i, j, None, None]
    return [like(dx * np.abs(images) ** (p - 1) * np.sign(images), x.ndim)]


def lp_pool_backward_error(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    size = lp_pool_backward(a, inputs, np.abs(grad))[0]
    assert size is not None
    return [2 * _lp_terms(a) * np.abs(size)]


def max_unpool(a: Attributes, x: Array, indices: Array) -> Array:
    images, (h, w) = as_images(x), pair(a, "output_size")
    n, c, *space = images.shape
    flat, places = (v.reshape(n, c, int(np.prod(space))) for v in (images, indices))
    y = np.zeros((n, c, h * w))
    for p in range(flat.shape[2]):
        np.put_along_axis(y, places[:, :, p, None], flat[:, :, p, None], -1)
    return like(y.reshape(n, c, h, w), x.ndim)


def max_unpool_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    x, indices = inputs
    n, c = x.shape[:2]
    dy = grad.reshape(n, c, int(np.prod(grad.shape[2:])))
    dx = np.take_along_axis(dy, indices.reshape(n, c, int(np.prod(x.shape[2:]))), -1)
    return [dx.reshape(x.shape), None]


def _exact(a: Attributes, x: Array) -> Array:
    return np.zeros_like(max_pool(a, x))


_MAX = ReferenceOp(max_pool, _exact, max_pool_backward, max_backward_error)

OPS: dict[str, ReferenceOp] = {
    "max_pool2d": _MAX,
    "max_pool2d_indices": ReferenceOp(max_positions, _exact),
    "avg_pool2d": _average("avg_pool2d"),
    "sum_pool2d": _average("sum_pool2d"),
    "lp_pool2d": ReferenceOp(
        lp_pool, lambda a, x: _lp_terms(a) * lp_pool(a, x), lp_pool_backward, lp_pool_backward_error
    ),
    "max_unpool2d": ReferenceOp(
        max_unpool,
        lambda a, *inputs: 0 * max_unpool(a, *inputs),
        max_unpool_backward,
        lambda a, inputs, grad: [0 * inputs[0], None],
    ),
    "adaptive_avg_pool2d": _average("adaptive_avg_pool2d"),
    "adaptive_max_pool2d": _MAX,
}
