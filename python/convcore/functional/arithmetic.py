"""Arithmetic, element by element: functions of one, two and three arrays, which are repeated as NumPy repeats them."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from ..arguments import number
from ..symbol import Operand, Symbol, T, same_rank
from .dispatch import apply, arrays, shape_of


def exp(x: T) -> T:
    """e to the power of x.

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers. Source: torch.exp.
    """
    return apply("exp", {}, x)


def log(x: T) -> T:
    """The natural logarithm: -inf for 0, NaN for negative numbers.

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers. Source: torch.log.
    """
    return apply("log", {}, x)


def sqrt(x: T) -> T:
    """The square root: NaN for negative numbers.

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers. Source: torch.sqrt.
    """
    return apply("sqrt", {}, x)


def abs(x: T) -> T:
    """The absolute value.

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers. Source: torch.abs.
    """
    return apply("abs", {}, x)


def neg(x: T) -> T:
    """-x.

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers. Source: torch.neg.
    """
    return apply("neg", {}, x)


def reciprocal(x: T) -> T:
    """1 / x.

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers.
    Source: torch.reciprocal.
    """
    return apply("reciprocal", {}, x)


def floor(x: T) -> T:
    """The largest whole number that is not above x. Its gradient is 0.

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers. Source: torch.floor.
    """
    return apply("floor", {}, x)


def ceil(x: T) -> T:
    """The smallest whole number that is not below x. Its gradient is 0.

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers. Source: torch.ceil.
    """
    return apply("ceil", {}, x)


def round(x: T) -> T:
    """The nearest whole number, of two the even one. Its gradient is 0.

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers. Source: torch.round.
    """
    return apply("round", {}, x)


def sign(x: T) -> T:
    """-1, 0 or 1; NaN for NaN. Its gradient is 0.

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers. Source: torch.sign.
    """
    return apply("sign", {}, x)


def erf(x: T) -> T:
    """The error function.

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers. Source: torch.erf.
    """
    return apply("erf", {}, x)


def logical_not(x: T) -> T:
    """1 where x is 0, else 0. It has no gradient.

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers.
    Source: torch.logical_not.
    """
    return apply("logical_not", {}, x)


def clamp(x: T, min: float | None = None, max: float | None = None) -> T:
    """x, at least `min` and at most `max`; None: no such bound. The gradient passes where min <= x <= max.

    Raises ShapeError for x of more than 6 axes, ValueError where a bound is NaN. Source: torch.clamp.
    """
    bounds = {"min": min, "max": max}
    return apply("clamp", {key: number("clamp", key, b) for key, b in bounds.items() if b is not None}, x)


def add(x: T, other: Operand) -> T:
    """x + other.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    On symbols also written x + other, where other may be a number, or an array or parameter (1, C, 1, 1).
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.add.
    """
    return _aligned("add", x, other)


def subtract(x: T, other: Operand) -> T:
    """x - other.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    On symbols also written x - other, where other may be a number, or an array or parameter (1, C, 1, 1).
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.subtract.
    """
    return _aligned("subtract", x, other)


def multiply(x: T, other: Operand) -> T:
    """x * other.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    On symbols also written x * other, where other may be a number, or an array or parameter (1, C, 1, 1).
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.mul.
    """
    return _aligned("multiply", x, other)


def divide(x: T, other: Operand) -> T:
    """x / other.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    On symbols also written x / other, where other may be a number, or an array or parameter (1, C, 1, 1).
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.div.
    """
    return _aligned("divide", x, other)


def power(x: T, other: Operand) -> T:
    """x ** other.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    On symbols also written x ** other, where other may be a number, or an array or parameter (1, C, 1, 1).
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.pow.
    """
    return _aligned("power", x, other)


def minimum(x: T, other: Operand) -> T:
    """The smaller of the two, NaN where either is. Of equals, each gets half of the gradient.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.minimum.
    """
    return _aligned("minimum", x, other)


def maximum(x: T, other: Operand) -> T:
    """The larger of the two, NaN where either is. Of equals, each gets half of the gradient.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.maximum.
    """
    return _aligned("maximum", x, other)


def remainder(x: T, other: Operand) -> T:
    """x - other * floor(x / other): of other's sign.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.remainder.
    """
    return _aligned("remainder", x, other)


def fmod(x: T, other: Operand) -> T:
    """x - other * trunc(x / other): of x's sign.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.fmod.
    """
    return _aligned("fmod", x, other)


def equal(x: T, other: Operand) -> T:
    """1 where x == other, else 0. It has no gradient.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.eq.
    """
    return _aligned("equal", x, other)


def less(x: T, other: Operand) -> T:
    """1 where x < other, else 0. It has no gradient.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    On symbols also written x < other, where other may be a number, or an array or parameter (1, C, 1, 1).
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.lt.
    """
    return _aligned("less", x, other)


def less_equal(x: T, other: Operand) -> T:
    """1 where x <= other, else 0. It has no gradient.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    On symbols also written x <= other, where other may be a number, or an array or parameter (1, C, 1, 1).
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.le.
    """
    return _aligned("less_equal", x, other)


def greater(x: T, other: Operand) -> T:
    """1 where x > other, else 0. It has no gradient.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    On symbols also written x > other, where other may be a number, or an array or parameter (1, C, 1, 1).
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.gt.
    """
    return _aligned("greater", x, other)


def greater_equal(x: T, other: Operand) -> T:
    """1 where x >= other, else 0. It has no gradient.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    On symbols also written x >= other, where other may be a number, or an array or parameter (1, C, 1, 1).
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.ge.
    """
    return _aligned("greater_equal", x, other)


def logical_and(x: T, other: Operand) -> T:
    """1 where both are not 0, else 0. It has no gradient.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.logical_and.
    """
    return _aligned("logical_and", x, other)


def logical_or(x: T, other: Operand) -> T:
    """1 where one is not 0, else 0. It has no gradient.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.logical_or.
    """
    return _aligned("logical_or", x, other)


def logical_xor(x: T, other: Operand) -> T:
    """1 where just one is not 0, else 0. It has no gradient.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated.
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.logical_xor.
    """
    return _aligned("logical_xor", x, other)


def prelu(x: T, weight: Operand) -> T:
    """x where x > 0, weight * x elsewhere. weight: (C,), one for each channel of x (N, C, ...), or (1,), or of more
    axes, repeated as NumPy would.

    Raises ShapeError where shapes do not fit, TypeError for wrong types.
    Source: torch.nn.functional.prelu; He et al., "Delving Deep into Rectifiers".
    """
    return _aligned("prelu", x, _per_channel(x, weight))


def where(condition: T, x: Operand, y: Operand) -> T:
    """x where the condition is not 0, y elsewhere.

    Equal shapes, or each axis of one may be 1 or, in front, missing, and is then repeated. The condition has no
    gradient.
    Raises ShapeError where shapes do not fit, TypeError for wrong types. Source: torch.where.
    """
    return _aligned("where", condition, x, y)


def _per_channel(x: Any, weight: Any) -> Any:
    """A weight (C,) as (C, 1, ...)."""
    shape, rank = shape_of(weight), len(shape_of(x))
    if len(shape) != 1 or rank < 3:
        return weight
    attributes = {"shape": [*shape, *[1] * (rank - 2)]}
    if isinstance(x, Symbol):  # a node, through which a parameter's gradient comes back
        return x.tracer.emit("rearrange", attributes, (weight,))
    return apply("rearrange", attributes, weight)


def _aligned(op: str, x: T, *more: Operand) -> T:
    """The op of operands with as many axes as the one that has most: with axes of 1 in front, as in NumPy."""
    operands: list[Any] = [x, *more]
    if any(isinstance(operand, Symbol) for operand in operands):
        operands = same_rank(operands)
    else:
        operands = [np.asarray(operand) for operand in arrays(operands)]
        rank = max(operand.ndim for operand in operands)
        operands = [operand.reshape((1,) * (rank - operand.ndim) + operand.shape) for operand in operands]
    aligned: Any = apply(op, {}, *operands)
    return cast("T", aligned)
