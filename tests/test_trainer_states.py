"""Training goes on exactly where it was stopped, and says what is wrong by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convcore as cc
from blobs import assert_same_weights, blobs, network, trainer
from checks import assert_same_bits
from convcore import nn, optim

# --- going on ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make_optimizer", [
    lambda: optim.SGD(lr=0.05, momentum=0.9),
    lambda: optim.AdamW(lr=0.01),
    lambda: optim.RMSprop(lr=0.01, momentum=0.5, centered=True, eps=1e-3),
    lambda: optim.Adagrad(lr=0.05),
])  # fmt: skip
def test_resuming_is_exact(make_optimizer: Callable[[], optim.Optimizer], tmp_path: Path) -> None:
    """Two epochs, a file, another process's objects, two epochs: the bits of four epochs in a row."""

    def new(seed: int) -> cc.Trainer:
        cc.manual_seed(seed)
        optimizer = make_optimizer()
        schedule = optim.CosineAnnealingLR(optimizer, 4)
        return cc.Trainer(network(dropout=0.4), nn.CrossEntropyLoss(), optimizer, schedule)

    data = blobs(96)
    whole = new(7)
    whole.fit(data, 4, batch_size=16)
    first = new(7)
    first.fit(data, 2, batch_size=16)
    first.save(tmp_path / "state.safetensors")
    second = new(99)
    second.load(tmp_path / "state.safetensors")
    assert (second.epoch, second.step_count) == (2, 12)
    second.fit(data, 2, batch_size=16)
    assert_same_weights(second.model, whole.model)
    assert second.history["loss"] == whole.history["loss"]
    assert second.history["lr"] == whole.history["lr"]
    assert second.optimizer.lr == whole.optimizer.lr


def test_wrong_states(tmp_path: Path) -> None:
    t = trainer()
    t.step(*blobs(8))
    state = t.state_dict()
    with pytest.raises(ValueError, match="Trainer: the state lacks optimizer"):
        trainer().load_state_dict({k: v for k, v in state.items() if k != "optimizer"})
    broken = {**state["model"], "7.weight": np.zeros((1, 1))}
    with pytest.raises(ValueError, match=r"load_state_dict: (?s:.*)7\.weight"):
        trainer().load_state_dict({**state, "model": broken})
    other = cc.Trainer(network(), nn.CrossEntropyLoss(), optim.Adam())
    with pytest.raises(ValueError, match="Adam: the state is of sgd"):
        other.load_state_dict(state)
    t.model.save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="not a saved training state"):
        trainer().load(tmp_path / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        trainer().load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("model", 3),
        ("optimizer", [1]),
        ("scheduler", "cosine"),
        ("epoch", None),
        ("step_count", 1.5),
        ("seed", -1),
        ("history", [1.0]),
        ("history", {"loss": 3}),
        ("history", {"loss": ["a"]}),
    ],
)
def test_states_of_wrong_types_change_nothing(part: str, value: Any) -> None:
    def new() -> cc.Trainer:
        optimizer = optim.SGD(lr=0.1)
        return cc.Trainer(network(), nn.CrossEntropyLoss(), optimizer, optim.StepLR(optimizer, 1))

    saved, t = new(), new()
    saved.fit(blobs(16))
    before = t.model.state_dict()
    with pytest.raises(ValueError, match=f"Trainer: the state's {part}"):
        t.load_state_dict({**saved.state_dict(), part: value})
    for name, array in t.model.state_dict().items():
        assert_same_bits(array, before[name], name)
    with pytest.raises(TypeError, match="Trainer: the state must be a dict, got list"):
        t.load_state_dict([1])  # type: ignore[arg-type]


# --- errors ------------------------------------------------------------------------------------------------------

X, Y = blobs(16)


@pytest.mark.parametrize(
    ("call", "words", "error"),
    [
        (lambda t: t.step(X, Y[:7]), r"\(16,.*\(7,\)|cross_entropy.*\(7,\)", ValueError),
        (lambda t: t.step(X[:, :, :4], Y), r"7 \(linear\): .*48.*96|7 \(linear\): .*96.*48", cc.ShapeError),
        (lambda t: t.step(np.concatenate([X, X], 1), Y), r"1 \(conv2d\): weight expects 1", cc.ShapeError),
        (lambda t: t.step(X, Y + 3), r"label [4-6] at index \d+ is outside \[0, 4\)", ValueError),
        (lambda t: t.step(X, Y * 0.5), "labels|int64|integers", TypeError),
        (lambda t: t.step("images", Y), "", (TypeError, ValueError)),
        (lambda t: t.fit((X, Y[:3])), r"data: .*\(16, 1, 8, 8\).*\(3,\)", ValueError),
        (lambda t: t.fit((X, Y), batch_size=0), "data: batch_size.*0", ValueError),
        (lambda t: t.fit((X, Y), epochs="two"), "fit: epochs.*two", TypeError),
        (lambda t: t.fit(iter([(X, Y)])), "data: .*length", TypeError),
        (lambda t: t.fit([]), "fit: .*no batches", ValueError),
        (lambda t: t.fit((X, Y), keep_best=True), "fit: keep_best", ValueError),
        (lambda t: t.fit((X, Y), epochs=-1), "fit: epochs.*-1", ValueError),
        (lambda t: t.fit([X, Y]), r"data: every batch must be a pair \(x, y\), got ndarray.*tuple", TypeError),
        (lambda t: t.fit(X), "data: expected arrays.*got ndarray", TypeError),
        (lambda t: t.fit((X, "labels")), "data: y must be an array of numbers, got str", TypeError),
        (lambda t: t.fit([(X, 3)]), "data: y must be an array of numbers, got int", TypeError),
        (lambda t: t.fit([(X, np.int64(3))]), "data: y must be a batch.*scalar", ValueError),
        (lambda t: t.fit((X, Y), callbacks=print), "fit: callbacks must be a list, got builtin", TypeError),
        (lambda t: t.fit((X, Y), callbacks=[3]), "fit: a callback must be .*got int", TypeError),
        (lambda t: t.fit((X, Y), progress=True), "fit: progress must be .*got bool", TypeError),
        (lambda t: t.fit((X, Y), validation=[]), "fit: validation gave no batches", ValueError),
        (lambda t: t.fit((X, Y), validation=(X[:0], Y[:0])), "fit: validation gave no batches", ValueError),
        (lambda t: t.evaluate([X, Y]), "data: every batch must be a pair", TypeError),
        (lambda t: t.predict(cc.data.ArrayDataset(X, Y)), "predict: x must be .*got ArrayDataset", TypeError),
        (lambda t: t.predict(cc.data.DataLoader(cc.data.ArrayDataset(X, Y))), "predict: x.*DataLoader", TypeError),
        (lambda t: t.predict([[1, 2], [3]]), "predict: x must be an array of numbers", ValueError),
        (lambda t: t.predict("x"), "predict: x must be an array of numbers, got str", TypeError),
        (lambda t: t.predict(()), r"predict: .*got \(\)", ValueError),
        (lambda t: t.predict((X, X[:3])), r"predict: x must have the same length.*\(3,", ValueError),
        (lambda t: cc.Trainer(t.model, t.loss, t.optimizer, 3), "Trainer: scheduler.*int", TypeError),
        (lambda t: t.evaluate([]), "evaluate: .*no batches", ValueError),
        (lambda t: t.predict(X, batch_size=0), "predict: batch_size.*0", ValueError),
        (lambda t: t.predict(np.float32(3)), "predict: .*scalar", ValueError),
        (lambda t: cc.Trainer(len, t.loss, t.optimizer), "Trainer: model.*builtin", TypeError),
        (lambda t: cc.Trainer(t.model, 3, t.optimizer), "Trainer: loss.*int", TypeError),
        (lambda t: cc.Trainer(t.model, t.loss, "adam"), "Trainer: optimizer.*str", TypeError),
        (lambda t: cc.Trainer(t.model, t.loss, t.optimizer, optim.StepLR(optim.SGD(), 2)), "another", ValueError),
        (lambda t: cc.Trainer(t.model, t.loss, optim.SGD(), max_grad_norm=-1), "max_grad_norm.*-1", ValueError),
        (lambda t: cc.Trainer(nn.ReLU(), nn.MSELoss(), optim.SGD()).step(X, X), "no parameters", ValueError),
    ],
)  # fmt: skip
def test_wrong_calls(call: Callable[[Any], object], words: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=words or None):
        call(trainer())


def test_divergence_is_named() -> None:
    t = trainer()
    images = np.full((32, 1, 8, 8), 100, np.float32)
    images[20] = np.nan
    with pytest.raises(cc.DivergenceError, match=r"fit: the loss is nan at epoch 1, batch 2 of 2 .*learning rate"):
        t.fit((images, np.zeros(32, np.int64)), batch_size=16, shuffle=False)


def test_divergence_of_the_last_update_is_named() -> None:
    """The loss of the last batch is finite: it was taken before the update that spoils the weights."""
    x, y = np.full((4, 3), 100, np.float32), np.full((4, 1), 1e4, np.float32)
    cc.manual_seed(0)
    t = cc.Trainer(nn.Linear(3, 1), nn.MSELoss(), optim.SGD(lr=1e38))
    with pytest.raises(cc.DivergenceError, match=r"fit: (weight|bias) is not finite after epoch 1"):
        t.fit((x, y), batch_size=4)


def test_a_validation_loss_that_is_not_finite() -> None:
    t = trainer()
    spoilt = np.full((8, 1, 8, 8), np.nan, np.float32)
    data = blobs(16)
    data = data[0].astype(np.float32), data[1]
    with pytest.raises(cc.DivergenceError, match="fit: the validation loss is nan after epoch 1"):
        t.fit(data, validation=(spoilt, Y[:8]))
    with pytest.raises(ValueError, match="evaluate: the loss is nan"):
        t.evaluate((spoilt, Y[:8]))


def test_an_optimizer_serves_one_trainer() -> None:
    t = trainer()
    t.step(X, Y)
    other = cc.Trainer(network(), t.loss, t.optimizer)
    with pytest.raises(ValueError, match="SGD: already trains another model"):
        other.step(X, Y)
