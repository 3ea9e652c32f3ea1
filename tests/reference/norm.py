"""Normalisations in float64. Formulas: PyTorch's BatchNorm2d and LocalResponseNorm pages; Ioffe and Szegedy 2015."""

from collections.abc import Sequence

import numpy as np

from .common import SMALL, Array, Attributes, ReferenceOp, as_images, like


def _channels(v: Array | None, fallback: float, c: int) -> Array:
    return np.full((c, 1, 1), fallback) if v is None else v[:, None, None]


def _pass(a: Attributes, v: Array) -> Array:
    """Where the activation lets the gradient through."""
    kind = a.get("activation", "none")
    return np.ones(v.shape, bool) if kind == "none" else (v > 0) & (v < (6 if kind == "relu6" else np.inf))


def _activate(a: Attributes, v: Array) -> Array:
    kind = a.get("activation", "none")
    return v if kind == "none" else np.clip(v, 0, 6 if kind == "relu6" else None)


def _affine(a: Attributes, x: Array, weight: Array | None, bias: Array | None, mean: Array, variance: Array) -> Array:
    """(x - mean) / sqrt(variance + eps) weight + bias."""
    images = as_images(x)
    c = images.shape[1]
    scale = _channels(weight, 1, c) / np.sqrt(_channels(variance, 1, c) + a.get("eps", 1e-5))
    return like((images - _channels(mean, 0, c)) * scale + _channels(bias, 0, c), x.ndim)


def batch_norm(
    a: Attributes,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    variance: Array,
    residual: Array | None = None,
    _statistics: Array | None = None,
) -> Array:
    """y = act((x - mean) / sqrt(variance + eps) weight + bias + residual), with the statistics given (inference)."""
    v = _affine(a, x, weight, bias, mean, variance)
    return _activate(a, v if residual is None else v + residual)


def batch_norm_error(
    a: Attributes,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    variance: Array,
    residual: Array | None = None,
    _statistics: Array | None = None,
) -> Array:
    """The op may be evaluated as x scale + (bias - mean scale): each of the three products is rounded."""
    images = as_images(x)
    c = images.shape[1]
    scale = np.abs(_channels(weight, 1, c)) / np.sqrt(_channels(variance, 1, c) + a.get("eps", 1e-5))
    size = (np.abs(images) + np.abs(_channels(mean, 0, c))) * scale + np.abs(_channels(bias, 0, c))
    return 2 * SMALL * (like(size, x.ndim) + (0 if residual is None else np.abs(residual)))


def batch_statistics(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each channel over the batch and its pixels."""
    images = as_images(x)
    return images.mean((0, 2, 3)), images.var((0, 2, 3))


def batch_norm_training(
    a: Attributes, x: Array, weight: Array | None, bias: Array | None, *rest: Array | None
) -> Array:
    return batch_norm(a, x, weight, bias, *batch_statistics(x), *rest[2:])


def _statistics_terms(x: Array) -> tuple[int, Array]:
    """Length of the sums, and (per channel) the size of x against its spread, which each rounding of the mean feels."""
    images = as_images(x)
    count = images.shape[0] * images.shape[2] * images.shape[3]
    deviation = np.sqrt(images.var((0, 2, 3)) + 1e-30)
    return count, (np.abs(images).mean((0, 2, 3)) / deviation)[:, None, None]


def batch_norm_training_error(
    a: Attributes, x: Array, weight: Array | None, bias: Array | None, *rest: Array | None
) -> Array:
    """mean: count terms of mean|x|. variance: count terms, relative; half of it reaches y, times |x - mean| scale."""
    images = as_images(x)
    c = images.shape[1]
    mean, variance = (_channels(v, 0, c) for v in batch_statistics(x))
    scale = np.abs(_channels(weight, 1, c)) / np.sqrt(variance + a.get("eps", 1e-5))
    count, ratio = _statistics_terms(x)
    shift = np.abs(images) + np.abs(images).mean((0, 2, 3))[:, None, None]
    spread = np.abs(images - mean) * (1 + ratio)
    bound = (count + 2 * SMALL) * ((shift + spread) * scale + np.abs(_channels(bias, 0, c)))
    residual = rest[2] if len(rest) > 2 else None
    return like(bound, x.ndim) + (0 if residual is None else SMALL * np.abs(residual))


def batch_norm_backward(a: Attributes, inputs: Sequence[Array | None], grad: Array) -> list[Array | None]:
    """Through the batch statistics: dx = scale (g - mean(g) - xhat mean(g xhat)), g = grad where act lets it pass."""
    x, weight, bias = inputs[:3]
    residual = inputs[5] if len(inputs) > 5 else None
    assert x is not None
    v = _affine(a, x, weight, bias, *batch_statistics(x))
    masked = grad * _pass(a, v if residual is None else v + residual)
    images, dy = as_images(x), as_images(masked)
    c = images.shape[1]
    mean, variance = (_channels(v, 0, c) for v in batch_statistics(x))
    inverse = 1 / np.sqrt(variance + a.get("eps", 1e-5))
    xhat = (images - mean) * inverse
    axes = (0, 2, 3)
    dbias, dweight = dy.sum(axes), (dy * xhat).sum(axes)
    count = dy.size / c
    centred = dy - dbias[:, None, None] / count - xhat * dweight[:, None, None] / count
    dx = like(_channels(weight, 1, c) * inverse * centred, x.ndim)
    gradients = [dx, None if weight is None else dweight, None if bias is None else dbias]
    gradients += [None, None, None if residual is None else masked, None]
    return gradients[: len(inputs)]


def batch_norm_backward_error(a: Attributes, inputs: Sequence[Array | None], grad: Array) -> list[Array | None]:
    """The backward's sums on absolute values; xhat brings the error of the statistics (ratio) into each of them.

    Where the activation's argument lies so near to a kink that its rounding may carry it across, the whole gradient of
    that element is in doubt.
    """
    x, weight, bias = inputs[:3]
    residual = inputs[5] if len(inputs) > 5 else None
    assert x is not None
    count, ratio = _statistics_terms(x)
    terms = 2 * count + 2 * SMALL
    v = _affine(a, x, weight, bias, *batch_statistics(x))
    if residual is not None:
        v = v + residual
    reach = np.finfo(np.float32).eps * batch_norm_training_error(a, *inputs)
    doubtful = _pass(a, v - reach) != _pass(a, v + reach)
    images, dy = as_images(x), np.abs(as_images(grad * (1 + doubtful / (np.finfo(np.float32).eps * terms))))
    c = images.shape[1]
    mean, variance = (_channels(v, 0, c) for v in batch_statistics(x))
    inverse = 1 / np.sqrt(variance + a.get("eps", 1e-5))
    xhat = np.abs(images - mean) * inverse * (1 + ratio) + ratio
    axes = (0, 2, 3)
    dbias, dweight = dy.sum(axes), (dy * xhat).sum(axes)
    centred = dy + dbias[:, None, None] / count + xhat * dweight[:, None, None] / count
    dx = like(np.abs(_channels(weight, 1, c)) * inverse * centred * (1 + ratio), x.ndim)
    bounds = [dx, None if weight is None else dweight, None if bias is None else dbias]
    bounds += [None, None, None if residual is None else like(dy, x.ndim) * doubtful, None]
    return [None if b is None else terms * b for b in bounds][: len(inputs)]


def _neighbours(values: Array, size: int) -> Array:
    """Sum over channels c - size // 2 .. c + (size - 1) // 2."""
    c = values.shape[1]
    total = np.zeros_like(values)
    for channel in range(c):
        total[:, channel] = values[:, max(0, channel - size // 2) : channel + (size - 1) // 2 + 1].sum(1)
    return total


def _lrn_parts(a: Attributes, x: Array) -> tuple[int, float, float, Array]:
    size, alpha, beta, k = a["size"], a.get("alpha", 1e-4), a.get("beta", 0.75), a.get("k", 1.0)
    return size, alpha, beta, k + alpha / size * _neighbours(x * x, size)


def local_response_norm(a: Attributes, x: Array) -> Array:
    """y = x / (k + alpha / size sum of x^2 over `size` neighbouring channels)^beta."""
    _, _, beta, base = _lrn_parts(a, x)
    return x * base**-beta


def local_response_norm_error(a: Attributes, x: Array) -> Array:
    """base is a sum of positive terms (size roundings, relative), raised to beta through log and exp."""
    size, _, beta, base = _lrn_parts(a, x)
    return (beta * (size + 2 * SMALL) + beta * np.abs(np.log(base)) + 2 * SMALL) * np.abs(local_response_norm(a, x))


def local_response_norm_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    """dx_c = dy_c base_c^-beta - 2 alpha beta / size x_c sum over the windows holding c of dy x base^(-beta-1)."""
    x = inputs[0]
    size, alpha, beta, base = _lrn_parts(a, x)
    inner = grad * x * base ** (-beta - 1)
    mirrored = np.flip(_neighbours(np.flip(inner, 1), size), 1)  # windows that hold c reach the other way
    return [grad * base**-beta - 2 * alpha * beta / size * x * mirrored]


def local_response_norm_backward_error(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    x, dy = np.abs(inputs[0]), np.abs(grad)
    size, alpha, beta, base = _lrn_parts(a, x)
    terms = (beta + 1) * (size + 2 * SMALL + np.abs(np.log(base)).max(initial=0)) + size + 2 * SMALL
    mirrored = np.flip(_neighbours(np.flip(dy * x * base ** (-beta - 1), 1), size), 1)
    return [terms * (dy * base**-beta + 2 * alpha * beta / size * x * mirrored)]


def normalize(a: Attributes, x: Array) -> Array:
    """y = (x scale - mean) / std, per channel."""
    images = as_images(x)
    mean, std = (np.asarray(a.get(key, [v]), np.float64)[:, None, None] for key, v in (("mean", 0.0), ("std", 1.0)))
    return like((images * a.get("scale", 1 / 255) - mean) / std, x.ndim)


def normalize_error(a: Attributes, x: Array) -> Array:
    images = as_images(x)
    mean, std = (np.asarray(a.get(key, [v]), np.float64)[:, None, None] for key, v in (("mean", 0.0), ("std", 1.0)))
    return like(2 * SMALL * (np.abs(images) * a.get("scale", 1 / 255) + np.abs(mean)) / std, x.ndim)


OPS: dict[str, ReferenceOp] = {
    "batch_norm": ReferenceOp(batch_norm, batch_norm_error),
    "batch_norm training": ReferenceOp(
        batch_norm_training, batch_norm_training_error, batch_norm_backward, batch_norm_backward_error
    ),
    "local_response_norm": ReferenceOp(
        local_response_norm,
        local_response_norm_error,
        local_response_norm_backward,
        local_response_norm_backward_error,
    ),
    "normalize": ReferenceOp(normalize, normalize_error),
}
