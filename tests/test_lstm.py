from types import ModuleType
from typing import Any

import numpy as np
import pytest

import convcore as cc
from case import Case
from checks import assert_same_bits, machines
from convcore import _core, nn
from convcore import functional as F
from lstm_cases import LSTM_CASES
from lstm_cases import lstm as case_of
from reference.lstm import lstm

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def compare(attributes: Any, inputs: list[Any]) -> None:
    """Outputs and states are of the size of 1, and the recurrence forgets errors: a bound for all will do."""
    expected = lstm(attributes, *[None if v is None else v.astype(np.float64) for v in inputs])
    first: list[Any] = []
    for isa, threads in machines():
        got = _core.forward("lstm", attributes, inputs)
        first = got if threads == 1 else first
        for name, value, want, one in zip(("y", "y_h", "y_c"), got, expected, first, strict=True):
            np.testing.assert_allclose(value, want, rtol=2e-5, atol=2e-5, err_msg=f"{name}, {isa}")
            assert_same_bits(value, one, f"{name}, {isa}, {threads} threads")


@pytest.mark.parametrize("case", LSTM_CASES, ids=lambda c: c.id)
def test_lstm(case: Case) -> None:
    compare(case.attributes, case.inputs())


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("layout", [0, 1])
def test_sequences_of_other_lengths(direction: str, layout: int) -> None:
    case = case_of(6, 4, 3, 5, layout=layout, direction=direction)
    inputs = case.inputs()
    inputs[4] = np.array([6, 1, 0, 4], np.float32)
    compare(case.attributes, inputs)


def test_lengths_must_fit() -> None:
    inputs = case_of(6, 2, 3, 5).inputs()
    for bad in (7, -1, 2.5, np.nan):
        inputs[4] = np.array([1, bad], np.float32)
        with pytest.raises(ValueError, match="lstm: sequence_lens must be integers from 0 to the 6 steps"):
            _core.forward("lstm", {}, inputs)


def test_saturated_gates() -> None:
    inputs = [None if v is None else v * 200 for v in case_of(5, 2, 4, 6).inputs()]
    compare({}, inputs)


def twin_of(torch: ModuleType, model: nn.LSTM) -> Any:
    twin = torch.nn.LSTM(**model.config())
    twin.load_state_dict({k: torch.from_numpy(v) for k, v in model.state_dict().items()})
    return twin.eval()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bias": False},
        {"num_layers": 3},
        {"bidirectional": True},
        {"num_layers": 2, "bidirectional": True, "batch_first": True, "dropout": 0.3},
    ],
    ids=str,
)
def test_layer_is_pytorchs(torch: ModuleType, settings: dict[str, Any]) -> None:
    model = nn.LSTM(5, 7, **settings)
    x = normal(3, 4, 5)
    states = model.num_layers * (2 if model.bidirectional else 1), 3 if model.batch_first else 4, 7
    h, c = normal(*states), normal(*states)
    twin = twin_of(torch, model)
    with torch.no_grad():
        y, (h_n, c_n) = twin(torch.from_numpy(x))
        for got, want in zip(model(x), (y, h_n, c_n), strict=True):
            np.testing.assert_allclose(got, want.numpy(), rtol=1e-4, atol=1e-5)
        y, (h_n, c_n) = twin(torch.from_numpy(x), (torch.from_numpy(h), torch.from_numpy(c)))
        for got, want in zip(model(x, h, c), (y, h_n, c_n), strict=True):
            np.testing.assert_allclose(got, want.numpy(), rtol=1e-4, atol=1e-5)


def test_function_in_a_model() -> None:
    class Reader(nn.Module):
        """Parameters as an ONNX file has them."""

        def __init__(self) -> None:
            case = case_of(6, 2, 3, 5, direction="bidirectional")
            x, w, r, b, _, h, c, p = case.inputs()
            self.x = x
            self.w, self.r, self.b, self.h, self.c, self.p = (nn.Parameter(v) for v in (w, r, b, h, c, p))

        def forward(self, x: Any) -> Any:
            lengths = np.array([6, 4])
            return F.lstm(x, self.w, self.r, self.b, lengths, self.h, self.c, self.p, direction="bidirectional")

    model = Reader()
    parts = [v.data.astype(np.float64) for v in (model.w, model.r, model.b)]
    states = [v.data.astype(np.float64) for v in (model.h, model.c, model.p)]
    expected = lstm({"direction": "bidirectional"}, model.x.astype(np.float64), *parts, np.array([6, 4]), *states)
    for got, want in zip(model(model.x), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)


def test_there_is_no_gradient() -> None:
    inputs = case_of(3, 2, 4, 5, "b").inputs()
    with pytest.raises(ValueError, match="lstm: is for inference only: it has no gradient"):
        _core.backward("lstm", {}, inputs, [normal(3, 1, 2, 5), normal(1, 2, 5), normal(1, 2, 5)], [True] * 8)

    class Last(nn.Module):
        def __init__(self) -> None:
            self.lstm = nn.LSTM(4, 5)

        def forward(self, x: Any) -> Any:
            return self.lstm(x)[0]

    with pytest.raises(ValueError, match=r"^lstm.*is for inference only: it has no gradient"):
        cc.value_and_grad(Last(), nn.MSELoss())(normal(3, 2, 4), normal(3, 2, 5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activations": ["Relu", "Tanh", "Tanh"]}, "activations must be Sigmoid, Tanh and Tanh, got Relu, Tanh, Tanh"),
        ({"hidden_size": 6}, r"hidden_size must be r's last size, got 6 for r of \(1, 20, 5\)"),
        ({"direction": "sideways"}, "direction must be 'forward', 'reverse' or 'bidirectional', got 'sideways'"),
        ({"direction": "bidirectional"}, r"W must have shape \(2, 20, 4\), got \(1, 20, 4\)"),
        ({"layout": 2}, "layout must be 0 or 1, got 2"),
        ({"clip": -1.0}, "clip must be positive, or 0 for none, got -1"),
        ({"x": normal(3, 4)}, r"x must be \(time, batch, inputs\), got \(3, 4\)"),
        ({"x": normal(3, 2, 4), "r": normal(1, 24, 5)}, r"R must have shape \(1, 20, 5\), got \(1, 24, 5\)"),
        ({"b": normal(1, 30)}, r"bias must have shape \(1, 20\), got \(1, 30\)"),
        ({"p": normal(1, 20)}, r"P must have shape \(1, 15\), got \(1, 20\)"),
        ({"initial_h": normal(1, 3, 5)}, r"initial_h must have shape \(1, 2, 5\), got \(1, 3, 5\)"),
        ({"sequence_lens": np.ones(3)}, r"sequence_lens must have shape \(2,\), got \(3,\)"),
    ],
)
def test_bad_arguments(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^lstm: {message}"):
        F.lstm(**{"x": normal(3, 2, 4), "w": normal(1, 20, 4), "r": normal(1, 20, 5), **change})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.LSTM(3, 4, proj_size=2), "LSTM: num_layers must be positive, dropout in"),
        (lambda: nn.LSTM(3, 4, 0), "LSTM: num_layers must be positive"),
        (lambda: nn.LSTM(3, 0), "LSTM: sizes must be at least 1"),
        (lambda: nn.LSTM(3, 4)(normal(3, 3)), "LSTM: expected 3-D input"),
    ],
)
def test_bad_layers(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
