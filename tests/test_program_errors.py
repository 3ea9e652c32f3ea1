"""What programs refuse: inputs, memory and calls that do not fit. Nothing is changed by them."""

from typing import Any

import numpy as np
import pytest

from convcore import _core
from networks import batch_of, make, residual

X, LABELS = batch_of()


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        ([X], ValueError, r"2 inputs.*1"),
        ([X, LABELS, LABELS], ValueError, r"2 inputs.*3"),
        ([X[:2], LABELS], ValueError, r"x.*\(4, 3, 12, 12\).*\(2, 3, 12, 12\)"),
        ([X, LABELS[:3]], ValueError, r"y.*\(4,\).*\(3,\)"),
        ([X * 1j, LABELS], TypeError, "x.*complex"),
        ([X, LABELS.astype(np.float32)], TypeError, "y.*float32"),
        ([X, np.array([0, 1, 2, 10])], ValueError, r"label 10 at index 3 is outside \[0, 10\)"),
        ([X, np.array([0, -1, 2, 1])], ValueError, r"label -1 at index 1"),
        ([None, LABELS], TypeError, "x"),
        (X, ValueError, "2 inputs"),
        (None, TypeError, "inputs"),
    ],
)
def test_wrong_inputs(inputs: Any, error: type[Exception], words: str) -> None:
    net, program = make(residual, training=True)
    optimizer = _core.Optimizer("sgd", {}, [p.size for p in net.parameters.values()])
    before = [p.copy() for p in net.parameters.values()]
    for call in (lambda: program.forward_backward(inputs), lambda: program.step(inputs, optimizer, 0.1)):
        with pytest.raises(error, match=words):
            call()
    for p, b in zip(net.parameters.values(), before, strict=True):
        np.testing.assert_array_equal(p, b)


def test_wrong_memory() -> None:
    net, program = make(residual, training=True)
    parameters, buffers = list(net.parameters.values()), list(net.buffers.values())
    frozen = parameters[0].copy()
    frozen.flags.writeable = False
    wrong: list[tuple[Any, Any, Any, str]] = [
        (parameters[1:], buffers, net.gradients, "parameters, got"),
        (parameters, buffers[1:], net.gradients, "buffers, got"),
        ([parameters[0][..., :1], *parameters[1:]], buffers, net.gradients, r"conv0\.weight.*shape"),
        ([parameters[0].astype(np.float64), *parameters[1:]], buffers, net.gradients, r"conv0\.weight.*float64"),
        ([np.asfortranarray(parameters[0]), *parameters[1:]], buffers, net.gradients, r"conv0\.weight.*contiguous"),
        ([frozen, *parameters[1:]], buffers, net.gradients, r"conv0\.weight.*writable"),
        ([parameters[0].tolist(), *parameters[1:]], buffers, net.gradients, r"conv0\.weight.*list"),
        (parameters, buffers, None, "gradients"),
        (parameters, buffers, net.gradients[:-1], "gradients"),
    ]
    for p, b, g, words in wrong:
        with pytest.raises((ValueError, TypeError), match=words):
            program.bind(p, b, g)
    assert np.isfinite(program.forward_backward([X, LABELS])[0]), "the former memory is still bound"


def test_unbound_and_misused() -> None:
    net, inference = make(residual, training=False)
    optimizer = _core.Optimizer("sgd", {}, [p.size for p in net.parameters.values()])
    for call in (
        lambda: inference.forward_backward([X]),
        lambda: inference.step([X], optimizer, 0.1),
        lambda: inference.update(optimizer, 0.1),
    ):
        with pytest.raises(ValueError, match="training"):
            call()
    with pytest.raises(ValueError, match="bind"):
        _core.Program(net.graph).run([X])
    training_net, training = make(residual, training=True)
    with pytest.raises(ValueError, match="other parameters"):
        training.step([X, LABELS], _core.Optimizer("sgd", {}, [3]), 0.1)
    own = _core.Optimizer("sgd", {}, [p.size for p in training_net.parameters.values()])
    for lr in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="lr"):
            training.step([X, LABELS], own, lr)
    for index in (-1, 1000):
        with pytest.raises(ValueError, match=str(index)):
            training.gradient_offset(index)
