"""One helper that holds an op against the reference: value and all gradients, on every ISA, with 1 and 2 threads.

Every result must lie within the derived bound (see reference/common.py) and be the same bits for any number of threads.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from case import Case
from convcore import _core
from reference import OPS, Array

EPS = float(np.finfo(np.float32).eps)
WINOGRAD = 2e-5  # of the largest |result|: what Winograd's algorithm may be off by (cpp/ops/winograd.h)
FLUSHED = 1e-35  # convcore flushes denormals: what a value below 2**-126, times some hundreds, may lose


def assert_within(actual: Array, expected: Array, bound: Array, what: str) -> None:
    """|actual - expected| <= EPS * bound, element by element. The worst element is reported."""
    assert actual.dtype == np.float32, f"{what}: dtype {actual.dtype}"
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    if not expected.size:
        return
    error, limit = np.abs(actual.astype(np.float64) - expected), EPS * bound + FLUSHED
    excess = np.where(np.isfinite(error), error / limit, np.inf)
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    assert excess[worst] <= 1, (
        f"{what}: at {tuple(int(i) for i in worst)} got {actual[worst]!r}, expected {expected[worst]!r}: "
        f"error {error[worst]:.3g} is {excess[worst]:.3g} times the bound"
        f" ({int((excess > 1).sum())} of {error.size} elements)"
    )


def assert_same_bits(a: Array, b: Array, what: str) -> None:
    same = np.ascontiguousarray(a).view(np.uint32) == np.ascontiguousarray(b).view(np.uint32)
    assert same.all(), f"{what}: {int((~same).sum())} of {same.size} elements differ"


CONVOLUTIONS = ("conv2d", "conv_transpose2d", "linear")


def machines() -> Iterator[tuple[str, int]]:
    """(ISA, threads), set for the loop's body."""
    for isa in _core.available_isas():
        for threads in (1, 2):
            _core.force_isa(isa)
            _core.set_num_threads(threads)
            yield isa, threads


def bound_of(case: Case, algorithm: str, value: Array, bound: Array) -> Array:
    """Of y, dx or dw; `bound` is that of the exact algorithms. algorithm: "" for any."""
    if algorithm not in ("", "winograd") or not _may_be_winograd(case):
        return bound
    winograd = np.full_like(bound, WINOGRAD / EPS * np.abs(value).max(initial=0))
    return winograd if algorithm else np.maximum(bound, winograd)


def _may_be_winograd(case: Case) -> bool:
    a = case.attributes
    weight = (case.shapes[1] if len(case.shapes) > 1 else None) or ()
    plain = weight[2:] == (3, 3) and a.get("stride") == [1, 1]
    return case.kind in ("conv2d", "conv_transpose2d") and plain and (a.get("groups") == 1 or weight[1] > 1)


def _passes(case: Case) -> list[tuple[str, str, list[bool] | None]]:
    """(pass, algorithm, inputs whose gradient is wanted; None: all). Only convolutions have a choice of algorithms."""
    passes: list[tuple[str, str, list[bool] | None]] = [("forward", "", None), ("backward", "", None)]
    if case.kind == "conv_transpose2d":
        names = ["direct", "im2col"] + ["winograd"] * _may_be_winograd(case)
        return passes + [(way, name, None) for way in ("forward", "backward") for name in names]
    if case.kind != "conv2d":
        return passes
    x, weight, bias = case.shapes
    assert x is not None
    assert weight is not None
    accepted = _core.conv_algorithms(case.attributes, x, weight)
    assert {"direct", "im2col"} & set(accepted["forward"]), accepted
    passes += [("forward", name, None) for name in accepted["forward"]]
    passes += [("backward", name, [True, False, False]) for name in accepted["backward_input"]]
    passes += [("backward", name, [False, True, bias is not None]) for name in accepted["backward_weight"]]
    return passes


def check(case: Case, *, training: bool = False, gradients: bool = True) -> None:
    """Runs the case in every way there is and compares with float64."""
    op = OPS[f"{case.kind} training" if training else case.kind]
    inputs = case.inputs()
    exact = [None if v is None else v if v.dtype == np.int64 else v.astype(np.float64) for v in inputs]
    expected, bound = op.forward(case.attributes, *exact), op.forward_error(case.attributes, *exact)
    grad = np.asarray(case.rng().standard_normal(expected.shape), np.float32)
    wanted: Sequence[Array | None] = []
    bounds: Sequence[Array | None] = []
    if gradients and op.backward and op.backward_error:
        wanted = op.backward(case.attributes, exact, grad.astype(np.float64))
        bounds = op.backward_error(case.attributes, exact, grad.astype(np.float64))
    first: dict[tuple[str, str, str, int], Array] = {}

    def compare(key: tuple[str, str, str, int], threads: int, result: Any, value: Array, limit: Array) -> None:
        what = (
            f"{case.kind} {key[1]} {key[2]}{f' of input {key[3]}' if key[3] >= 0 else ''}, {key[0]}, {threads} threads"
        )
        assert isinstance(result, np.ndarray), f"{what}: got {result!r}"
        if key[3] < 2:
            limit = bound_of(case, key[1], value, limit)
        assert_within(result, value, limit, what)
        assert_same_bits(result, first.setdefault(key, result), what)

    for isa, threads in machines():
        for direction, algorithm, mask in _passes(case):
            attributes = {**case.attributes, "algorithm": algorithm} if algorithm else case.attributes
            if direction == "forward":
                for trains in sorted({training, training or case.kind in CONVOLUTIONS}):  # these pack in another way
                    result = _core.forward(case.kind, attributes, inputs, trains)
                    assert len(result) == 1
                    key = (isa, algorithm, f"{direction}{' training' if trains else ''}", -1)
                    compare(key, threads, result[0], expected, bound)
            elif wanted:
                asked = [g is not None for g in (*wanted, None, None)][: len(inputs)]
                asked = [a and m for a, m in zip(asked, mask or [True] * len(inputs), strict=False)]
                results = _core.backward(case.kind, attributes, inputs, [grad], asked)
                assert len(results) == len(inputs)
                for i, result_i in enumerate(results):
                    value, limit = (None, None) if not asked[i] else (wanted[i], bounds[i])
                    if value is None or limit is None:
                        assert result_i is None, f"{case.kind}: a gradient of input {i} that was not asked for"
                    else:
                        compare((isa, algorithm, direction, i), threads, result_i, value, limit)
