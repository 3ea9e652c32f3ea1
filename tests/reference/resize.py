"""ONNX's Resize in float64: one matrix for each axis. Formulas: ONNX's Resize-19 and its reference implementation."""

from collections.abc import Sequence

import numpy as np

from .common import SMALL, Array, Attributes, ReferenceOp


def _place(a: Attributes, j: int, n: int, m: int, scale: float, begin: float, end: float) -> float:
    """Where output j of m lies among n inputs."""
    mode, length = a.get("coordinate_transformation_mode", "half_pixel"), scale * n
    half = (j + 0.5) / scale - 0.5
    if mode == "asymmetric":
        return j / scale
    if mode == "align_corners":
        return 0.0 if length == 1 else j * (n - 1) / (length - 1)
    if mode == "tf_crop_and_resize":
        share = 0.5 if length == 1 else j / (length - 1)
        return begin * (n - 1) + (end - begin) * (n - 1) * share
    if mode == "pytorch_half_pixel":
        return -0.5 if length == 1 else half
    return n / 2 * (1 - m / length) + half if mode == "half_pixel_symmetric" else half


def _weights(a: Attributes, at: float, scale: float) -> dict[int, float]:
    """Of the inputs around `at`, whether there are such inputs or not."""
    left = int(np.ceil(at)) - 1  # the ratio is in (0, 1]
    ratio = at - left
    if a.get("mode", "nearest") == "nearest":
        rule = a.get("nearest_mode", "round_prefer_floor")
        right = {"floor": False, "ceil": True, "round_prefer_floor": ratio > 0.5, "round_prefer_ceil": ratio >= 0.5}
        return {left + int(ratio == 1 or right[rule]): 1.0}
    narrow = min(scale, 1.0) if a.get("antialias") else 1.0
    support = 1 if a["mode"] == "linear" else 2
    start = int(np.floor(-support / narrow)) + 1
    t = np.abs(np.arange(start, 2 - start) - ratio) * narrow
    if support == 1:
        w = np.clip(1 - t, 0, 1)
    else:
        c = a.get("cubic_coeff_a", -0.75)
        near, far = (c + 2) * t**3 - (c + 3) * t**2 + 1, c * t**3 - 5 * c * t**2 + 8 * c * t - 4 * c
        w = np.where(t <= 1, near, np.where(t < 2, far, 0))
    return {left + start + i: v for i, v in enumerate(w / w.sum())}


def matrix(a: Attributes, n: int, m: int, scale: float, begin: float = 0, end: float = 1) -> tuple[Array, list[int]]:
    """(m, n), and the outputs that are extrapolated."""
    result, outside = np.zeros((m, n)), []
    for j in range(m):
        at = _place(a, j, n, m, scale, begin, end)
        if a.get("coordinate_transformation_mode") == "tf_crop_and_resize" and not 0 <= at <= n - 1:
            outside.append(j)
            continue
        weights = _weights(a, at, scale)
        if a.get("exclude_outside"):
            weights = {i: w for i, w in weights.items() if 0 <= i < n}
        total = sum(weights.values())
        for i, w in weights.items():
            result[j, min(max(i, 0), n - 1)] += w / total
    return result, outside


def _axes(a: Attributes, shape: Sequence[int]) -> list[tuple[Array, list[int]]]:
    scales = list(a.get("scales", ()))
    sizes = a.get("sizes") or [int(np.float32(n) * np.float32(s)) for n, s in zip(shape, scales, strict=True)]
    scales = scales or [m / max(n, 1) for n, m in zip(shape, sizes, strict=True)]
    rank = len(shape)
    roi = a.get("roi", [0.0] * rank + [1.0] * rank)
    return [matrix(a, shape[d], sizes[d], scales[d], roi[d], roi[rank + d]) for d in range(rank)]


def _apply(matrices: Sequence[Array], x: Array) -> Array:
    for d, m in enumerate(matrices):
        x = np.moveaxis(np.tensordot(m, x, axes=(1, d)), 0, d)
    return x


def resize(a: Attributes, x: Array) -> Array:
    axes = _axes(a, x.shape)
    y = _apply([m for m, _ in axes], x)
    for d, (_, outside) in enumerate(axes):
        np.moveaxis(y, d, 0)[outside] = a.get("extrapolation_value", 0.0)
    return y


NOTHING = 0.05  # of the largest |x|: weights below 1e-9 may be left out


def _terms(matrices: Sequence[Array]) -> int:
    return SMALL + sum(2 + int((m != 0).sum(1).max(initial=0)) for m in matrices)


def resize_error(a: Attributes, x: Array) -> Array:
    matrices = [np.abs(m) for m, _ in _axes(a, x.shape)]
    return _terms(matrices) * _apply(matrices, np.abs(x)) + NOTHING * np.abs(x).max(initial=0)


def resize_backward(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    return [_apply([m.T for m, _ in _axes(a, inputs[0].shape)], grad)]


def resize_backward_error(a: Attributes, inputs: Sequence[Array], grad: Array) -> list[Array | None]:
    matrices = [np.abs(m.T) for m, _ in _axes(a, inputs[0].shape)]
    return [_terms(matrices) * _apply(matrices, np.abs(grad)) + NOTHING * np.abs(grad).max(initial=0)]


OPS: dict[str, ReferenceOp] = {"resize": ReferenceOp(resize, resize_error, resize_backward, resize_backward_error)}
