"""Activations: elementwise functions, and the softmax over channels."""

from __future__ import annotations

from ..arguments import integer, number
from ..symbol import T
from .dispatch import apply


def relu(x: T, inplace: bool = False) -> T:
    """max(x, 0). x: any shape of 1 to 6 axes.

    Raises ShapeError for x of more axes, TypeError for what is no array of real numbers.
    Source: torch.nn.functional.relu.
    """
    return apply("relu", {}, x)


def leaky_relu(x: T, negative_slope: float = 0.01, inplace: bool = False) -> T:
    """x where x > 0, negative_slope * x elsewhere.

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers.
    Source: torch.nn.functional.leaky_relu.
    """
    return apply("leaky_relu", {"negative_slope": number("leaky_relu", "negative_slope", negative_slope)}, x)


def relu6(x: T, inplace: bool = False) -> T:
    """min(max(x, 0), 6).

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers.
    Source: torch.nn.functional.relu6.
    """
    return apply("relu6", {}, x)


def sigmoid(x: T) -> T:
    """1 / (1 + exp(-x)).

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers.
    Source: torch.nn.functional.sigmoid.
    """
    return apply("sigmoid", {}, x)


def tanh(x: T) -> T:
    """The hyperbolic tangent.

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers.
    Source: torch.nn.functional.tanh.
    """
    return apply("tanh", {}, x)


def silu(x: T, inplace: bool = False) -> T:
    """x * sigmoid(x), also called swish.

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers.
    Source: torch.nn.functional.silu.
    """
    return apply("silu", {}, x)


def gelu(x: T, approximate: str = "none") -> T:
    """x * Phi(x) with the normal distribution's Phi; approximate="tanh" uses the tanh formula.

    Raises ShapeError for x of more than 6 axes, ValueError for other approximations.
    Source: torch.nn.functional.gelu; Hendrycks and Gimpel, "Gaussian Error Linear Units".
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f'gelu: approximate must be "none" or "tanh", got {approximate!r}')
    return apply("gelu", {"approximate": approximate}, x)


def hardswish(x: T, inplace: bool = False) -> T:
    """x * min(max(x + 3, 0), 6) / 6.

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers.
    Source: torch.nn.functional.hardswish.
    """
    return apply("hardswish", {}, x)


def hardsigmoid(x: T, alpha: float = 1 / 6, beta: float = 0.5, inplace: bool = False) -> T:
    """min(max(alpha * x + beta, 0), 1).

    Raises ShapeError for x of more than 6 axes, ValueError for settings that are not finite.
    Source: torch.nn.functional.hardsigmoid; ONNX's HardSigmoid has alpha and beta (and 0.2 for alpha).
    """
    op = "hardsigmoid"
    return apply(op, {"alpha": number(op, "alpha", alpha), "beta": number(op, "beta", beta)}, x)


def elu(x: T, alpha: float = 1.0, inplace: bool = False) -> T:
    """x where x > 0, alpha * (exp(x) - 1) elsewhere.

    Raises ShapeError for x of more than 6 axes, ValueError unless alpha is finite.
    Source: torch.nn.functional.elu; Clevert et al., "Exponential Linear Units".
    """
    return apply("elu", {"alpha": number("elu", "alpha", alpha)}, x)


def selu(x: T, alpha: float = 1.6732632423543772, gamma: float = 1.0507009873554805, inplace: bool = False) -> T:
    """gamma * elu(x, alpha).

    Raises ShapeError for x of more than 6 axes, ValueError for settings that are not finite.
    Source: torch.nn.functional.selu; Klambauer et al., "Self-Normalizing Neural Networks".
    """
    return apply("selu", {"alpha": number("selu", "alpha", alpha), "gamma": number("selu", "gamma", gamma)}, x)


def celu(x: T, alpha: float = 1.0, inplace: bool = False) -> T:
    """x where x > 0, alpha * (exp(x / alpha) - 1) elsewhere.

    Raises ShapeError for x of more than 6 axes, ValueError unless alpha is finite and not 0.
    Source: torch.nn.functional.celu; Barron, "Continuously Differentiable Exponential Linear Units".
    """
    return apply("celu", {"alpha": number("celu", "alpha", alpha)}, x)


def mish(x: T, inplace: bool = False) -> T:
    """x * tanh(softplus(x)).

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers.
    Source: torch.nn.functional.mish; Misra, "Mish: A Self Regularized Non-Monotonic Activation Function".
    """
    return apply("mish", {}, x)


def softplus(x: T, beta: float = 1.0, threshold: float = 20.0) -> T:
    """log(1 + exp(beta * x)) / beta; x where beta * x > threshold.

    Raises ShapeError for x of more than 6 axes, ValueError for settings that are not finite and for beta = 0.
    Source: torch.nn.functional.softplus.
    """
    op = "softplus"
    return apply(op, {"beta": number(op, "beta", beta), "threshold": number(op, "threshold", threshold)}, x)


def softsign(x: T) -> T:
    """x / (1 + |x|).

    Raises ShapeError for x of more than 6 axes, TypeError for what is no array of real numbers.
    Source: torch.nn.functional.softsign.
    """
    return apply("softsign", {}, x)


def threshold(x: T, threshold: float, value: float, inplace: bool = False) -> T:
    """x where x > threshold, value elsewhere. With value = 0, ONNX's ThresholdedRelu.

    Raises ShapeError for x of more than 6 axes, ValueError for settings that are not finite.
    Source: torch.nn.functional.threshold.
    """
    op = "threshold"
    return apply(op, {"threshold": number(op, "threshold", threshold), "value": number(op, "value", value)}, x)


def softmax(x: T, dim: int = 1) -> T:
    """exp(x_c) / sum_k exp(x_k) along an axis: by default the channels of x (N, C, ...).

    Raises ShapeError for x of more than 6 axes, ValueError for an axis that x has not.
    Source: torch.nn.functional.softmax.
    """
    return apply("softmax", {"axis": integer("softmax", "dim", dim)}, x)


def log_softmax(x: T, dim: int = 1) -> T:
    """x_c - log(sum_k exp(x_k)) along an axis: by default the channels of x (N, C, ...).

    Raises ShapeError for x of more than 6 axes, ValueError for an axis that x has not.
    Source: torch.nn.functional.log_softmax.
    """
    return apply("log_softmax", {"axis": integer("log_softmax", "dim", dim)}, x)
